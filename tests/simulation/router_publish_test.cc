// Publishers, subscribers and groups through a whole node.
#include <gtest/gtest.h>
#include <memory>

#include "tests/simulation/pubsub_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::CloseCode;
using protocol::StatusCode;

std::string tokens(std::size_t count) {
  std::string text = "t";
  for (std::size_t i = 1; i < count; ++i) text += ".t";
  return text;
}

TEST(RouterPublish, gives_a_message_to_every_subscription_whose_filter_matches) {
  VirtualNetwork network;
  PubSubPeer subscriber(network);
  PubSubPeer other(network);
  PubSubPeer publisher(network);
  const std::uint32_t all = subscriber.subscribe("sensors.>");
  const std::uint32_t one = subscriber.subscribe("sensors.*.celsius");
  const std::uint32_t literal = other.subscribe("sensors.a.bar");
  network.run();
  const std::uint32_t stream = publisher.publisher();
  EXPECT_TRUE(publisher.publish(stream, "sensors.a.celsius", "21.5"));
  EXPECT_TRUE(publisher.publish(stream, "sensors.a.bar", "1.0"));
  EXPECT_TRUE(publisher.publish(stream, "elsewhere", "x"));
  network.run();
  EXPECT_EQ(subscriber.payloads(all), "21.5 1.0");
  EXPECT_EQ(subscriber.payloads(one), "21.5");
  EXPECT_EQ(other.payloads(literal), "1.0");
  EXPECT_EQ(subscriber.subscriptions[all].events[1].sequence, 2U);
  EXPECT_EQ(subscriber.subscriptions[all].events[1].subject, "sensors.a.bar");
  EXPECT_EQ(network.router_of(0).stats().published, 3U);
  EXPECT_EQ(network.router_of(0).stats().events, 4U);
}

TEST(RouterPublish, acknowledges_what_is_in_memory_and_nothing_more) {
  VirtualNetwork network;
  PubSubPeer peer(network);
  const std::uint32_t stream = peer.publisher("orders.new");
  const std::size_t received = peer.publish_acked(stream, {}, "x");
  const std::size_t persisted = peer.publish_acked(stream, {}, "x", 2);
  const std::size_t replicated = peer.publish_acked(stream, {}, "x", 3);
  const std::uint32_t durable = peer.publisher("orders.new", 2);
  const std::size_t by_default = peer.publish_acked(durable, {}, "x");
  const std::size_t asked_less = peer.publish_acked(durable, {}, "x", 1);
  EXPECT_TRUE(peer.publish(durable, {}, "nobody asks for a level"));
  network.run();
  for (const std::size_t good : {received, asked_less}) {
    EXPECT_EQ(peer.acks[good].level, 1);
    EXPECT_EQ(peer.acks[good].code, StatusCode::ok);
  }
  for (const std::size_t bad : {persisted, replicated, by_default}) {
    EXPECT_EQ(peer.acks[bad].count, 1);
    EXPECT_EQ(peer.acks[bad].level, 0);
    EXPECT_EQ(peer.acks[bad].code, StatusCode::failed_precondition);
    EXPECT_EQ(peer.acks[bad].outcome, protocol::Outcome::not_executed);
    EXPECT_NE(peer.acks[bad].text.find("not available here"), std::string::npos);
  }
  EXPECT_TRUE(peer.publishers_reset.empty());
}

struct BadSubject {
  std::string subject;
  StatusCode status;
  CloseCode code;
};

TEST(RouterPublish, answers_a_bad_subject_or_ends_the_stream_of_who_does_not_listen) {
  const auto invalid = StatusCode::invalid_argument;
  const auto bad = CloseCode::bad_metadata;
  for (const BadSubject& row : std::vector<BadSubject>{
           {"a..b", invalid, bad},
           {"a/b", invalid, bad},
           {"a.*", invalid, bad},
           {"a.>", invalid, bad},
           {tokens(17), invalid, bad},
           {"valkyrie", StatusCode::permission_denied, CloseCode::forbidden},
           {"valkyrie.jobs", StatusCode::permission_denied, CloseCode::forbidden},
           {"", invalid, bad}}) {
    SCOPED_TRACE(row.subject);
    VirtualNetwork network;
    PubSubPeer peer(network);
    const std::uint32_t all = peer.subscribe(">");
    const std::uint32_t stream = peer.publisher();
    const std::size_t ack = peer.publish_acked(stream, row.subject, "x");
    const std::size_t next = peer.publish_acked(stream, "fine", "x");
    network.run();
    EXPECT_EQ(peer.acks[ack].code, row.status);
    EXPECT_EQ(peer.acks[ack].outcome, protocol::Outcome::not_executed);
    EXPECT_EQ(peer.acks[next].level, 1) << "the stream goes on";
    EXPECT_TRUE(peer.publish(stream, row.subject, "x"));
    network.run();
    ASSERT_EQ(peer.publishers_reset.count(stream), 1U);
    EXPECT_EQ(peer.publishers_reset[stream], row.code);
    EXPECT_FALSE(peer.closed);
    EXPECT_EQ(peer.payloads(all), "x");
  }
}

