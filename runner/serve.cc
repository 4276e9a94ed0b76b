#include "runner/serve.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <optional>
#include <poll.h>
#include <random>
#include <string>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "runner/session.h"
#include "transport/clock.h"

namespace valkyrie::runner {
namespace {

using protocol::Duration;
using protocol::Instant;

class Loop {
 public:
  Loop(const Settings& settings, const ExecutorOptions& executor, Client& client, int signal_fd)
      : settings_(settings),
        fence_(executor.fence),
        client_(client),
        signal_fd_(signal_fd),
        agent_(executor, {.name = settings.name,
                          .instance = random_instance(),
                          .boot_id = boot_id(),
                          .version = VALKYRIE_VERSION,
                          .isolation = std::string(isolation_of(executor.fence)),
                          .slots = settings.slots,
                          .labels = settings.labels}),
        session_(client) {}

  int run();

 private:
  void turn();
  [[nodiscard]] int wait_ms(Instant now) const;
  void on_signal(Instant now);
  void on_session(Instant now);
  void on_message(messages::NodeMessage message, Instant now);
  void lose_node(const std::string& why, Instant now);
  void write_out();
  void drain(Instant now);
  void say_ready() const;

  const Settings& settings_;
  Fence fence_;
  Client& client_;
  int signal_fd_;
  Agent agent_;
  Session session_;
  std::minstd_rand random_{std::random_device()()};
  Duration backoff_ = kReopenMin;
  Instant reopen_at_;
  bool draining_ = false;
  std::optional<int> exit_code_;
};

int Loop::run() {
  reopen_at_ = transport::monotonic_now();
  while (!exit_code_) turn();
  session_.reset();
  return *exit_code_;
}

void Loop::turn() {
  Instant now = transport::monotonic_now();
  if (!session_.is_open() && now >= reopen_at_) {
    session_.open();
    agent_.connected();
  }
  write_out();
  std::vector<pollfd> fds = {{.fd = signal_fd_, .events = POLLIN, .revents = 0},
                             {.fd = session_.wake_fd(), .events = POLLIN, .revents = 0}};
  agent_.append_watches(fds);
  if (poll(fds.data(), fds.size(), wait_ms(now)) < 0) return;
  now = transport::monotonic_now();
  for (std::size_t i = 2; i < fds.size(); ++i) {
    if (fds[i].revents != 0) agent_.on_ready(fds[i].fd, now);
  }
  agent_.on_deadline(now);
  if (fds[1].revents != 0) on_session(now);
  if (fds[0].revents != 0) on_signal(now);
  write_out();
  if (settings_.once && agent_.settled() > 0) drain(now);
  if (draining_ && agent_.idle()) exit_code_ = 0;
  if (session_.is_open() && agent_.node_drains() && agent_.idle()) {
    session_.reset();
    lose_node("the node drains", now);
  }
}

int Loop::wait_ms(Instant now) const {
  std::optional<Instant> until = agent_.deadline();
  if (!session_.is_open()) until = until ? std::min(*until, reopen_at_) : reopen_at_;
  if (!until) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

void Loop::on_signal(Instant now) {
  signalfd_siginfo signal{};
  if (read(signal_fd_, &signal, sizeof signal) != sizeof signal) return;
  if (draining_) {
    agent_.disconnected();  // Kills what runs.
    exit_code_ = 1;
    return;
  }
  fmt::print(stderr, "draining: {} jobs may go on for {} s; a second signal kills them\n",
             agent_.running(),
             std::chrono::duration_cast<std::chrono::seconds>(settings_.drain_timeout).count());
  drain(now);
}

void Loop::drain(Instant now) {
  draining_ = true;
  agent_.drain(now, settings_.drain_timeout);
}

void Loop::on_session(Instant now) {
  for (SessionEvent& event : session_.take_events()) {
    switch (event.kind) {
      case SessionEvent::Kind::message:
        on_message(std::move(event.message), now);
        break;
      case SessionEvent::Kind::written:
        break;
      case SessionEvent::Kind::ended:
        lose_node(event.text, now);
        break;
    }
  }
}

void Loop::on_message(messages::NodeMessage message, Instant now) {
  if (const auto* start = std::get_if<messages::Start>(&message)) {
    fmt::print(stderr, "{}/{} starts\n", start->job, start->attempt);
  }
  const bool welcome = std::holds_alternative<messages::Welcome>(message);
  if (!agent_.receive(std::move(message), now)) {
    session_.reset();
    lose_node("the node asked for what this runner cannot do", now);
    return;
  }
  if (!welcome) return;
  backoff_ = kReopenMin;
  say_ready();
}

void Loop::say_ready() const {
  std::string labels;
  for (const auto& [name, value] : settings_.labels) labels += fmt::format(" {}={}", name, value);
  fmt::print("runner {} ready  node {} ({})  isolation {}  slots {}  labels{}\n", settings_.name,
             client_.node_url(), agent_.node(), isolation_of(fence_), settings_.slots, labels);
  std::fflush(stdout);
}

void Loop::lose_node(const std::string& why, Instant now) {
  const std::size_t killed = agent_.running();
  agent_.disconnected();
  const std::chrono::duration<double, std::nano> jittered =
      backoff_ * std::uniform_real_distribution<double>(0, 1)(random_);
  reopen_at_ = now + std::chrono::duration_cast<Duration>(jittered);
  backoff_ = std::min(2 * backoff_, kReopenMax);
  fmt::print(stderr, "no work from the node: {}{}\n", why,
             killed == 0 ? "" : fmt::format("; killed {} jobs", killed));
}

void Loop::write_out() {
  while (session_.may_write()) {
    const auto message = agent_.poll_message();
    if (!message) return;
    if (const auto* ended = std::get_if<messages::AttemptEnded>(&*message)) {
      const messages::JobResult& result = ended->result;
      fmt::print(stderr, "attempt {} {} {}\n", ended->token, to_string(result.state), result.text);
    }
    session_.write(*message);
  }
}

}  // namespace

int serve(const Settings& settings, const ExecutorOptions& executor, Client& client,
          int signal_fd) {
  return Loop(settings, executor, client, signal_fd).run();
}

}  // namespace valkyrie::runner
