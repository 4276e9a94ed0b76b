// What a node counts of the calls of a service.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "protocol/constants.h"
#include "protocol/messages/registry.h"
#include "protocol/time.h"

namespace valkyrie::registry {

// Buckets of time: each power of two is cut into eight, from 2^10 ns (a microsecond) to 2^36 ns (a
// minute); the first has all that is shorter, the last all that is longer.
inline constexpr unsigned kLatencyBitsMin = 10;
inline constexpr unsigned kLatencyBitsMax = 36;
inline constexpr unsigned kLatencyParts = 8;
inline constexpr std::size_t kLatencyBuckets =
    (kLatencyBitsMax - kLatencyBitsMin) * kLatencyParts + 2;

// The bucket of a time.
[[nodiscard]] constexpr std::size_t latency_bucket(std::uint64_t ns) {
  const auto bits = static_cast<unsigned>(std::bit_width(ns));
  if (bits <= kLatencyBitsMin) return 0;
  if (bits > kLatencyBitsMax) return kLatencyBuckets - 1;
  const std::uint64_t part = (ns >> (bits - 4)) % kLatencyParts;
  return 1 + std::size_t{bits - kLatencyBitsMin - 1} * kLatencyParts + part;
}

// The longest time of a bucket. REQUIRES: bucket < kLatencyBuckets
[[nodiscard]] constexpr std::uint64_t latency_bucket_max_ns(std::size_t bucket) {
  if (bucket == 0) return (std::uint64_t{1} << kLatencyBitsMin) - 1;
  if (bucket == kLatencyBuckets - 1) return UINT64_MAX;
  const std::uint64_t part = (bucket - 1) % kLatencyParts;
  const std::size_t bits = kLatencyBitsMin + 1 + (bucket - 1) / kLatencyParts;
  return ((kLatencyParts + part + 1) << (bits - 4)) - 1;
}

// What one shard counts of a service, for callers of its own. Only that shard writes, with relaxed
// stores; any thread may read.
class ServiceCounts {
 public:
  // A call has ended so, `time` after its request came.
  void note_call(protocol::StatusCode code, protocol::Outcome outcome, protocol::Duration time) {
    add_one(code == protocol::StatusCode::ok ? ok_ : failed_[static_cast<std::size_t>(outcome)]);
    add_one(latency_[latency_bucket(static_cast<std::uint64_t>(time.count()))]);
  }
  // A stream was opened.
  void note_stream() { add_one(streams_); }
  // So many calls and streams wait now.
  void set_waiting(std::size_t count) {
    waiting_.store(static_cast<std::uint32_t>(count), std::memory_order_relaxed);
  }

 private:
  friend class ServiceGauge;
  using Count = std::atomic<std::uint64_t>;

  static void add_one(Count& count) {
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  Count ok_{0};
  std::array<Count, 3> failed_{};  // By outcome.
  Count streams_{0};
  std::atomic<std::uint32_t> waiting_{0};
  std::array<Count, kLatencyBuckets> latency_{};
};

// The counts of a service, of all shards. Made by the catalog with the first instance, and shared
// by pointer with every shard that is told of one.
class ServiceGauge {
 public:
  // Of a node with so many shards.
  explicit ServiceGauge(std::uint32_t shards);
  ~ServiceGauge();
  ServiceGauge(const ServiceGauge&) = delete;
  ServiceGauge& operator=(const ServiceGauge&) = delete;

  // The counts of a shard, made when it first asks: a service costs nothing where nobody calls it.
  // They live as long as this. REQUIRES: the thread of that shard.
  [[nodiscard]] ServiceCounts& of_shard(std::uint32_t shard);
  // The sums over the shards. Any thread.
  [[nodiscard]] messages::ServiceStatsView sum() const;

 private:
  std::unique_ptr<std::atomic<ServiceCounts*>[]> shards_;
  std::uint32_t count_;
};

}  // namespace valkyrie::registry
