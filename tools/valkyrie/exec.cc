#include "tools/valkyrie/exec.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

extern char** environ;

namespace valkyrie::tools {

namespace {

// Bytes of standard error kept for the error's text.
constexpr std::size_t kErrorTextBytesMax = 512;

// Both ends of a pipe; what was not taken is closed.
struct Pipe {
  Pipe() { ok = pipe2(ends.data(), O_CLOEXEC) == 0; }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(std::size_t which) {
    if (ends[which] >= 0) close(std::exchange(ends[which], -1));
  }
  std::array<int, 2> ends = {-1, -1};
  bool ok = false;
};

// One run of the program.
class Run {
 public:
  // 0, or the errno of what failed.
  int start(const std::string& command) {
    if (!in_.ok || !out_.ok || !err_.ok || !wake_.ok) return errno;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in_.ends[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out_.ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err_.ends[1], STDERR_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    std::string shell = "sh";
    std::string flag = "-c";
    std::string text = command;
    char* const argv[] = {shell.data(), flag.data(), text.data(), nullptr};
    const int error = posix_spawnp(&pid_, "/bin/sh", &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    in_.close_end(0);
    out_.close_end(1);
    err_.close_end(1);
    fcntl(in_.ends[1], F_SETFL, O_NONBLOCK);
    return error;
  }

  // Feeds and reads until the program has closed its outputs, or too much came, or `stop`.
  void pump(BytesView input, std::stop_token stop) {
    const std::stop_callback on_stop(stop, [this] { (void)!write(wake_.ends[1], "x", 1); });
    std::string_view left = input.text();
    if (left.empty()) in_.close_end(1);
    while (out_.ends[0] >= 0 || err_.ends[0] >= 0) {
      std::array<pollfd, 4> fds = {pollfd{in_.ends[1], POLLOUT, 0}, pollfd{out_.ends[0], POLLIN, 0},
                                   pollfd{err_.ends[0], POLLIN, 0},
                                   pollfd{wake_.ends[0], POLLIN, 0}};
      if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) break;
      if (fds[3].revents != 0) {
        stopped_ = true;
        break;
      }
      if (fds[0].revents != 0) feed(left);
      if (fds[1].revents != 0) take(out_, output_, kExecOutputBytesMax + 1);
      if (fds[2].revents != 0) take(err_, error_text_, SIZE_MAX);
      if (output_.size() > kExecOutputBytesMax) break;
    }
  }

  // Kills what is left of the group if it was cut short, and reaps the program.
  Result<Bytes> finish() {
    const bool too_much = output_.size() > kExecOutputBytesMax;
    if (stopped_ || too_much) kill(-pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    if (stopped_) return fail(StatusCode::cancelled, "the caller gave up");
    if (too_much) {
      return fail(StatusCode::resource_exhausted,
                  fmt::format("the program wrote more than {} bytes", kExecOutputBytesMax));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Bytes::take(std::move(output_));
    while (!error_text_.empty() && error_text_.back() == '\n') error_text_.pop_back();
    const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                                : fmt::format("exit {}", WEXITSTATUS(status));
    return fail(StatusCode::aborted,
                error_text_.empty() ? how : fmt::format("{}: {}", how, error_text_));
  }

 private:
  void feed(std::string_view& left) {
    const ssize_t size = write(in_.ends[1], left.data(), left.size());
    if (size > 0) left.remove_prefix(static_cast<std::size_t>(size));
    // A program that does not read its input is its own affair: EPIPE ends the feeding only.
    const bool failed = size < 0 && errno != EAGAIN && errno != EINTR;
    if (left.empty() || failed) in_.close_end(1);
  }

  static void take(Pipe& from, std::string& to, std::size_t bytes_max) {
    std::array<char, 64 * 1024> buffer;
    const ssize_t size = read(from.ends[0], buffer.data(), buffer.size());
    if (size <= 0) {
      if (size == 0 || errno != EINTR) from.close_end(0);
      return;
    }
    to.append(buffer.data(), std::min(static_cast<std::size_t>(size), bytes_max - to.size()));
    if (bytes_max == SIZE_MAX && to.size() > kErrorTextBytesMax) {
      to.erase(0, to.size() - kErrorTextBytesMax);  // The end says what went wrong.
    }
  }

  Pipe in_;
  Pipe out_;
  Pipe err_;
  Pipe wake_;
  pid_t pid_ = -1;
  std::string output_;
  std::string error_text_;
  bool stopped_ = false;
};

}  // namespace

Result<Bytes> exec_filter(const std::string& command, BytesView input, std::stop_token stop) {
  Run run;
  if (const int error = run.start(command); error != 0) {
    return fail(StatusCode::internal, fmt::format("cannot start sh: {}", std::strerror(error)));
  }
  run.pump(input, std::move(stop));
  return run.finish();
}

}  // namespace valkyrie::tools
