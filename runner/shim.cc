#include "runner/shim.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <span>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "protocol/messages/jobs.h"
#include "runner/init.h"
#include "runner/process_tree.h"
#include "runner/workspace.h"

namespace valkyrie::runner {
namespace {

using messages::EndReason;
using messages::JobState;

// Bytes of a packet on the control socket: a Start with the largest spec.
constexpr std::size_t kPacketBytesMax = messages::kJobSpecBytesMax + 4096;
// Between two rounds of killing a tree that has no namespace, milliseconds.
constexpr std::int64_t kKillRoundMs = 10;

// Nanoseconds since boot, suspend included: the machine's sleep counts against an attempt.
std::int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::uint64_t nanoseconds(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(time.tv_usec) * 1000u;
}

void send_packet(const messages::RunnerMessage& message) {
  const std::string packet = encode(message);
  while (send(kShimControlFd, packet.data(), packet.size(), MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

// The agent's next message; nullopt: the agent is gone, or not one of ours.
std::optional<messages::NodeMessage> receive_packet() {
  std::vector<std::byte> packet(kPacketBytesMax);
  ssize_t size = 0;
  do {
    size = recv(kShimControlFd, packet.data(), packet.size(), 0);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return std::nullopt;
  auto message =
      messages::decode<messages::NodeMessage>(std::span(packet).first(static_cast<size_t>(size)));
  if (!message) return std::nullopt;
  return std::move(*message);
}

std::vector<std::string> environment_of(const messages::Start& start, const Workspace& workspace) {
  std::vector<messages::NameValue> variables = {
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"HOME", workspace.work()},
      {"TMPDIR", workspace.tmp()},
      {"SHELL", "/bin/sh"},
      {"LANG", "C.UTF-8"}};
  const auto set = [&](const messages::NameValue& variable) {
    std::erase_if(variables, [&](const auto& other) { return other.first == variable.first; });
    variables.push_back(variable);
  };
  for (const messages::NameValue& variable : start.spec.environment) set(variable);
  set({"VALKYRIE_JOB_ID", start.job});
  set({"VALKYRIE_ATTEMPT", std::to_string(start.attempt)});
  set({"VALKYRIE_FENCING_TOKEN", std::to_string(start.token)});
  set({"VALKYRIE_WORKSPACE", workspace.work()});
  std::vector<std::string> environment;
  for (const auto& [name, value] : variables) environment.push_back(name + "=" + value);
  return environment;
}

std::vector<std::string> argv_of(const messages::JobSpec& spec) {
  if (!spec.argv.empty()) return spec.argv;
  std::string script;
  for (const std::string& line : spec.commands) script += line + "\n";
  return {"/bin/sh", "-euc", script};
}

// One attempt, from Start to AttemptEnded.
class Shim {
 public:
  Shim(messages::Start start, Fence fence, Workspace workspace)
      : start_(std::move(start)), fence_(fence), workspace_(std::move(workspace)) {}

  // Waits until a held attempt may run. False: it never will; why is in the result.
  bool await_go();
  // False: there was nothing to start; why is in the result.
  bool launch();
  void follow();
  void finish();

 private:
  // How far stopping has come.
  enum class Stage : std::uint8_t { none, term, kill };

  void stop(std::uint64_t grace_ms, JobState state, EndReason reason, std::string text);
  void signal_tree(int number);
  void kill_root();
  void on_control();
  void on_report();
  void on_time(std::int64_t now);
  void leader_over(int status);
  [[nodiscard]] int wait_ms() const;
  [[nodiscard]] std::int64_t elapsed_ms_of_stop() const {
    return (now_ns() - stop_began_ns_) / 1'000'000;
  }

  messages::Start start_;
  Fence fence_;
  Workspace workspace_;
  messages::JobResult result_;
  Root root_;
  int report_fd_ = -1;
  bool root_alive_ = false;
  bool agent_alive_ = true;
  bool leader_over_ = false;
  bool given_up_ = false;
  Stage stage_ = Stage::none;
  std::int64_t started_ns_ = 0;
  std::int64_t stop_began_ns_ = 0;
  std::int64_t stage_until_ns_ = std::numeric_limits<std::int64_t>::max();
  std::int64_t run_until_ns_ = std::numeric_limits<std::int64_t>::max();
  std::int64_t next_kill_round_ns_ = std::numeric_limits<std::int64_t>::max();
};

bool Shim::await_go() {
  if (!start_.hold) return true;
  const auto message = receive_packet();
  if (message && std::holds_alternative<messages::Go>(*message)) return true;
  const auto* cancel = message ? std::get_if<messages::CancelAttempt>(&*message) : nullptr;
  result_.state = cancel != nullptr ? JobState::cancelled : JobState::failed;
  result_.reason = cancel != nullptr ? EndReason::none : EndReason::runner_lost;
  result_.text = cancel != nullptr ? cancel->text : "the runner's agent went away";
  result_.evidence.method = "never_started";
  result_.evidence.complete = true;
  return false;
}

bool Shim::launch() {
  result_.evidence.method = fence_ == Fence::none ? "process_group" : "namespace";
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) {
    result_.text = fmt::format("cannot make a pipe: {}", std::strerror(errno));
    return false;
  }
  const Leader leader{.argv = argv_of(start_.spec),
                      .environment = environment_of(start_, workspace_),
                      .folder = workspace_.work(),
                      .out_fd = kShimOutFd,
                      .err_fd = kShimErrFd};
  const auto root = start_root(fence_, [&] {
    close(report[0]);
    close(kShimControlFd);
    return run_init(leader, report[1]);
  });
  close(report[1]);
  close(kShimOutFd);
  close(kShimErrFd);
  report_fd_ = report[0];
  if (!root) {
    result_.text = fmt::format("cannot start a process: {}", root.error().message());
    return false;
  }
  root_ = *root;
  root_alive_ = true;
  started_ns_ = now_ns();
  if (start_.spec.timeout_run_ms != 0) {
    run_until_ns_ = started_ns_ + static_cast<std::int64_t>(start_.spec.timeout_run_ms) * 1'000'000;
  }
  return true;
}

int Shim::wait_ms() const {
  const std::int64_t until = std::min({stage_until_ns_, run_until_ns_, next_kill_round_ns_});
  if (until == std::numeric_limits<std::int64_t>::max()) return -1;
  const std::int64_t left = (until - now_ns() + 999'999) / 1'000'000;
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

void Shim::follow() {
  while (root_alive_ && !given_up_) {
    std::array<pollfd, 3> watched = {{{.fd = agent_alive_ ? kShimControlFd : -1, .events = POLLIN},
                                      {.fd = report_fd_, .events = POLLIN},
                                      {.fd = root_.pidfd, .events = POLLIN}}};
    const int ready = poll(watched.data(), watched.size(), wait_ms());
    if (ready < 0) continue;
    // Reports first: the root writes its last before it dies.
    if (watched[1].revents != 0) on_report();
    if (watched[0].revents != 0) on_control();
    if (watched[2].revents != 0 && watched[1].revents == 0) root_alive_ = false;
    on_time(now_ns());
  }
}

void Shim::on_control() {
  const auto message = receive_packet();
  if (!message) {
    agent_alive_ = false;
    stop(0, JobState::failed, EndReason::runner_lost, "the runner's agent went away");
    return;
  }
  if (const auto* cancel = std::get_if<messages::CancelAttempt>(&*message)) {
    stop(cancel->grace_ms, JobState::cancelled, EndReason::none, cancel->text);
  } else if (std::holds_alternative<messages::Settled>(*message) && leader_over_ &&
             stage_ == Stage::none) {
    // The leader's end stands; only what it left behind is killed.
    stop_began_ns_ = now_ns();
    result_.evidence.leftovers = static_cast<std::uint32_t>(descendants(root_.pid).size());
    kill_root();
  }
}

void Shim::on_report() {
  InitReport report;
  const ssize_t size = read(report_fd_, &report, sizeof report);
  if (size != sizeof report) {
    close(report_fd_);
    report_fd_ = -1;
    return;
  }
  switch (report.kind) {
    case InitReport::Kind::started:
      send_packet(messages::AttemptStarted{.token = start_.token});  // The agent adds `held_ns`.
      break;
    case InitReport::Kind::exec_failed:
      result_.state = JobState::failed;
      result_.reason = EndReason::prepare;
      result_.text = fmt::format("cannot execute \"{}\": {}", argv_of(start_.spec).front(),
                                 std::strerror(report.value));
      leader_over_ = true;
      break;
    case InitReport::Kind::leader_over:
      leader_over(report.value);
      break;
  }
}

void Shim::leader_over(int status) {
  leader_over_ = true;
  run_until_ns_ = std::numeric_limits<std::int64_t>::max();
  result_.duration_ns = static_cast<std::uint64_t>(now_ns() - started_ns_);
  if (WIFEXITED(status)) result_.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result_.signal = static_cast<std::uint32_t>(WTERMSIG(status));
  const bool succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (succeeded && result_.state != JobState::failed) {
    result_.state = JobState::succeeded;  // While cancelling, too.
    result_.text.clear();
  } else if (result_.state == JobState::unspecified) {
    result_.state = JobState::failed;
    result_.reason = result_.signal != 0 ? EndReason::signal : EndReason::exit;
    result_.text = result_.signal != 0 ? fmt::format("killed by signal {} ({})", result_.signal,
                                                     strsignal(static_cast<int>(result_.signal)))
                                       : fmt::format("exited with {}", result_.exit_code);
  }
  send_packet(messages::AttemptFinishing{start_.token});
}

void Shim::on_time(std::int64_t now) {
  if (now >= run_until_ns_) {
    run_until_ns_ = std::numeric_limits<std::int64_t>::max();
    stop(kShimGraceMs, JobState::failed, EndReason::timeout_run,
         fmt::format("ran longer than {} ms", start_.spec.timeout_run_ms));
  }
  if (stage_ == Stage::term && now >= stage_until_ns_) kill_root();
  if (stage_ != Stage::kill) return;
  if (now >= stage_until_ns_) given_up_ = true;
  if (fence_ == Fence::none && now >= next_kill_round_ns_) {
    for (const pid_t pid : descendants(root_.pid)) kill(pid, SIGKILL);
    next_kill_round_ns_ = now + kKillRoundMs * 1'000'000;
  }
}

void Shim::stop(std::uint64_t grace_ms, JobState state, EndReason reason, std::string text) {
  if (result_.state == JobState::unspecified) {
    result_.state = state;
    result_.reason = reason;
    result_.text = std::move(text);
  }
  if (stage_ == Stage::kill) return;
  const std::int64_t until = now_ns() + static_cast<std::int64_t>(grace_ms) * 1'000'000;
  if (stage_ == Stage::term) {
    stage_until_ns_ = std::min(stage_until_ns_, until);
    return;
  }
  stop_began_ns_ = now_ns();
  if (grace_ms == 0) {
    kill_root();
    return;
  }
  stage_ = Stage::term;
  stage_until_ns_ = until;
  signal_tree(SIGTERM);
}

void Shim::signal_tree(int number) {
  // All have the signal before any can act on it: a child forked meanwhile would never get it.
  const std::vector<pid_t> processes = hold_descendants(root_.pid);
  for (const pid_t pid : processes) kill(pid, number);
  for (const pid_t pid : processes) kill(pid, SIGCONT);
  result_.evidence.signals.push_back({.signal = static_cast<std::uint32_t>(number),
                                      .after_ms = static_cast<std::uint64_t>(elapsed_ms_of_stop()),
                                      .processes = static_cast<std::uint32_t>(processes.size())});
}

void Shim::kill_root() {
  stage_ = Stage::kill;
  stage_until_ns_ = now_ns() + static_cast<std::int64_t>(kKillPatienceMs) * 1'000'000;
  signal_tree(SIGKILL);
  if (fence_ == Fence::none) {
    // The root must stay until the last: orphans come to it, and it ends by itself after them.
    next_kill_round_ns_ = now_ns() + kKillRoundMs * 1'000'000;
  } else {
    syscall(SYS_pidfd_send_signal, root_.pidfd, SIGKILL, nullptr, 0);
  }
}

void Shim::finish() {
  messages::Evidence& evidence = result_.evidence;
  if (root_.pid > 0 && !root_alive_) {
    rusage usage{};
    int status = 0;
    while (wait4(root_.pid, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    evidence.init_reaped = true;
    // The kernel lets a namespace's first process be reaped only when all in it are dead.
    evidence.complete = fence_ != Fence::none;
    result_.usage = {.user_ns = nanoseconds(usage.ru_utime),
                     .system_ns = nanoseconds(usage.ru_stime),
                     .memory_peak_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
  } else if (root_.pid > 0) {
    for (const pid_t pid : descendants(root_.pid)) {
      if (evidence.survivors.size() == messages::kEvidenceEntriesMax) break;
      evidence.survivors.push_back(describe_survivor(pid));
    }
  }
  if (result_.state == JobState::unspecified) {  // The root died before it could say anything.
    result_.state = JobState::failed;
    result_.reason = EndReason::prepare;
    if (result_.text.empty()) result_.text = "the attempt's first process died at its start";
  }
  if (started_ns_ != 0 && result_.duration_ns == 0) {
    result_.duration_ns = static_cast<std::uint64_t>(now_ns() - started_ns_);
  }
  evidence.workspace_removed = workspace_.remove();
  send_packet(messages::AttemptEnded{start_.token, std::move(result_)});
}

}  // namespace

int run_shim(const std::filesystem::path& work_dir, Fence fence) {
  prctl(PR_SET_NAME, "valkyrie-shim");
  auto first = receive_packet();
  auto* start = first ? std::get_if<messages::Start>(&*first) : nullptr;
  if (start == nullptr) return 1;
  auto workspace = Workspace::create(work_dir, fmt::format("{}.{}", start->job, start->attempt));
  if (!workspace) {
    messages::AttemptEnded end{start->token,
                               {.state = JobState::failed,
                                .reason = EndReason::prepare,
                                .text = workspace.error(),
                                .evidence = {.method = "never_started", .complete = true}}};
    send_packet(end);
    return 0;
  }
  Shim shim(std::move(*start), fence, std::move(*workspace));
  if (shim.await_go() && shim.launch()) shim.follow();
  shim.finish();
  return 0;
}

bool run_if_shim(int argc, char** argv, int& exit_code) {
  if (argc != 4 || std::string_view(argv[1]) != "--shim") return false;
  unsigned fence = 0;
  const std::string_view text = argv[3];
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), fence);
  if (parsed.ec != std::errc() || fence > static_cast<unsigned>(Fence::user_namespaces)) {
    exit_code = 2;
    return true;
  }
  exit_code = run_shim(argv[2], static_cast<Fence>(fence));
  return true;
}

}  // namespace valkyrie::runner
