// Taking an instance out for a while because its calls fail: docs/operating/services.md. The shard
// that owns an instance counts how its calls end; shard 0, which has the catalog, judges. So all
// shards agree, and nobody judges by a part of the calls.
//
// No I/O, no clock, no threads. Not thread-safe but for InstanceGauge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "protocol/time.h"
#include "server/registry/service_settings.h"

namespace valkyrie::registry {

// What an instance is known for.
struct Ejection {
  bool is_out = false;
  std::uint32_t times = 0;    // In a row, without a long enough good time between them.
  protocol::Instant until{};  // While out: when it comes back. Else: when it came.
  std::string reason;         // For people.
  // Of InstanceGauge, when success was last compared.
  std::uint64_t answers = 0;
  std::uint64_t failures = 0;

  // Takes it out. REQUIRES: !is_out.
  void begin(const EjectionSettings& settings, std::string why, protocol::Instant now);
  // Lets it back.
  void end(protocol::Instant now);
  // The reason, and how long it lasts. REQUIRES: is_out.
  [[nodiscard]] std::string text(protocol::Instant now) const;
};

// True if one more of `instances` may be out when `out` are. The last is never taken out.
[[nodiscard]] bool may_eject(std::size_t instances, std::size_t out,
                             const EjectionSettings& settings);

// How an instance did in an interval.
struct Success {
  std::uint64_t answers = 0;
  std::uint64_t failures = 0;
};

// Those that succeed less often than the average of the others by more than success_gap, the worst
// first: indices. Only those with calls_min answers are judged and judge; it takes three of them.
[[nodiscard]] std::vector<std::size_t> outliers(std::span<const Success> instances,
                                                const EjectionSettings& settings);

}  // namespace valkyrie::registry
