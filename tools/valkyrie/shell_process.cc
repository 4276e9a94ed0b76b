#include "tools/valkyrie/shell_process.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

extern char** environ;

namespace valkyrie::tools {

namespace {

// Bytes of standard error kept for the error's text.
constexpr std::size_t kErrorTextBytesMax = 512;

// Appends what one read gives. False: the end.
bool take(int from, std::string& to) {
  std::array<char, 64 * 1024> buffer;
  const ssize_t size = read(from, buffer.data(), buffer.size());
  if (size <= 0) return size < 0 && errno == EINTR;
  to.append(buffer.data(), static_cast<std::size_t>(size));
  return true;
}

}  // namespace

Pipe::Pipe() : ok_(pipe2(ends_.data(), O_CLOEXEC) == 0) {}

Pipe::~Pipe() {
  close_end(0);
  close_end(1);
}

void Pipe::close_end(std::size_t which) {
  if (ends_[which] >= 0) close(std::exchange(ends_[which], -1));
}

int ShellProcess::start(const std::string& command) {
  if (!in_.ok() || !out_.ok() || !err_.ok()) return errno;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in_.reading(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out_.writing(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err_.writing(), STDERR_FILENO);
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
  in_.close_reading();
  out_.close_writing();
  err_.close_writing();
  fcntl(in_.writing(), F_SETFL, O_NONBLOCK);
  return error;
}

void ShellProcess::feed(std::string_view& bytes) {
  const ssize_t size = write(in_.writing(), bytes.data(), bytes.size());
  if (size > 0) bytes.remove_prefix(static_cast<std::size_t>(size));
  if (size < 0 && errno != EAGAIN && errno != EINTR) close_input();
}

void ShellProcess::take_output(std::string& to) {
  if (!take(out_.reading(), to)) out_.close_reading();
}

void ShellProcess::take_error_output() {
  if (!take(err_.reading(), error_text_)) err_.close_reading();
  if (error_text_.size() > kErrorTextBytesMax) {
    error_text_.erase(0, error_text_.size() - kErrorTextBytesMax);  // The end says what went wrong.
  }
}

void ShellProcess::kill_group() const { kill(-pid_, SIGKILL); }

Status ShellProcess::wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  while (!error_text_.empty() && error_text_.back() == '\n') error_text_.pop_back();
  const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                              : fmt::format("exit {}", WEXITSTATUS(status));
  return Status(StatusCode::aborted,
                error_text_.empty() ? how : fmt::format("{}: {}", how, error_text_));
}

}  // namespace valkyrie::tools
