#include "server/ops/process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <poll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "protocol/assert.h"

namespace valkyrie::server {

std::expected<transport::Socket, std::error_code> take_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  transport::Socket fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return std::unexpected(std::error_code(errno, std::generic_category()));
  return fd;
}

int next_signal(int fd) {
  signalfd_siginfo info{};
  if (::read(fd, &info, sizeof info) != sizeof info) return 0;
  return static_cast<int>(info.ssi_signo);
}

std::uint64_t raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlimit raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  return limit.rlim_cur;
}

std::uint64_t random_number() {
  std::uint64_t number = 0;
  // Up to 256 bytes are given whole once the system's generator is seeded.
  const ssize_t count = ::getrandom(&number, sizeof number, 0);
  VALKYRIE_ASSERT(count == sizeof number);
  return number;
}

StopCause wait_for_stop(int signal_fd, int event_fd, int timeout_ms,
                        const std::function<void()>& on_hangup) {
  std::array<pollfd, 2> watched{{{.fd = signal_fd, .events = POLLIN, .revents = 0},
                                 {.fd = event_fd, .events = POLLIN, .revents = 0}}};
  while (true) {
    const int count = ::poll(watched.data(), watched.size(), timeout_ms);
    if (count == 0) return StopCause::timeout;
    if (count < 0) continue;  // EINTR: a debugger, or a job-control signal.
    const int signal = watched[0].revents != 0 ? next_signal(signal_fd) : 0;
    if (signal == SIGHUP) {
      on_hangup();
      continue;
    }
    if (signal != 0) return StopCause::signal;
    if (watched[1].revents != 0) return StopCause::event;
  }
}

}  // namespace valkyrie::server
