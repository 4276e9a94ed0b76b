// Critical calls beside bulk, over links of a finite rate: docs/spec/scheduling.md. All times are
// virtual, so that the figures are the same in every run.
#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/simulation/driver.h"
#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::QosClass;

constexpr std::uint64_t kBytesPerSecond = 12'500'000;
constexpr Duration kLatency = 5ms;

// A node with a service, behind links of a finite rate, and clients of any class.
class PrioritySimulation : public ::testing::Test {
 protected:
  PrioritySimulation() {
    network.node_config.qos_ceiling = QosClass::critical;
    service.serve(kDriven, "one");
    network.run();
    shape(service.wire);
  }

  static void shape(Wire& wire, std::uint64_t bytes_per_second = kBytesPerSecond) {
    for (Pipe* pipe : {&wire.to_node, &wire.to_program}) {
      pipe->bytes_per_second = bytes_per_second;
      pipe->latency = kLatency;
    }
  }

  VirtualNetwork network;
  Peer service{network};
};

TEST_F(PrioritySimulation, a_critical_call_beside_bulk_takes_at_most_twice_its_idle_time) {
  constexpr std::size_t kFrameBytes = 64 * 1024;
  for (const bool same_connection : {true, false}) {
    for (const std::size_t bytes : {std::size_t{1000}, kFrameBytes}) {
      for (const QosClass qos_class : {QosClass::data, QosClass::telemetry}) {
        Driver driver(network);
        shape(driver.wire);
        Driver other(network);
        shape(other.wire);
        driver.call_each(20ms);
        network.run_for(1s);
        const Duration idle = driver.worst();
        Driver& loaded = same_connection ? driver : other;
        for (int stream = 0; stream < 8; ++stream) {
          loaded.add_bulk({qos_class, bytes, static_cast<int>(4 * kFrameBytes / bytes)});
        }
        network.run_for(500ms);  // It grows to its full rate.
        driver.latencies.clear();
        const std::uint64_t before = loaded.bulk_received();
        network.run_for(1s);
        const Duration worst = driver.worst();
        const auto rate = static_cast<double>(loaded.bulk_received() - before) / kBytesPerSecond;
        fmt::print(
            "{} connection, bulk of {} bytes, {}: idle {} us, worst {} us, {:.0f} % of the "
            "link for bulk\n",
            same_connection ? "same" : "other", bytes, to_string(qos_class), idle / 1us,
            worst / 1us, rate * 100);
        constexpr Duration kFrameTime = kFrameBytes * 1s / kBytesPerSecond;
        EXPECT_LE(worst, 2 * idle + kFrameTime);
        EXPECT_GT(rate, 0.5) << "the link is busy";
        network.cut(driver.wire);
        network.cut(other.wire);
      }
    }
  }
}

// The service reads slowly and its queue at the node is short. Bulk fills its room and is refused
// beyond; what is more urgent finds room all the time.
TEST_F(PrioritySimulation, bulk_that_fills_the_queue_of_a_service_refuses_no_critical_call) {
  network.cut(service.wire);
  network.node_config.limits.queued_bytes_max = 200'000;
  Peer slow(network);
  slow.serve(kDriven, "slow");
  network.run();
  shape(slow.wire, 1'000'000);
  network.node_config.limits.queued_bytes_max = protocol::kQueuedBytesDefault;
  Driver bulk(network);
  shape(bulk.wire);
  Driver driver(network);
  for (int i = 0; i < 16; ++i) bulk.add_bulk({QosClass::telemetry, 16'000, 4});
  network.run_for(500ms);
  EXPECT_GT(bulk.bulk_refused, 0U) << "the queue is full";
  driver.call_each(10ms);
  network.run_for(500ms);  // The first of them find the kernel's buffer filled.
  driver.latencies.clear();
  network.run_for(4s);
  EXPECT_GT(driver.latencies.size(), 350U);
  EXPECT_EQ(driver.critical_refused, 0U);
  EXPECT_LT(driver.worst(), 100ms) << "200 ms of bulk are queued";
  EXPECT_GT(bulk.bulk_calls, bulk.bulk_refused) << "bulk goes on, too";
}

TEST_F(PrioritySimulation, classes_share_a_saturated_link_by_their_weights) {
  Driver driver(network);
  shape(driver.wire);
  for (const auto qos_class :
       {QosClass::system, QosClass::job, QosClass::data, QosClass::telemetry}) {
    for (int i = 0; i < 4; ++i) driver.add_bulk({qos_class, 8'000, 16});
  }
  network.run_for(1s);
  driver.bulk_bytes.clear();
  network.run_for(4s);
  double total = 0;
  std::array<double, 4> bytes{};
  for (const auto& [bulk, count] : driver.bulk_bytes) {
    bytes[bulk / 4] += static_cast<double>(count);
    total += static_cast<double>(count);
  }
  const std::array<double, 4> shares{0.4, 0.3, 0.2, 0.1};
  for (std::size_t i = 0; i < 4; ++i) {
    fmt::print("{}: {:.1f} %\n", to_string(static_cast<QosClass>(i + 1)), bytes[i] / total * 100);
    EXPECT_NEAR(bytes[i] / total, shares[i], shares[i] * 0.05);
  }
}

}  // namespace
}  // namespace valkyrie::simulation
