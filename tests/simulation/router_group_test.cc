// Groups, and messages that cross from shard to shard.
#include <gtest/gtest.h>
#include <memory>
#include <set>

#include "tests/simulation/pubsub_peer.h"

namespace valkyrie::simulation {
namespace {

TEST(RouterGroup, gives_each_message_to_one_member_in_turn) {
  VirtualNetwork network;
  std::vector<std::unique_ptr<PubSubPeer>> members;
  std::vector<std::uint32_t> streams;
  for (int i = 0; i < 4; ++i) {
    auto& peer = *members.emplace_back(std::make_unique<PubSubPeer>(network));
    streams.push_back(peer.subscribe("jobs.*", "workers"));
  }
  PubSubPeer other_group(network);
  const std::uint32_t other = other_group.subscribe("jobs.*", "auditors");
  PubSubPeer alone(network);
  const std::uint32_t single = alone.subscribe("jobs.*");
  PubSubPeer publisher(network);
  const std::uint32_t stream = publisher.publisher();
  network.run();
  for (int i = 0; i < 100; ++i) publisher.publish(stream, "jobs.a", std::to_string(i));
  network.run();
  std::set<std::string> seen;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto& events = members[i]->subscriptions[streams[i]].events;
    EXPECT_EQ(events.size(), 25U);
    EXPECT_EQ(events.back().sequence, 25U) << "each counts only what was given to it";
    for (const auto& event : events) EXPECT_TRUE(seen.insert(event.payload).second);
  }
  EXPECT_EQ(seen.size(), 100U);
  EXPECT_EQ(other_group.subscriptions[other].events.size(), 100U);
  EXPECT_EQ(alone.subscriptions[single].events.size(), 100U);
}

TEST(RouterGroup, prefers_members_that_can_take_a_message_at_once) {
  VirtualNetwork network;
  PubSubPeer slow(network);
  PubSubPeer quick(network);
  PubSubPeer publisher(network);
  slow.consume = false;
  const std::uint32_t stuck = slow.subscribe("a", "g");
  const std::uint32_t free = quick.subscribe("a", "g");
  const std::uint32_t stream = publisher.publisher();
  network.run();
  for (int i = 0; i < 200; ++i) {
    publisher.publish(stream, "a", std::string(1000, 'x'));
    if (i % 20 == 19) network.run();
  }
  network.run();
  const std::size_t with_slow = slow.subscriptions[stuck].events.size();
  EXPECT_LT(with_slow, 70U) << "its window, and no more";
  EXPECT_GE(with_slow + quick.subscriptions[free].events.size(), 199U);
  EXPECT_EQ(network.router_of(0).stats().events_dropped, 0U);
  slow.catch_up();
  network.run();
  EXPECT_EQ(slow.subscriptions[stuck].events.size() + quick.subscriptions[free].events.size(),
            200U);
}

TEST(RouterGroup, passes_over_a_member_that_wants_no_echo) {
  VirtualNetwork network;
  PubSubPeer peer(network);
  const std::uint32_t silent = peer.subscribe("a", "g", protocol::kStreamOptionNoEcho);
  const std::uint32_t stream = peer.publisher();
  network.run();
  peer.publish(stream, "a", "nobody");
  network.run();
  EXPECT_EQ(peer.payloads(silent), "");
  PubSubPeer other(network);
  const std::uint32_t listens = other.subscribe("a", "g");
  network.run();
  for (int i = 0; i < 10; ++i) peer.publish(stream, "a", "x");
  network.run();
  EXPECT_EQ(other.subscriptions[listens].events.size(), 10U);
  EXPECT_EQ(peer.payloads(silent), "");
}

TEST(RouterGroup, delivers_once_over_all_shards_whatever_the_timing) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    VirtualNetwork network(seed, 3);
    network.shard_delay_max = 5ms;
    std::vector<std::unique_ptr<PubSubPeer>> members;
    std::vector<std::uint32_t> streams;
    for (std::uint32_t i = 0; i < 5; ++i) {
      auto& peer = *members.emplace_back(std::make_unique<PubSubPeer>(network, i % 3));
      streams.push_back(peer.subscribe("jobs.>", "workers"));
    }
    std::vector<std::unique_ptr<PubSubPeer>> publishers;
    std::vector<std::uint32_t> outlets;
    for (std::uint32_t shard = 0; shard < 3; ++shard) {
      auto& peer = *publishers.emplace_back(std::make_unique<PubSubPeer>(network, shard));
      outlets.push_back(peer.publisher());
    }
    network.run();
    for (int i = 0; i < 50; ++i) {
      for (std::size_t shard = 0; shard < 3; ++shard) {
        publishers[shard]->publish(outlets[shard], "jobs.x",
                                   std::to_string(shard) + "-" + std::to_string(i));
      }
      if (i % 10 == 0) network.run_for(1ms);
    }
    network.run();
    std::set<std::string> seen;
    for (std::size_t i = 0; i < members.size(); ++i) {
      const auto& events = members[i]->subscriptions[streams[i]].events;
      EXPECT_GT(events.size(), 10U) << "everyone has a share";
      for (const auto& event : events) EXPECT_TRUE(seen.insert(event.payload).second);
    }
    EXPECT_EQ(seen.size(), 150U);
  }
}