TEST(RouterPublish, takes_16_tokens_and_255_bytes) {
  VirtualNetwork network;
  PubSubPeer peer(network);
  const std::uint32_t all = peer.subscribe(">");
  const std::uint32_t stream = peer.publisher();
  peer.publish_acked(stream, tokens(16), "a");
  peer.publish_acked(stream, std::string(255, 'x'), "b");
  network.run();
  EXPECT_EQ(peer.payloads(all), "a b");
}

TEST(RouterPublish, resets_a_stream_whose_own_subject_or_filter_is_bad) {
  VirtualNetwork network;
  PubSubPeer peer(network);
  for (const std::string filter : {"a..b", "a*", "a.>.b", "", "a b"}) {
    const std::uint32_t stream = peer.subscribe(filter);
    network.run();
    EXPECT_EQ(peer.subscriptions[stream].code, CloseCode::bad_metadata) << filter;
  }
  const std::uint32_t reserved = peer.subscribe("valkyrie.>");
  const std::uint32_t deep = peer.subscribe(tokens(17));
  const std::uint32_t publisher = peer.publisher("a.*");
  network.run();
  EXPECT_EQ(peer.subscriptions[reserved].code, CloseCode::forbidden);
  EXPECT_EQ(peer.subscriptions[deep].code, CloseCode::bad_metadata);
  EXPECT_EQ(peer.publishers_reset[publisher], CloseCode::bad_metadata);
  EXPECT_FALSE(peer.closed);
  const auto census = network.router_of(0).census();
  EXPECT_EQ(census.subscriptions + census.publishers + census.interests, 0U);
}

TEST(RouterPublish, keeps_the_order_of_a_publisher) {
  VirtualNetwork network;
  network.faults.piece_bytes_max = 100;
  PubSubPeer subscriber(network);
  PubSubPeer publisher(network);
  const std::uint32_t subscription = subscriber.subscribe("a.>");
  const std::uint32_t stream = publisher.publisher();
  for (int i = 0; i < 300; ++i) {
    publisher.publish(stream, i % 2 == 0 ? "a.even" : "a.odd", std::to_string(i));
  }
  network.run();
  const auto& events = subscriber.subscriptions[subscription].events;
  ASSERT_EQ(events.size(), 300U);
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].payload, std::to_string(i));
    EXPECT_EQ(events[i].sequence, i + 1);
  }
}

TEST(RouterPublish, does_not_echo_to_who_asked_for_silence) {
  VirtualNetwork network;
  PubSubPeer peer(network);
  PubSubPeer other(network);
  const std::uint32_t echo = peer.subscribe("a");
  const std::uint32_t silent = peer.subscribe("a", {}, protocol::kStreamOptionNoEcho);
  peer.publish(peer.publisher(), "a", "mine");
  other.publish(other.publisher(), "a", "theirs");
  network.run();
  EXPECT_EQ(peer.payloads(echo), "mine theirs");
  EXPECT_EQ(peer.payloads(silent), "theirs");
}

TEST(RouterPublish, carries_messages_longer_than_any_window_as_one_shared_copy) {
  VirtualNetwork network;
  PubSubPeer publisher(network);
  std::vector<std::unique_ptr<PubSubPeer>> subscribers;
  std::vector<std::uint32_t> streams;
  for (int i = 0; i < 8; ++i) {
    auto& peer = *subscribers.emplace_back(std::make_unique<PubSubPeer>(network));
    streams.push_back(peer.subscribe("big"));
  }
  network.run();
  const std::string payload(protocol::kCallMessageBytesDefault, 'x');
  const std::uint32_t stream = publisher.publisher();
  EXPECT_TRUE(publisher.publish(stream, "big", payload));
  network.run();
  EXPECT_TRUE(publisher.publish(stream, "big", ""));
  network.run();
  for (std::size_t i = 0; i < subscribers.size(); ++i) {
    const auto& events = subscribers[i]->subscriptions[streams[i]].events;
    ASSERT_EQ(events.size(), 2U);
    EXPECT_TRUE(events[0].payload == payload);
    EXPECT_EQ(events[1].payload, "");
  }
}

TEST(RouterPublish, skips_a_subscriber_that_does_not_take_so_long_a_message) {
  VirtualNetwork network;
  protocol::SessionConfig small;
  small.limits.call_message_bytes_max = protocol::kCallMessageBytesMin;
  PubSubPeer subscriber(network, 0, small);
  PubSubPeer publisher(network);
  const std::uint32_t subscription = subscriber.subscribe("a");
  network.run();
  const std::uint32_t stream = publisher.publisher();
  publisher.publish(stream, "a", std::string(protocol::kCallMessageBytesMin, 'x'));
  publisher.publish(stream, "a", std::string(protocol::kCallMessageBytesMin + 1, 'x'));
  publisher.publish(stream, "a", "y");
  network.run();
  const auto& events = subscriber.subscriptions[subscription].events;
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1].sequence, 3U) << "the gap is the loss";
  EXPECT_EQ(network.router_of(0).stats().events_dropped, 1U);
}

