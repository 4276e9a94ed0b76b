// Subscribers that do not keep up: what is lost, who notices, and that nobody else does.
#include <gtest/gtest.h>

#include "tests/simulation/pubsub_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::CloseCode;

constexpr std::size_t kPayloadBytes = 1000;

// Numbered payloads of 1,000 bytes.
std::string payload(std::size_t number) {
  std::string text = std::to_string(number) + " ";
  text.resize(kPayloadBytes, 'x');
  return text;
}

// One publisher, one subscriber without credit, and one that reads.
class SlowSubscriber {
 public:
  explicit SlowSubscriber(std::uint8_t option, std::uint32_t shards = 1)
      : network(1, shards, {}, config()),
        slow(network, 0),
        quick(network, 0),
        publisher(network, shards - 1) {
    slow.consume = false;
    subscription = slow.subscribe("a", {}, option);
    other = quick.subscribe("a");
    stream = publisher.publisher();
    network.run();
  }
  static router::RouterConfig config() {
    router::RouterConfig config;
    config.subscription_bytes_max = 100'000;
    return config;
  }
  void flood(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      ++published;
      ASSERT_TRUE(publisher.publish(stream, "a", payload(published)));
      if (i % 50 == 49) network.run();
    }
    network.run();
  }
  [[nodiscard]] const std::vector<Received>& events() {
    return slow.subscriptions[subscription].events;
  }
  // The numbers skipped before each event, summed up.
  [[nodiscard]] std::size_t gaps() {
    std::size_t sum = 0;
    std::uint32_t last = 0;
    for (const Received& event : events()) {
      EXPECT_EQ(event.payload, payload(event.sequence)) << "a sequence is a place, not a count";
      sum += event.sequence - last - 1;
      last = event.sequence;
    }
    return sum;
  }

  VirtualNetwork network;
  PubSubPeer slow;
  PubSubPeer quick;
  PubSubPeer publisher;
  std::uint32_t subscription = 0;
  std::uint32_t other = 0;
  std::uint32_t stream = 0;
  std::size_t published = 0;
};

