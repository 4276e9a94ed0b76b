#include "server/node/node_gauges.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

namespace valkyrie::server {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(Gauge::count)> kGaugeNames = {
    "connections",
    "calls",
    "calls_failed",
    "calls_in_flight",
    "calls_waiting",
    "streams",
    "notifies",
    "publishers",
    "subscriptions",
    "published",
    "publishes_refused",
    "events",
    "events_dropped",
    "events_queued",
    "event_bytes_queued",
    "subscriptions_reset",
    "reclassed",
    "above_ceiling",
    "slow_peers",
    "slow_streams",
    "refused_unread",
    "handshakes",
    "handshakes_failed",
    "unauthenticated",
    "pq_refused",
    "bytes_critical",
    "bytes_system",
    "bytes_job",
    "bytes_data",
    "bytes_telemetry",
    "wait_mean_ns_critical",
    "wait_mean_ns_system",
    "wait_mean_ns_job",
    "wait_mean_ns_data",
    "wait_mean_ns_telemetry",
    "wait_max_ns_critical",
    "wait_max_ns_system",
    "wait_max_ns_job",
    "wait_max_ns_data",
    "wait_max_ns_telemetry",
};

}  // namespace

void NodeGauges::set(std::uint32_t shard, Gauge gauge, std::uint64_t value) {
  set(shard, gauge, 0, value);
}

void NodeGauges::set(std::uint32_t shard, Gauge first, std::size_t offset, std::uint64_t value) {
  rows_[shard].values[static_cast<std::size_t>(first) + offset].store(value,
                                                                      std::memory_order_relaxed);
}

void NodeGauges::store(std::uint32_t shard, const router::RouterStats& stats,
                       const router::RouterCensus& census) {
  set(shard, Gauge::connections, census.connections);
  set(shard, Gauge::calls, stats.calls);
  set(shard, Gauge::calls_failed,
      std::accumulate(stats.answers.begin() + 1, stats.answers.end(), std::uint64_t{0}));
  set(shard, Gauge::calls_in_flight, census.calls);
  set(shard, Gauge::calls_waiting, census.waiting);
  set(shard, Gauge::streams, census.streams);
  set(shard, Gauge::notifies, stats.notifies);
  set(shard, Gauge::publishers, census.publishers);
  set(shard, Gauge::subscriptions, census.subscriptions);
  set(shard, Gauge::published, stats.published);
  set(shard, Gauge::publishes_refused, stats.publishes_refused);
  set(shard, Gauge::events, stats.events);
  set(shard, Gauge::events_dropped, stats.events_dropped);
  set(shard, Gauge::events_queued, census.events_queued);
  set(shard, Gauge::event_bytes_queued, census.event_bytes_queued);
  set(shard, Gauge::subscriptions_reset, stats.subscriptions_reset);
  set(shard, Gauge::reclassed, stats.reclassed);
  set(shard, Gauge::above_ceiling, stats.above_ceiling);
  set(shard, Gauge::slow_peers, stats.slow_peers);
  set(shard, Gauge::slow_streams, stats.slow_streams);
}

void NodeGauges::store(std::uint32_t shard, const protocol::OutputMeter& meter) {
  for (std::size_t i = 0; i < protocol::OutputMeter::kClasses; ++i) {
    const protocol::OutputMeter::Waits& waits = meter.waits()[i];
    set(shard, Gauge::bytes_critical, i, meter.bytes()[i]);
    set(shard, Gauge::wait_mean_ns_critical, i, waits.count == 0 ? 0 : waits.sum_ns / waits.count);
    set(shard, Gauge::wait_max_ns_critical, i, waits.max_ns);
  }
}

void NodeGauges::store(std::uint32_t shard, const DoorCounts& counts) {
  set(shard, Gauge::refused_unread, counts.refused_unread);
  set(shard, Gauge::handshakes, counts.handshakes);
  set(shard, Gauge::handshakes_failed, counts.handshakes_failed);
  set(shard, Gauge::unauthenticated, counts.unauthenticated);
  set(shard, Gauge::pq_refused, counts.pq_refused);
}

std::uint64_t NodeGauges::read(std::uint32_t shard, Gauge gauge) const {
  return rows_[shard].values[static_cast<std::size_t>(gauge)].load(std::memory_order_relaxed);
}

std::vector<messages::NamedNumber> NodeGauges::sums() const {
  std::vector<messages::NamedNumber> result;
  for (std::size_t gauge = 0; gauge < kGauges; ++gauge) {
    std::uint64_t sum = 0;
    for (std::uint32_t shard = 0; shard < shards_; ++shard) {
      const std::uint64_t value = read(shard, static_cast<Gauge>(gauge));
      const bool is_wait = gauge >= static_cast<std::size_t>(Gauge::wait_mean_ns_critical);
      sum = is_wait ? std::max(sum, value) : sum + value;
    }
    result.emplace_back(kGaugeNames[gauge], sum);
  }
  return result;
}

}  // namespace valkyrie::server
