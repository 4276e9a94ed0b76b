#include "runner/attempt.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <span>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

#include "runner/shim.h"

namespace valkyrie::runner {

using messages::EndReason;
using messages::JobState;
using protocol::Instant;

namespace {

// The smallest chunk worth a message while the window is nearly shut, bytes.
constexpr std::size_t kChunkBytesMin = 1024;

void close_fd(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

// Descriptors of one launch; what is still held is closed.
struct Descriptors {
  int control[2] = {-1, -1};
  int out[2] = {-1, -1};
  int err[2] = {-1, -1};
  std::array<int, 3> inner{-1, -1, -1};  // Above the numbers they get in the shim.

  Descriptors() = default;
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors() {
    for (int* pair : {control, out, err}) {
      close_fd(pair[0]);
      close_fd(pair[1]);
    }
    for (int& fd : inner) close_fd(fd);
  }

  bool open() {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0) return false;
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) return false;
    const std::array<int, 3> ends{control[1], out[1], err[1]};
    for (std::size_t i = 0; i < ends.size(); ++i) {
      inner[i] = fcntl(ends[i], F_DUPFD_CLOEXEC, kShimErrFd + 1);
      if (inner[i] < 0) return false;
    }
    for (const int fd : {control[0], out[0], err[0]}) {
      if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return false;
    }
    return true;
  }
};

// Starts the shim with nothing of ours but its descriptors: own session, so that a terminal's
// Ctrl-C reaches the agent alone; no signal ignored or blocked; no environment.
int spawn_shim(const std::vector<char*>& argv, const std::array<int, 3>& inner, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  constexpr std::array<int, 3> kTargets{kShimControlFd, kShimOutFd, kShimErrFd};
  for (std::size_t i = 0; i < inner.size(); ++i) {
    posix_spawn_file_actions_adddup2(&actions, inner[i], kTargets[i]);
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  char* environment[] = {nullptr};
  const int error =
      posix_spawn(&pid, argv.front(), &actions, &attributes, argv.data(), environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

std::expected<std::unique_ptr<Attempt>, std::string> Attempt::launch(const ExecutorOptions& options,
                                                                     const messages::Start& start,
                                                                     Instant now) {
  std::unique_ptr<Attempt> attempt(new Attempt);
  attempt->token_ = start.token;
  attempt->received_ = now;
  attempt->cost_limit_ = start.output_limit;
  if (auto spawned = attempt->spawn(options); !spawned) return std::unexpected(spawned.error());
  if (!attempt->send_to_shim(start)) return std::unexpected("the shim died at its start");
  return attempt;
}

std::expected<void, std::string> Attempt::spawn(const ExecutorOptions& options) {
  Descriptors fds;
  if (!fds.open()) {
    return std::unexpected(fmt::format("cannot make pipes: {}", std::strerror(errno)));
  }
  std::vector<std::string> words = {options.program, "--shim", options.work_dir.string(),
                                    std::to_string(static_cast<unsigned>(options.fence))};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int error = spawn_shim(argv, fds.inner, shim_);
  if (error != 0) {
    return std::unexpected(
        fmt::format("cannot start {}: {}", options.program, std::strerror(error)));
  }
  control_ = std::exchange(fds.control[0], -1);
  pipes_[0].fd = std::exchange(fds.out[0], -1);
  pipes_[1].fd = std::exchange(fds.err[0], -1);
  return {};
}

Attempt::~Attempt() {
  close_fd(control_);  // The shim takes it as the agent's death, and kills.
  for (Pipe& pipe : pipes_) close_fd(pipe.fd);
  int status = 0;
  while (shim_ > 0 && waitpid(shim_, &status, 0) < 0 && errno == EINTR) {
  }
}

bool Attempt::send_to_shim(const messages::NodeMessage& message) const {
  const std::string packet = encode(message);
  return send(control_, packet.data(), packet.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(packet.size());
}

void Attempt::cancel(const messages::CancelAttempt& request) {
  // A shim that cannot take it is dying, which read_control() will see.
  if (control_ >= 0) (void)send_to_shim(request);
}

void Attempt::go() {
  if (control_ >= 0) (void)send_to_shim(messages::Go{token_});
}

void Attempt::open_window(std::uint64_t output_limit) {
  cost_limit_ = std::max(cost_limit_, output_limit);
}

std::size_t Attempt::chunk_room() const {
  const std::uint64_t left = cost_limit_ - cost_;
  if (cost_limit_ <= cost_ || left < messages::kChunkCostBytes + kChunkBytesMin) return 0;
  return static_cast<std::size_t>(
      std::min<std::uint64_t>(left - messages::kChunkCostBytes, messages::kChunkBytesMax));
}

std::array<Attempt::Watch, 3> Attempt::watches() const {
  // Nothing of the output goes before the word that it started.
  const bool may_read = chunk_room() > 0 && (started_ || result_);
  return {{{control_, control_ >= 0},
           {pipes_[0].fd, pipes_[0].fd >= 0 && may_read},
           {pipes_[1].fd, pipes_[1].fd >= 0 && may_read}}};
}

void Attempt::on_ready(int fd, Instant now) {
  if (fd < 0) return;
  if (fd == control_) {
    read_control(now);
  } else {
    for (Pipe& pipe : pipes_) {
      if (pipe.fd == fd) read_pipe(pipe, now);
    }
  }
  finish_if_drained();
}

void Attempt::read_pipe(Pipe& pipe, Instant now) {
  const std::size_t room = chunk_room();
  if (room == 0 || pipe.fd < 0) return;
  std::string data(room, '\0');
  const ssize_t size = read(pipe.fd, data.data(), data.size());
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    close_fd(pipe.fd);
    return;
  }
  data.resize(static_cast<std::size_t>(size));
  if (data.capacity() > 2 * data.size()) data.shrink_to_fit();
  cost_ += messages::kChunkCostBytes + data.size();
  const std::uint64_t offset = std::exchange(offset_, offset_ + data.size());
  const auto stream = tail_settled_ ? messages::OutputStream::background : pipe.stream;
  messages_.emplace_back(messages::Chunk{token_, stream, offset, std::move(data)});
  if (!deadline_) return;
  deadline_ = result_ ? now + kTailIdle : std::min(now + kTailIdle, *tail_until_);
}

void Attempt::begin_tail(Instant now) {
  tail_until_ = now + kTailMax;
  deadline_ = now + kTailIdle;
}

void Attempt::on_deadline(Instant now) {
  if (!deadline_ || now < *deadline_) return;
  if (chunk_room() == 0) {
    begin_tail(now);  // Its silence is ours: nobody lets us read.
    return;
  }
  const std::uint64_t before = offset_;
  for (Pipe& pipe : pipes_) read_pipe(pipe, now);
  const bool silent = offset_ == before;
  if (result_) {
    // Without proof of death someone may hold the pipes for ever: what is silent is over.
    if (silent) close_pipes();
    if (!silent) deadline_ = now + kTailIdle;
  } else if (silent || now >= *tail_until_) {
    settle_tail();
  }
  finish_if_drained();
}

void Attempt::settle_tail() {
  tail_settled_ = true;
  deadline_.reset();
  if (control_ >= 0) (void)send_to_shim(messages::Settled{token_});
}

void Attempt::close_pipes() {
  for (Pipe& pipe : pipes_) close_fd(pipe.fd);
}

void Attempt::take_result(messages::AttemptEnded ended, Instant now) {
  result_ = std::move(ended);
  // After a proven end the pipes end too, and all in them is read. Else only silence can end it.
  deadline_.reset();
  if (!result_->result.evidence.complete) deadline_ = now + kTailIdle;
}

void Attempt::read_control(Instant now) {
  std::vector<std::byte> packet(messages::kJobSpecBytesMax);
  const ssize_t size = recv(control_, packet.data(), packet.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  std::expected<messages::RunnerMessage, messages::DecodeError> message =
      std::unexpected(messages::DecodeError::malformed);
  if (size > 0) {
    message = messages::decode<messages::RunnerMessage>(
        std::span(packet).first(static_cast<std::size_t>(size)));
  }
  if (!message) {
    close_fd(control_);
    if (result_ || ended_) return;
    take_result({token_,
                 {.state = JobState::failed,
                  .reason = EndReason::runner_lost,
                  .text = "the attempt's shim died",
                  .evidence = {.method = "presumed"}}},
                now);
    return;
  }
  if (auto* ended = std::get_if<messages::AttemptEnded>(&*message)) {
    take_result(std::move(*ended), now);
    return;
  }
  started_ = true;
  if (auto* started = std::get_if<messages::AttemptStarted>(&*message)) {
    // Counted here, where the Start came: the start of the shim is no time on the way.
    started->held_ns = static_cast<std::uint64_t>((now - received_).count());
  }
  if (std::holds_alternative<messages::AttemptFinishing>(*message)) begin_tail(now);
  messages_.push_back(std::move(*message));
}

void Attempt::finish_if_drained() {
  if (!result_ || pipes_[0].fd >= 0 || pipes_[1].fd >= 0) return;
  result_->result.output_bytes = offset_;
  messages_.emplace_back(std::move(*result_));
  result_.reset();
  deadline_.reset();
  ended_ = true;
}

std::optional<messages::RunnerMessage> Attempt::poll_message() {
  if (messages_.empty()) return std::nullopt;
  messages::RunnerMessage message = std::move(messages_.front());
  messages_.pop_front();
  if (std::holds_alternative<messages::AttemptEnded>(message)) over_ = true;
  return message;
}

}  // namespace valkyrie::runner
