// The clock of the load generators, and when they count.
#pragma once

#include <cerrno>
#include <cstdint>
#include <ctime>

namespace valkyrie::tools {

// When what happens is counted. Set before anything does.
struct Window {
  std::uint64_t begin_ns = 0;
  std::uint64_t end_ns = 0;

  // Whether an instant of now_ns() counts.
  [[nodiscard]] bool contains(std::uint64_t at_ns) const {
    return at_ns >= begin_ns && at_ns < end_ns;
  }
};

// Nanoseconds of CLOCK_MONOTONIC: comparable between threads, not between machines.
[[nodiscard]] inline std::uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// Sleeps until an instant of now_ns(); signals do not end it early.
inline void sleep_until_ns(std::uint64_t when_ns) {
  const timespec when{.tv_sec = static_cast<time_t>(when_ns / 1'000'000'000),
                      .tv_nsec = static_cast<long>(when_ns % 1'000'000'000)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, nullptr) == EINTR) {
  }
}

}  // namespace valkyrie::tools
