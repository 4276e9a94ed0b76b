// How much of its limits an identity uses, over all its sessions and whatever thread they run on.
// No clock: time is an argument.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "protocol/time.h"

namespace valkyrie::server {

// Of one identity. Any thread.
class Usage {
 public:
  Usage() = default;
  Usage(const Usage&) = delete;
  Usage& operator=(const Usage&) = delete;

  // Counts a call that begins; false, and it counts not, where that would be over `per_second`.
  // What was left in the last second may be made up for at once. REQUIRES: per_second > 0
  [[nodiscard]] bool take(std::uint32_t per_second, protocol::Instant now);
  // Counts a call that waits for its answer; false, and it counts not, where there are `max`.
  [[nodiscard]] bool enter(std::uint32_t max);
  // The answer of one that entered is there.
  void leave() { in_flight_.fetch_sub(1, std::memory_order_relaxed); }
  // True if nothing would be lost by forgetting it.
  [[nodiscard]] bool idle(protocol::Instant now) const;

 private:
  // When as much may be begun at once as ever, nanoseconds since the origin of Instant.
  std::atomic<std::int64_t> full_at_{std::numeric_limits<std::int64_t>::min()};
  std::atomic<std::uint32_t> in_flight_{0};
};

// Of all identities that have been here lately. Any thread.
class UsageTable {
 public:
  // That of an identity, named by its value of IDENTITY; the same object for all its sessions.
  [[nodiscard]] std::shared_ptr<Usage> of(std::string_view identity, protocol::Instant now);
  // Identities that are kept.
  [[nodiscard]] std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Usage>> usages_;  // Guarded by mutex_, as is
  std::size_t sweep_at_ = 64;  // how many there are when those without use are looked for.
};

}  // namespace valkyrie::server
