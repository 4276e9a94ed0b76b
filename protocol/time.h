// Time as the protocol sees it: an argument, never read from a clock here.
#pragma once

#include <chrono>

namespace valkyrie::protocol {

// Length of time; nanoseconds, as deadlines have on the wire.
using Duration = std::chrono::nanoseconds;

// Clock type of Instant. It has no now(): the caller brings the time, real or virtual.
struct SessionClock {
  // Types a clock names, for std::chrono::time_point.
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<SessionClock, Duration>;
  static constexpr bool is_steady = true;
};

// A moment with any monotonic origin: only differences mean something.
using Instant = SessionClock::time_point;

}  // namespace valkyrie::protocol
