// How often each of many may do something. No clock: time is an argument. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/time.h"
#include "server/policy/recent_table.h"

namespace valkyrie::policy {

// What a bucket holds.
struct TokenRate {
  std::uint32_t per_second = 0;  // Tokens that it gains; 0: there is no limit.
  std::uint32_t burst = 1;       // Tokens that it holds at most, and begins with.
};

// A bucket for each key. Of more keys than `keys_max` the least recently used begins anew: who has
// more addresses than that is bounded by a bucket that all share.
class TokenBuckets {
 public:
  // REQUIRES: rate.burst > 0, keys_max > 0
  TokenBuckets(const TokenRate& rate, std::size_t keys_max) : rate_(rate), buckets_(keys_max) {}

  // Takes a token; false if there is none.
  [[nodiscard]] bool take(std::string_view key, protocol::Instant now);
  // Buckets that are kept.
  [[nodiscard]] std::size_t size() const { return buckets_.entries().size(); }

 private:
  const TokenRate rate_;
  RecentTable<protocol::Instant> buckets_;  // When each will be full.
};

}  // namespace valkyrie::policy