TEST(RouterSlowSubscriber, loses_the_oldest_and_sees_the_gap) {
  for (const std::uint32_t shards : {1U, 2U}) {
    SlowSubscriber world(protocol::kStreamOptionDropOldest, shards);
    world.flood(1000);
    EXPECT_LE(world.network.router_of(0).census().event_bytes_queued, 100'000U);
    EXPECT_EQ(world.quick.subscriptions[world.other].events.size(), 1000U);
    world.slow.catch_up();
    world.network.run();
    EXPECT_EQ(world.events().back().sequence, 1000U) << "the newest is there";
    EXPECT_EQ(world.gaps(), world.network.router_of(0).stats().events_dropped);
    EXPECT_GT(world.gaps(), 700U);
    world.flood(1);
    EXPECT_EQ(world.events().back().sequence, 1001U);
  }
}

TEST(RouterSlowSubscriber, loses_the_newest_and_sees_the_gap) {
  SlowSubscriber world(protocol::kStreamOptionDropNewest);
  world.flood(1000);
  world.slow.catch_up();
  world.network.run();
  EXPECT_EQ(world.gaps(), 0U) << "all that is there is the oldest";
  const std::size_t before = world.events().size();
  EXPECT_LT(before, 300U);
  world.flood(1);
  EXPECT_EQ(world.events().back().sequence, 1001U);
  EXPECT_EQ(world.gaps(), world.network.router_of(0).stats().events_dropped);
  EXPECT_EQ(world.gaps(), 1000U - before);
}

TEST(RouterSlowSubscriber, is_reset_if_it_wants_all_or_nothing) {
  SlowSubscriber world(protocol::kStreamOptionReset);
  world.flood(1000);
  EXPECT_TRUE(world.slow.subscriptions[world.subscription].reset);
  EXPECT_EQ(world.slow.subscriptions[world.subscription].code, CloseCode::slow_peer);
  EXPECT_EQ(world.gaps(), 0U);
  EXPECT_FALSE(world.slow.closed) << "its session goes on";
  EXPECT_EQ(world.network.router_of(0).stats().subscriptions_reset, 1U);
  EXPECT_EQ(world.network.router_of(0).census().subscriptions, 1U);
  EXPECT_EQ(world.quick.subscriptions[world.other].events.size(), 1000U);
}

// Both sides of the bound: what fits exactly waits, one byte more costs an event.
TEST(RouterSlowSubscriber, has_exactly_its_bytes_of_queue) {
  const std::size_t cost = protocol::kHeaderBytes + protocol::kEntryHeaderBytes + 1 + kPayloadBytes;
  for (const std::size_t less : {0U, 1U}) {
    router::RouterConfig config;
    config.subscription_bytes_max = 10 * cost - less;
    VirtualNetwork network(1, 1, {}, config);
    PubSubPeer slow(network);
    PubSubPeer publisher(network);
    slow.consume = false;
    slow.subscribe("a");
    const std::uint32_t stream = publisher.publisher();
    network.run();
    const auto& stats = network.router_of(0).stats();
    while (network.router_of(0).census().events_queued == 0) {
      publisher.publish(stream, "a", payload(1));
      network.run();
    }
    for (int i = 0; i < 9; ++i) publisher.publish(stream, "a", payload(1));
    network.run();
    EXPECT_EQ(stats.events_dropped, less);
    publisher.publish(stream, "a", payload(1));
    network.run();
    EXPECT_EQ(stats.events_dropped, 1U + less);
  }
}

// Stops reading altogether, for a minute, while a publisher floods it without end.
TEST(RouterSlowSubscriber, that_reads_nothing_costs_bounded_memory_and_then_its_session) {
  SlowSubscriber world(protocol::kStreamOptionDropOldest);
  world.slow.wire.to_program.stalled = true;
  std::size_t most_chunks = 0;
  for (int second = 0; second < 60; ++second) {
    for (int i = 0; i < 1000; ++i) {
      world.publisher.publish(world.stream, "a", payload(1));
      if (i % 50 == 49) world.network.run_for(1ms);
    }
    world.network.run_for(950ms);
    most_chunks = std::max(most_chunks, world.network.chunks_in_use());
    EXPECT_LE(world.network.router_of(0).census().event_bytes_queued, 100'000U);
  }
  EXPECT_EQ(world.quick.subscriptions[world.other].events.size(), 60'000U) << "nobody waited";
  EXPECT_LE(most_chunks, 40U) << "of 32 KiB: windows, not the flood";
  world.network.run_for(protocol::kStallTimeoutDefault);
  EXPECT_EQ(world.network.router_of(0).census().subscriptions, 1U)
      << "after the stall limit it is given up";
  EXPECT_EQ(world.network.router_of(0).census().event_bytes_queued, 0U);
}

// Its connection is fine; it only gives no credit. Published to just before the stall limit would
// be over since anything was sent to it, it still has the whole of it, and no more.
TEST(RouterSlowSubscriber, that_gives_no_credit_is_given_up_after_the_stall_limit) {
  SlowSubscriber world(protocol::kStreamOptionDropOldest);
  world.flood(1);
  world.network.run_for(25s);
  world.flood(1000);
  ASSERT_GT(world.network.router_of(0).census().events_queued, 0U);
  const Instant waits_since = world.network.now;
  world.network.run_for(protocol::kStallTimeoutDefault - 1s);
  EXPECT_FALSE(world.slow.subscriptions[world.subscription].reset);
  world.flood(1);
  EXPECT_LT(world.network.now, waits_since + protocol::kStallTimeoutDefault);
  world.network.run_for(1s);
  EXPECT_TRUE(world.slow.subscriptions[world.subscription].reset) << "not twice the limit";
  EXPECT_EQ(world.slow.subscriptions[world.subscription].code, CloseCode::slow_peer);
  EXPECT_FALSE(world.slow.closed) << "its session goes on";
  EXPECT_EQ(world.network.router_of(0).census().event_bytes_queued, 0U);
}

TEST(RouterSlowSubscriber, fills_no_more_than_the_share_of_its_session) {
  router::RouterConfig config;
  config.session_event_bytes_max = 50'000;
  VirtualNetwork network(1, 1, {}, config);
  PubSubPeer slow(network);
  PubSubPeer publisher(network);
  slow.consume = false;
  for (int i = 0; i < 10; ++i) slow.subscribe("a");
  const std::uint32_t stream = publisher.publisher();
  network.run();
  for (std::size_t i = 1; i <= 500; ++i) {
    publisher.publish(stream, "a", payload(i));
    if (i % 50 == 0) network.run();
  }
  network.run();
  EXPECT_LE(network.router_of(0).census().event_bytes_queued, 50'000U);
  slow.catch_up();
  network.run();
  std::size_t got = 0;
  for (const auto& [stream_id, subscription] : slow.subscriptions) {
    got += subscription.events.size();
  }
  EXPECT_EQ(got + network.router_of(0).stats().events_dropped, 5000U);
}

}  // namespace
}  // namespace valkyrie::simulation
