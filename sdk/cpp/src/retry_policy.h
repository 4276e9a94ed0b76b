// When a call that failed, or has had no answer for long, is made again. Pure: no clock, no
// randomness of its own, no threads. Not for applications.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "protocol/constants.h"
#include "protocol/time.h"

namespace valkyrie::detail {

// Attempts at one call, the first included, hedged ones too.
inline constexpr std::uint8_t kAttemptsMax = 3;

// What all calls of a client together may make again: however dead a service is, its load grows by
// no more than a tenth.
class RetryBudget {
 public:
  // Attempts beyond the first that may be saved up, and are there at the start.
  static constexpr std::uint32_t kSavedMax = 10;
  // Calls that earn one.
  static constexpr std::uint32_t kCallsEach = 10;

  // A call was made.
  void earn() { tenths_ = std::min(tenths_ + 1, kSavedMax * kCallsEach); }
  // Pays for an attempt beyond the first; false if there is nothing left.
  [[nodiscard]] bool spend() {
    if (tenths_ < kCallsEach) return false;
    tenths_ -= kCallsEach;
    return true;
  }
  // It was not made after all.
  void give_back() { tenths_ = std::min(tenths_ + kCallsEach, kSavedMax * kCallsEach); }

 private:
  std::uint32_t tenths_ = kSavedMax * kCallsEach;
};

// Whether a failure may be mended by another attempt. Only what says that nobody is there is tried
// again: any other failure would come again. `repeatable`: what may have executed may run once
// more.
[[nodiscard]] constexpr bool may_retry(protocol::StatusCode code, protocol::Outcome outcome,
                                       bool repeatable) {
  return code == protocol::StatusCode::unavailable &&
         (outcome == protocol::Outcome::not_executed || repeatable);
}

// The pause before an attempt, after so many: anything up to a bound that doubles. `random` is
// uniform in [0, 1).
[[nodiscard]] inline protocol::Duration retry_pause(std::uint8_t attempts, double random) {
  constexpr protocol::Duration kBound = std::chrono::milliseconds{20};
  const auto bound = static_cast<double>((kBound * (1 << attempts)).count());
  return protocol::Duration{static_cast<std::int64_t>(random * bound)};
}

}  // namespace valkyrie::detail
