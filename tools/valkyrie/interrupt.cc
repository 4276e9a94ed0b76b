#include "tools/valkyrie/interrupt.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "protocol/assert.h"

namespace valkyrie::tools {

namespace {

// A signal handler can reach nothing else.
std::atomic<int> interrupted{0};
static_assert(std::atomic<int>::is_always_lock_free);
std::array<int, 2> pipe_ends = {-1, -1};

void on_signal(int number) {
  if (interrupted != 0) {
    // The second one: as if nobody had asked.
    signal(number, SIG_DFL);
    raise(number);
    return;
  }
  interrupted = 1;
  const int saved = errno;
  const char byte = 1;
  (void)!write(pipe_ends[1], &byte, 1);
  errno = saved;
}

void handle(void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

Interrupt::Interrupt() {
  VALKYRIE_ASSERT(pipe_ends[0] == -1);
  VALKYRIE_ASSERT(pipe2(pipe_ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
  interrupted = 0;
  handle(on_signal);
}

Interrupt::~Interrupt() {
  handle(SIG_DFL);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  pipe_ends = {-1, -1};
}

bool Interrupt::wait_for(Duration time) const {
  pollfd watched{.fd = pipe_ends[0], .events = POLLIN, .revents = 0};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  const timespec timeout{.tv_sec = seconds.count(), .tv_nsec = (time - seconds).count()};
  (void)ppoll(&watched, 1, &timeout, nullptr);
  return requested();
}

bool Interrupt::wait() const {
  pollfd watched{.fd = pipe_ends[0], .events = POLLIN, .revents = 0};
  while (poll(&watched, 1, -1) < 0 && errno == EINTR) {
  }
  return requested();
}

void Interrupt::wake() const {
  const char byte = 0;
  (void)!write(pipe_ends[1], &byte, 1);
}

int Interrupt::fd() const { return pipe_ends[0]; }

bool Interrupt::requested() const { return interrupted != 0; }

}  // namespace valkyrie::tools