TEST(RouterPublish, ends_a_subscription_after_what_waits_for_it) {
  VirtualNetwork network;
  PubSubPeer subscriber(network);
  PubSubPeer publisher(network);
  subscriber.consume = false;
  const std::uint32_t subscription = subscriber.subscribe("a");
  const std::uint32_t stream = publisher.publisher();
  const std::string payload(10'000, 'x');
  network.run();
  for (int i = 0; i < 20; ++i) publisher.publish(stream, "a", payload);
  network.run();
  EXPECT_LT(subscriber.subscriptions[subscription].events.size(), 20U);
  ASSERT_TRUE(subscriber.wire.near.send_end(subscription));
  network.run();
  EXPECT_FALSE(subscriber.subscriptions[subscription].closed);
  publisher.publish(stream, "a", "after the end");
  network.run();
  subscriber.catch_up();
  network.run();
  EXPECT_EQ(subscriber.subscriptions[subscription].events.size(), 20U);
  EXPECT_TRUE(subscriber.subscriptions[subscription].closed);
  const auto census = network.router_of(0).census();
  EXPECT_EQ(census.subscriptions, 0U);
  EXPECT_EQ(census.interests, 0U);
  EXPECT_EQ(census.event_bytes_queued, 0U);
}

TEST(RouterPublish, forgets_what_belonged_to_a_lost_connection) {
  VirtualNetwork network(1, 2);
  PubSubPeer publisher(network, 1);
  const std::uint32_t stream = publisher.publisher();
  {
    PubSubPeer subscriber(network, 0);
    subscriber.consume = false;
    subscriber.subscribe("a");
    subscriber.subscribe("a", "group");
    subscriber.publisher();
    network.run();
    for (int i = 0; i < 50; ++i) publisher.publish(stream, "a", std::string(5'000, 'x'));
    network.run();
    EXPECT_GT(network.router_of(0).census().event_bytes_queued, 0U);
    network.cut(subscriber.wire);
    network.run();
  }
  const auto census = network.router_of(0).census();
  EXPECT_EQ(census.subscriptions + census.interests + census.groups + census.publishers, 0U);
  EXPECT_EQ(census.event_bytes_queued + census.events_queued, 0U);
  EXPECT_EQ(network.router_of(1).census().interests, 0U);
  EXPECT_EQ(network.router_of(1).census().groups, 0U);
}

TEST(RouterPublish, a_draining_node_takes_no_message_and_closes_in_order) {
  VirtualNetwork network;
  PubSubPeer subscriber(network);
  PubSubPeer publisher(network);
  const std::uint32_t subscription = subscriber.subscribe("a");
  const std::uint32_t stream = publisher.publisher();
  network.run();
  publisher.publish(stream, "a", "before");
  const std::size_t before = publisher.publish_acked(stream, "a", "acknowledged");
  network.run();
  network.drain(30s);
  network.run();
  EXPECT_EQ(publisher.acks[before].level, 1);
  EXPECT_EQ(subscriber.payloads(subscription), "before acknowledged");
  EXPECT_TRUE(subscriber.subscriptions[subscription].closed);
  EXPECT_TRUE(subscriber.closed);
  EXPECT_TRUE(publisher.closed);
}

TEST(RouterPublish, refuses_filters_that_would_make_messages_dear) {
  VirtualNetwork network;
  std::vector<std::unique_ptr<PubSubPeer>> peers;
  std::size_t refused = 0;
  for (std::uint32_t number = 0; number < 1024; ++number) {
    if (number % 128 == 0) peers.push_back(std::make_unique<PubSubPeer>(network));
    std::string filter;
    for (std::uint32_t i = 0; i < 15; ++i) {
      filter += (number * 37U >> (i % 10) & 1U) != 0 ? "*." : "a.";
    }
    peers.back()->subscribe(filter + "never");
    network.run();
  }
  for (const auto& peer : peers) {
    for (const auto& [stream, subscription] : peer->subscriptions) {
      if (!subscription.reset) continue;
      ++refused;
      EXPECT_EQ(subscription.code, CloseCode::refused);
    }
    EXPECT_FALSE(peer->closed);
  }
  EXPECT_GT(refused, 0U);
  const std::uint32_t fine = peers[0]->subscribe("orders.*.created");
  peers[0]->publish(peers[0]->publisher(), "orders.eu.created", "x");
  network.run();
  EXPECT_EQ(peers[0]->payloads(fine), "x");
}

}  // namespace
}  // namespace valkyrie::simulation
