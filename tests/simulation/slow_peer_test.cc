// One peer of a hundred stops reading: the others go on as if it were not there, and the node keeps
// to its bounds. docs/operating/qos.md, "Slow peers". All times are virtual, so that the figures
// are the same in every run.
#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <memory>
#include <vector>

#include "tests/simulation/driver.h"
#include "tests/simulation/pubsub_peer.h"
#include "tests/simulation/stream_peer.h"
#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::QosClass;

constexpr std::size_t kOthers = 99;
constexpr std::uint64_t kBytesPerSecond = 125'000'000;
constexpr Duration kLatency = 20ms;
constexpr std::size_t kSocketBytes = 200'000;  // Of the two kernels, towards who does not read.
constexpr std::uint64_t kQueued = 1U << 20U;
constexpr Duration kStall = 1s;
constexpr std::size_t kStreams = 16;
// A request of this size has a long answer: 512 of them ask for eight times the queue of a peer.
constexpr std::size_t kAskBytes = 100;
constexpr std::size_t kAnswerBytes = 16'000;

void shape(Wire& wire) {
  for (Pipe* pipe : {&wire.to_node, &wire.to_program}) {
    pipe->bytes_per_second = kBytesPerSecond;
    pipe->latency = kLatency;
  }
}
void stop_reading(Wire& wire) {
  wire.to_program.capacity = kSocketBytes;
  wire.to_program.stalled = true;
}

// A node of two shards, a service beside it, and 99 callers in closed loops some way off.
class SlowPeers : public ::testing::Test {
 protected:
  SlowPeers() {
    network.node_config.limits.queued_bytes_max = kQueued;
    network.node_config.limits.stall_timeout = kStall;
    service.answer_with = [](const Incoming& request) {
      return request.payload.size() == kAskBytes ? std::string(kAnswerBytes, 'x') : request.payload;
    };
    service.serve(kDriven, "one");
    network.run();
    for (std::size_t i = 0; i < kOthers; ++i) {
      others.push_back(std::make_unique<Driver>(network, i % 2));
      shape(others.back()->wire);
    }
  }
  // The loops begin, so that nothing is ever at rest: all who take part are there.
  void start() {
    for (const auto& other : others) other->add_bulk({QosClass::data, 1000, 1});
    network.run_for(1s);
  }

  // Calls of the others that are answered in the next two seconds; meanwhile `each` happens ten
  // times a second, and the node's memory is watched.
  template <class Each>
  std::uint64_t calls(Each each) {
    const auto answered = [&] {
      std::uint64_t sum = 0;
      for (const auto& other : others) sum += other->bulk_calls;
      return sum;
    };
    const std::uint64_t before = answered();
    for (int i = 0; i < 20; ++i) {
      each();
      network.run_for(100ms);
      std::uint64_t bytes = 0;
      for (const auto& wire : network.wires()) {
        if (!wire->cut) bytes += wire->far.queued_bytes() + wire->far.held_bytes();
      }
      memory = std::max(memory, bytes);
    }
    return answered() - before;
  }
  std::uint64_t calls() {
    return calls([] {});
  }
  // The others have lost less than a twentieth, and the peer has cost no more than its queue and
  // the windows of the streams that what it asked for comes on.
  void expect_isolated(std::uint64_t before, std::uint64_t beside, std::uint64_t memory_before) {
    fmt::print("{} calls alone, {} beside it; the node held {} bytes, then {}\n", before, beside,
               memory_before, memory);
    EXPECT_GT(before, kOthers * 20);
    EXPECT_GT(beside * 100, before * 95);
    EXPECT_LE(memory, memory_before + kQueued + kStreams * protocol::kStreamCreditBytesDefault);
  }
  [[nodiscard]] router::RouterStats stats() {
    router::RouterStats sum = network.router_of(0).stats();
    sum.slow_peers += network.router_of(1).stats().slow_peers;
    sum.slow_streams += network.router_of(1).stats().slow_streams;
    return sum;
  }

  VirtualNetwork network{1, 2};
  Peer service{network};
  std::vector<std::unique_ptr<Driver>> others;
  std::uint64_t memory = 0;
};

TEST_F(SlowPeers, one_that_asks_for_much_and_reads_nothing_costs_the_others_nothing) {
  Driver slow(network);
  shape(slow.wire);
  start();
  const std::uint64_t before = calls();
  const std::uint64_t memory_before = std::exchange(memory, 0);
  stop_reading(slow.wire);
  for (std::size_t i = 0; i < kStreams; ++i) slow.add_bulk({QosClass::data, kAskBytes, 32});
  const std::uint64_t beside = calls();
  expect_isolated(before, beside, memory_before);
  EXPECT_EQ(slow.wire.connection, 0U) << "it was given up";
  EXPECT_EQ(stats().slow_peers, 1U);
}

TEST_F(SlowPeers, one_that_does_not_read_its_stream_costs_the_others_nothing) {
  StreamPeer source(network, 1);
  shape(source.wire);
  source.keep = false;
  source.serve("test.Flood", "one");
  StreamPeer slow(network);
  shape(slow.wire);
  slow.consume = slow.keep = false;
  start();
  const std::uint64_t before = calls();
  const std::uint64_t memory_before = std::exchange(memory, 0);
  const std::uint32_t stream = slow.open("test.Flood", "Run");
  network.run_for(200ms);
  const std::string block(60'000, 'x');
  const std::uint64_t beside = calls([&] {
    for (int i = 0; i < 30; ++i) source.send(source.last_opened, block);
  });
  expect_isolated(before, beside, memory_before);
  EXPECT_EQ(slow.streams[stream].code, protocol::CloseCode::slow_peer);
  EXPECT_GT(slow.streams[stream].bytes, 0U);
  EXPECT_EQ(stats().slow_streams, 1U);
  EXPECT_EQ(stats().slow_peers, 0U) << "its session goes on";
}

TEST_F(SlowPeers, a_subscriber_that_reads_nothing_costs_the_others_nothing) {
  PubSubPeer publisher(network, 1);
  shape(publisher.wire);
  const std::uint32_t outlet = publisher.publisher("news");
  PubSubPeer slow(network);
  shape(slow.wire);
  start();
  const std::string payload(10'000, 'x');
  const auto publish = [&] {
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(publisher.publish(outlet, "news", payload));
  };
  const std::uint64_t before = calls(publish);
  const std::uint64_t memory_before = std::exchange(memory, 0);
  slow.subscribe("news");
  network.run_for(100ms);
  stop_reading(slow.wire);
  std::uint64_t queued = 0;
  const std::uint64_t beside = calls([&] {
    publish();
    queued = std::max(queued, network.router_of(0).census().event_bytes_queued);
  });
  expect_isolated(before, beside, memory_before);
  EXPECT_GT(queued, 0U);
  EXPECT_LE(queued, protocol::kQueuedBytesDefault) << "and its events are bounded";
  EXPECT_EQ(network.router_of(0).census().event_bytes_queued, 0U) << "it was given up";
  EXPECT_EQ(stats().slow_streams, 1U);
}

}  // namespace
}  // namespace valkyrie::simulation