TEST(RouterGroup, loses_nothing_when_a_member_of_another_shard_leaves) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    VirtualNetwork network(seed, 3);
    network.shard_delay_max = 5ms;
    PubSubPeer leaving(network, 1);
    PubSubPeer staying(network, 2);
    PubSubPeer publisher(network, 0);
    const std::uint32_t left = leaving.subscribe("a", "g");
    const std::uint32_t stays = staying.subscribe("a", "g");
    const std::uint32_t stream = publisher.publisher();
    network.run();
    for (int i = 0; i < 60; ++i) {
      publisher.publish(stream, "a", std::to_string(i));
      if (i == 20) {
        EXPECT_TRUE(leaving.wire.near.send_end(left).has_value());
      }
      network.run_for(1ms);
    }
    network.run();
    EXPECT_TRUE(leaving.subscriptions[left].closed);
    for (std::uint32_t shard = 0; shard < 3; ++shard) {
      EXPECT_EQ(network.router_of(shard).stats().events_dropped, 0U) << shard;
    }
    EXPECT_EQ(
        leaving.subscriptions[left].events.size() + staying.subscriptions[stays].events.size(),
        60U);
  }
}

TEST(RouterShardsPublish, a_message_reaches_every_shard_once_and_in_order) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    VirtualNetwork network(seed, 3);
    network.shard_delay_max = 3ms;
    std::vector<std::unique_ptr<PubSubPeer>> peers;
    std::vector<std::uint32_t> streams;
    for (std::uint32_t shard = 0; shard < 3; ++shard) {
      for (const char* filter : {"a.>", "a.*", "a.b"}) {
        auto& peer = *peers.emplace_back(std::make_unique<PubSubPeer>(network, shard));
        streams.push_back(peer.subscribe(filter));
      }
    }
    PubSubPeer publisher(network, 1);
    const std::uint32_t stream = publisher.publisher();
    network.run();
    for (int i = 0; i < 200; ++i) {
      publisher.publish(stream, "a.b", std::to_string(i) + std::string(1000, 'x'));
      if (i % 50 == 49) network.run();
    }
    const std::size_t ack = publisher.publish_acked(stream, "a.b", "last");
    network.run();
    EXPECT_EQ(publisher.acks[ack].level, 1);
    for (std::size_t i = 0; i < peers.size(); ++i) {
      const auto& events = peers[i]->subscriptions[streams[i]].events;
      ASSERT_EQ(events.size(), 201U);
      for (std::size_t at = 0; at < 200; ++at) {
        EXPECT_EQ(events[at].sequence, at + 1);
        EXPECT_TRUE(events[at].payload.starts_with(std::to_string(at) + "x"));
      }
    }
    EXPECT_GE(publisher.wire.near.send_credit(stream), protocol::kStreamCreditBytesDefault / 2)
        << "credit returns once, and only when all shards have taken what they were sent";
    EXPECT_EQ(publisher.wire.far.held_bytes(), 0U);
  }
}

TEST(RouterShardsPublish, goes_only_to_shards_with_an_interest) {
  VirtualNetwork network(1, 3);
  PubSubPeer subscriber(network, 2);
  PubSubPeer publisher(network, 0);
  const std::uint32_t first = subscriber.subscribe("a.*");
  const std::uint32_t second = subscriber.subscribe("a.*");
  network.run();
  EXPECT_EQ(network.router_of(0).census().interests, 1U) << "two subscriptions, one filter";
  EXPECT_EQ(network.router_of(1).census().interests, 1U);
  EXPECT_TRUE(subscriber.wire.near.send_end(first).has_value());
  network.run();
  EXPECT_EQ(network.router_of(0).census().interests, 1U);
  const std::uint32_t stream = publisher.publisher();
  publisher.publish(stream, "a.b", "x");
  network.run();
  EXPECT_EQ(subscriber.payloads(second), "x");
  EXPECT_TRUE(subscriber.wire.near.send_end(second).has_value());
  network.run();
  EXPECT_EQ(network.router_of(0).census().interests, 0U);
}

}  // namespace
}  // namespace valkyrie::simulation
