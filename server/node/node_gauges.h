// What the shards of a node count for each other's eyes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "protocol/messages/registry.h"
#include "protocol/output_meter.h"
#include "server/router/router.h"

namespace valkyrie::server {

// One number of one shard, in the order of kGaugeNames.
enum class Gauge : std::uint8_t {
  connections,
  calls,
  calls_failed,
  calls_in_flight,
  calls_waiting,
  streams,
  notifies,
  publishers,
  subscriptions,
  published,
  publishes_refused,
  events,
  events_dropped,
  events_queued,
  event_bytes_queued,
  subscriptions_reset,
  reclassed,
  above_ceiling,
  slow_peers,
  slow_streams,
  refused_unread,
  handshakes,
  handshakes_failed,
  unauthenticated,
  pq_refused,
  // By class: message bytes queued for peers,
  bytes_critical,
  bytes_system,
  bytes_job,
  bytes_data,
  bytes_telemetry,
  // and the waits of those that were observed: the mean, and the longest since the start.
  wait_mean_ns_critical,
  wait_mean_ns_system,
  wait_mean_ns_job,
  wait_mean_ns_data,
  wait_mean_ns_telemetry,
  wait_max_ns_critical,
  wait_max_ns_system,
  wait_max_ns_job,
  wait_max_ns_data,
  wait_max_ns_telemetry,
  count,
};

// What the doors of a shard have seen since the start.
struct DoorCounts {
  std::uint64_t refused_unread = 0;     // Closed before a byte was read: banned, or too many.
  std::uint64_t handshakes = 0;         // Channels that came to a hello,
  std::uint64_t handshakes_failed = 0;  // and those that ended before they were open.
  std::uint64_t unauthenticated = 0;    // Hellos of who may not come in.
  std::uint64_t pq_refused = 0;         // Peers with a classical key exchange, where it has to be
                                        // hybrid.
};

// Numbers of all shards. Each shard writes its own row, with relaxed stores; any thread reads.
class NodeGauges {
 public:
  explicit NodeGauges(std::uint32_t shards)
      : rows_(std::make_unique<Row[]>(shards)), shards_(shards) {}

  // Copies what a router counts. REQUIRES: the thread of the shard.
  void store(std::uint32_t shard, const router::RouterStats& stats,
             const router::RouterCensus& census);
  // Copies what the sessions of a shard have sent by class. REQUIRES: the thread of the shard.
  void store(std::uint32_t shard, const protocol::OutputMeter& meter);
  // Copies what its doors count. REQUIRES: the thread of the shard.
  void store(std::uint32_t shard, const DoorCounts& counts);
  // One number of one shard.
  [[nodiscard]] std::uint64_t read(std::uint32_t shard, Gauge gauge) const;
  // Sums over the shards, of waits the longest, by name, for valkyrie.Node/Info and metrics.
  [[nodiscard]] std::vector<messages::NamedNumber> sums() const;
  // How many shards there are.
  [[nodiscard]] std::uint32_t shards() const { return shards_; }

 private:
  void set(std::uint32_t shard, Gauge gauge, std::uint64_t value);
  void set(std::uint32_t shard, Gauge first, std::size_t offset, std::uint64_t value);

  static constexpr auto kGauges = static_cast<std::size_t>(Gauge::count);
  struct alignas(64) Row {
    std::atomic<std::uint64_t> values[kGauges] = {};
  };

  std::unique_ptr<Row[]> rows_;
  std::uint32_t shards_;
};

}  // namespace valkyrie::server
