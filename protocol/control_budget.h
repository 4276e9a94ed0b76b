// How many control frames a peer may send, and how often it may RESET its streams:
// docs/spec/session.md, "Limits".
// Private to this folder.
#pragma once

#include <algorithm>
#include <cstdint>

#include "protocol/constants.h"
#include "protocol/time.h"

namespace valkyrie::protocol {

// A token bucket: a burst, refilled by time up to the burst, and four frames more for each credited
// frame in either direction, since every message may honestly need that many.
class ControlBudget {
 public:
  ControlBudget(std::uint32_t burst, std::uint32_t per_second, Instant now)
      : burst_(burst), per_second_(per_second), tokens_(burst), refilled_at_(now) {}

  // A credited frame was sent or received.
  void earn(std::uint64_t frames) {
    tokens_ += static_cast<std::int64_t>(frames * kControlFramesPerCreditedFrame);
  }
  // Gives one back, never more than the burst in all.
  void give_back() { tokens_ = std::min(tokens_ + 1, std::max(tokens_, burst_)); }
  // One was used; false when it is one too many.
  bool spend(Instant now) {
    if (--tokens_ >= 0) return true;
    refill(now);
    return tokens_ >= 0;
  }

 private:
  void refill(Instant now) {
    const std::int64_t elapsed_ns = (now - refilled_at_).count();
    const std::int64_t earned =
        std::min<std::int64_t>(elapsed_ns / (1'000'000'000 / per_second_), burst_);
    if (earned <= 0) return;
    refilled_at_ = now;
    tokens_ = std::min<std::int64_t>(tokens_ + earned, burst_);
  }

  std::int64_t burst_;
  std::int64_t per_second_;
  std::int64_t tokens_;
  Instant refilled_at_;
};

}  // namespace valkyrie::protocol
