// What keeps an instance that comes and goes without end from costing others: each registration
// takes a token from a bucket that fills again with time.
//
// No I/O, no clock, no threads. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "protocol/time.h"

namespace valkyrie::registry {

// Buckets by key. One that is full again is forgotten, so the memory is bounded by how many keys
// were used lately.
class FlapBudget {
 public:
  // A bucket holds `burst` tokens and gains one each `interval`.
  FlapBudget(std::uint32_t burst, protocol::Duration interval)
      : burst_(burst), interval_(interval) {}

  // Takes a token; false if there is none.
  bool take(const std::string& key, protocol::Instant now);
  // Buckets that are kept.
  [[nodiscard]] std::size_t size() const { return full_at_.size(); }

 private:
  void forget_full(protocol::Instant now);

  std::uint32_t burst_;
  protocol::Duration interval_;
  std::unordered_map<std::string, protocol::Instant> full_at_;  // When each will be full.
  std::size_t sweep_at_ = 1024;                                 // How many make a sweep worth it.
};

}  // namespace valkyrie::registry
