#include "server/node/node_gauges.h"

#include <array>
#include <numeric>
#include <string_view>

namespace valkyrie::server {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(Gauge::count)> kGaugeNames = {
    "connections",    "calls",         "calls_failed",       "calls_in_flight",
    "calls_waiting",  "streams",       "notifies",           "publishers",
    "subscriptions",  "published",     "publishes_refused",  "events",
    "events_dropped", "events_queued", "event_bytes_queued", "subscriptions_reset",
};

}  // namespace

void NodeGauges::store(std::uint32_t shard, const router::RouterStats& stats,
                       const router::RouterCensus& census) {
  const auto set = [&](Gauge gauge, std::uint64_t value) {
    rows_[shard].values[static_cast<std::size_t>(gauge)].store(value, std::memory_order_relaxed);
  };
  set(Gauge::connections, census.connections);
  set(Gauge::calls, stats.calls);
  set(Gauge::calls_failed,
      std::accumulate(stats.answers.begin() + 1, stats.answers.end(), std::uint64_t{0}));
  set(Gauge::calls_in_flight, census.calls);
  set(Gauge::calls_waiting, census.waiting);
  set(Gauge::streams, census.streams);
  set(Gauge::notifies, stats.notifies);
  set(Gauge::publishers, census.publishers);
  set(Gauge::subscriptions, census.subscriptions);
  set(Gauge::published, stats.published);
  set(Gauge::publishes_refused, stats.publishes_refused);
  set(Gauge::events, stats.events);
  set(Gauge::events_dropped, stats.events_dropped);
  set(Gauge::events_queued, census.events_queued);
  set(Gauge::event_bytes_queued, census.event_bytes_queued);
  set(Gauge::subscriptions_reset, stats.subscriptions_reset);
}

std::uint64_t NodeGauges::read(std::uint32_t shard, Gauge gauge) const {
  return rows_[shard].values[static_cast<std::size_t>(gauge)].load(std::memory_order_relaxed);
}

std::vector<messages::NamedNumber> NodeGauges::sums() const {
  std::vector<messages::NamedNumber> result;
  for (std::size_t gauge = 0; gauge < kGauges; ++gauge) {
    std::uint64_t sum = 0;
    for (std::uint32_t shard = 0; shard < shards_; ++shard) {
      sum += read(shard, static_cast<Gauge>(gauge));
    }
    result.emplace_back(kGaugeNames[gauge], sum);
  }
  return result;
}

}  // namespace valkyrie::server
