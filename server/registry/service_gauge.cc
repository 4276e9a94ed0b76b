#include "server/registry/service_gauge.h"

namespace valkyrie::registry {

ServiceGauge::ServiceGauge(std::uint32_t shards)
    : shards_(std::make_unique<std::atomic<ServiceCounts*>[]>(shards)), count_(shards) {}

ServiceGauge::~ServiceGauge() {
  for (std::uint32_t shard = 0; shard < count_; ++shard) {
    delete shards_[shard].load(std::memory_order_acquire);
  }
}

ServiceCounts& ServiceGauge::of_shard(std::uint32_t shard) {
  ServiceCounts* counts = shards_[shard].load(std::memory_order_relaxed);
  if (counts == nullptr) {
    counts = std::make_unique<ServiceCounts>().release();
    shards_[shard].store(counts, std::memory_order_release);
  }
  return *counts;
}

messages::ServiceStatsView ServiceGauge::sum() const {
  messages::ServiceStatsView view;
  std::array<std::uint64_t, kLatencyBuckets> latency{};
  for (std::uint32_t shard = 0; shard < count_; ++shard) {
    const ServiceCounts* counts = shards_[shard].load(std::memory_order_acquire);
    if (counts == nullptr) continue;
    const auto of = [](const auto& count) { return count.load(std::memory_order_relaxed); };
    const auto failed = [&](protocol::Outcome outcome) {
      return of(counts->failed_[static_cast<std::size_t>(outcome)]);
    };
    view.ok += of(counts->ok_);
    view.not_executed += failed(protocol::Outcome::not_executed);
    view.maybe_executed += failed(protocol::Outcome::maybe_executed);
    view.executed += failed(protocol::Outcome::executed);
    view.streams += of(counts->streams_);
    view.waiting += of(counts->waiting_);
    for (std::size_t i = 0; i < kLatencyBuckets; ++i) latency[i] += of(counts->latency_[i]);
  }
  for (std::size_t i = 0; i < kLatencyBuckets; ++i) {
    if (latency[i] > 0) {
      view.latency.push_back({.up_to_ns = latency_bucket_max_ns(i), .count = latency[i]});
    }
  }
  return view;
}

}  // namespace valkyrie::registry
