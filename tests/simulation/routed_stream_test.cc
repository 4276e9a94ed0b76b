// Streams between a client and an instance of a registered service, on one shard and across two.
#include <gtest/gtest.h>

#include "tests/simulation/stream_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::CloseCode;
using protocol::Outcome;
using protocol::StatusCode;

constexpr const char* kFeed = "hello.Feed";

// The instance on shard 0, the client on the shard of the parameter.
class RoutedStream : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  RoutedStream() : network(5, 2) {
    service = std::make_unique<StreamPeer>(network);
    client = std::make_unique<StreamPeer>(network, GetParam());
    service->serve(kFeed, "one");
    network.run();
  }
  ~RoutedStream() override {
    for (const auto& wire : network.wires()) network.cut(*wire);
    network.run();
    network.advance(1min);
    for (std::uint32_t i = 0; i < 2; ++i) {
      EXPECT_EQ(network.router_of(i).census().streams, 0U);
      EXPECT_EQ(network.router_of(i).census().stream_ends, 0U);
      EXPECT_EQ(network.router_of(i).census().instances, 0U);
    }
  }

  std::uint32_t open(OpenWith with = {}) {
    const std::uint32_t stream = client->open(kFeed, "Talk", with);
    network.run();
    return stream;
  }

  VirtualNetwork network;
  std::unique_ptr<StreamPeer> service;
  std::unique_ptr<StreamPeer> client;
};

TEST_P(RoutedStream, messages_go_both_ways_in_order_and_ends_close_it) {
  const std::uint32_t stream = open({.pair = "hello"});
  ASSERT_EQ(service->opened, 1U);
  EXPECT_EQ(service->last().method, "Talk");
  EXPECT_EQ(service->last().service, kFeed);
  EXPECT_EQ(service->last().pair, "hello");
  for (int i = 0; i < 100; ++i) client->send(stream, "c" + std::to_string(i));
  client->end(stream);
  network.run();
  ASSERT_EQ(service->last().messages.size(), 100U);
  EXPECT_EQ(service->last().messages[99], "c99");
  EXPECT_EQ(service->last().ends, 1);
  EXPECT_EQ(client->streams[stream].ends, 0) << "half-closed: the answer is still to come";
  const std::uint32_t upstream = service->last_opened;
  for (int i = 0; i < 100; ++i) service->send(upstream, "s" + std::to_string(i));
  service->end(upstream);
  network.run();
  ASSERT_EQ(client->streams[stream].messages.size(), 100U);
  EXPECT_EQ(client->streams[stream].messages[99], "s99");
  EXPECT_EQ(client->streams[stream].status, StatusCode::ok);
  EXPECT_TRUE(client->streams[stream].closed);
  EXPECT_TRUE(service->last().closed);
  EXPECT_EQ(network.router_of(GetParam()).census().streams, GetParam() == 0 ? 1U : 0U)
      << "the registration";
}

TEST_P(RoutedStream, what_is_sent_with_the_open_arrives) {
  const std::uint32_t stream = client->open(kFeed, "Talk");
  client->send(stream, "at once");
  client->send(stream, "");
  client->end(stream);
  network.run();
  EXPECT_EQ(service->last().messages, (std::vector<std::string>{"at once", ""}));
  EXPECT_EQ(service->last().ends, 1);
}

TEST_P(RoutedStream, messages_keep_their_number_whatever_their_length) {
  const std::uint32_t stream = open();
  const std::size_t sizes[] = {0, 1, 65'535, 65'536, 65'537, 300'000, 0, 5'000'000};
  for (const std::size_t size : sizes) {
    ASSERT_TRUE(client->send(stream, std::string(size, 'x')));
    network.run();
  }
  ASSERT_EQ(service->last().messages.size(), std::size(sizes));
  for (std::size_t i = 0; i < std::size(sizes); ++i) {
    EXPECT_EQ(service->last().messages[i].size(), sizes[i]);
  }
}

TEST_P(RoutedStream, a_message_over_the_limit_of_the_instance_resets_the_stream_alone) {
  protocol::SessionConfig config;
  config.limits.stream_message_bytes_max = 100'000;
  StreamPeer small(network, 1, config);
  small.serve("hello.Small", "one");
  network.run();
  const std::uint32_t fits = client->open("hello.Small", "Talk");
  client->send(fits, std::string(100'000, 'x'));
  const std::uint32_t over = client->open("hello.Small", "Talk");
  client->send(over, std::string(100'001, 'x'));
  network.run();
  EXPECT_EQ(client->streams[over].code, CloseCode::too_large);
  EXPECT_EQ(client->streams[fits].resets, 0);
  EXPECT_TRUE(client->wire.near.ready());
  EXPECT_TRUE(small.wire.near.ready());
  network.cut(small.wire);
  network.run();
}

TEST_P(RoutedStream, a_status_of_the_service_ends_the_call_whatever_the_client_still_sends) {
  const std::uint32_t stream = open();
  service->end(service->last_opened, {StatusCode::not_found, Outcome::executed, "no such feed"});
  network.run();
  EXPECT_EQ(client->streams[stream].status, StatusCode::not_found);
  EXPECT_EQ(client->streams[stream].outcome, Outcome::executed);
  EXPECT_EQ(client->streams[stream].text, "no such feed");
  EXPECT_TRUE(service->last().closed) << "the instance is free, whatever the client does";
  for (int i = 0; i < 100; ++i) client->send(stream, std::string(10'000, 'x'));
  client->end(stream);
  network.run();
  EXPECT_TRUE(client->streams[stream].closed) << "its credit came back";
  EXPECT_EQ(service->last().messages.size(), 0U);
}

// Found by the simulator: the credit of what waited for the instance was lost, and its caller stood
// still before its END.
TEST_P(RoutedStream, what_waits_for_an_instance_that_ends_is_taken_back) {
  const std::uint32_t stream = open();
  service->consume = false;
  for (int i = 0; i < 400; ++i) client->send(stream, std::string(1'000, 'x'));
  client->end(stream);
  network.run();
  service->end(service->last_opened);
  network.run();
  EXPECT_EQ(service->last().resets, 1) << "more waits than it ever took";
  EXPECT_TRUE(client->streams[stream].closed);
}

TEST_P(RoutedStream, an_end_in_the_middle_of_a_message_resets_what_is_open_towards_the_instance) {
  const std::uint32_t stream = open();
  client->send(stream, "first half", /*more=*/true);
  network.run();
  service->end(service->last_opened);
  network.run();
  EXPECT_EQ(client->streams[stream].ends, 1);
  EXPECT_EQ(service->last().resets, 1);
  EXPECT_TRUE(service->wire.near.ready());
}

TEST_P(RoutedStream, a_reset_reaches_the_other_side_with_code_and_text) {
  const std::uint32_t first = open();
  client->wire.near.reset(first, CloseCode::cancelled, "enough");
  network.run();
  EXPECT_EQ(service->last().code, CloseCode::cancelled);
  EXPECT_EQ(service->last().text, "enough");
  const std::uint32_t second = open();
  service->wire.near.reset(service->last_opened, CloseCode::superseded, "another came");
  network.run();
  EXPECT_EQ(client->streams[second].code, CloseCode::superseded);
  EXPECT_EQ(client->streams[second].text, "another came");
  EXPECT_EQ(network.router_of(1).census().stream_ends, 0U);
}

TEST_P(RoutedStream, an_instance_that_is_lost_resets_its_streams) {
  const std::uint32_t stream = open();
  network.cut(service->wire);
  network.run();
  EXPECT_EQ(client->streams[stream].code, CloseCode::destination_lost);
  EXPECT_EQ(client->streams[stream].text, "hello.Feed: instance \"one\" is gone (none)");
}

TEST_P(RoutedStream, a_caller_that_is_lost_cancels_its_streams) {
  open();
  network.cut(client->wire);
  network.run();
  EXPECT_EQ(service->last().code, CloseCode::cancelled);
  EXPECT_TRUE(service->wire.near.ready());
}

TEST_P(RoutedStream, a_service_that_does_not_read_stops_the_client_after_a_window) {
  const std::uint32_t stream = open();
  service->consume = false;
  for (int i = 0; i < 400; ++i) client->send(stream, std::string(1'000, 'x'));
  network.run();
  const std::size_t taken = service->last().messages.size();
  EXPECT_LE(service->last().unconsumed, 64U * 1024U);
  const std::uint64_t held = client->wire.far.held_bytes();
  EXPECT_LE(held, 64U * 1024U) << "the node holds at most a window";
  EXPECT_GT(held, 48U * 1024U);
  for (int i = 0; i < 100 && service->last().messages.size() < 400; ++i) {
    service->consume_kept(service->last_opened);
    network.run();
  }
  EXPECT_LT(taken, 100U);
  EXPECT_EQ(service->last().messages.size(), 400U);
  network.run();
  EXPECT_EQ(client->wire.far.held_bytes(), 0U);
}

TEST_P(RoutedStream, a_client_that_does_not_read_stops_the_service_and_nobody_else) {
  const std::uint32_t slow = open();
  const std::uint32_t slow_upstream = service->last_opened;
  client->consume = false;
  for (int i = 0; i < 400; ++i) service->send(slow_upstream, std::string(1'000, 'x'));
  network.run();
  const std::uint64_t held = service->wire.far.held_bytes();
  EXPECT_LE(held, 64U * 1024U);
  EXPECT_GT(held, 48U * 1024U);
  client->consume = true;
  const std::uint32_t fast = open();
  for (int i = 0; i < 400; ++i) service->send(service->last_opened, std::string(1'000, 'y'));
  network.run();
  EXPECT_EQ(client->streams[fast].messages.size(), 400U);
  EXPECT_LT(client->streams[slow].messages.size(), 100U);
}

TEST_P(RoutedStream, many_stalled_streams_stop_no_other_one_and_no_call) {
  service->consume = false;
  for (int i = 0; i < 120; ++i) {
    const std::uint32_t stream = open();
    for (int part = 0; part < 200; ++part) client->send(stream, std::string(1'000, 'x'));
  }
  network.run();
  EXPECT_GT(client->wire.far.held_bytes(), 4U << 20U) << "more than a session may queue of its own";
  service->consume = true;
  const std::uint32_t stream = open();
  for (int i = 0; i < 200; ++i) client->send(stream, "passes");
  network.run();
  EXPECT_EQ(service->last().messages.size(), 200U);
}

TEST_P(RoutedStream, what_waits_beyond_the_held_limit_resets_its_stream) {
  network.node_config.limits.held_bytes_max = 256 * 1024;
  StreamPeer deaf(network, 0);
  deaf.consume = false;
  deaf.serve("hello.Deaf", "one");
  network.run();
  std::vector<std::uint32_t> streams;
  for (int i = 0; i < 8; ++i) {
    streams.push_back(client->open("hello.Deaf", "Talk"));
    for (int part = 0; part < 200; ++part) client->send(streams.back(), std::string(1'000, 'x'));
    network.run();
  }
  int resets = 0;
  for (const std::uint32_t stream : streams) {
    if (client->streams[stream].resets == 0) continue;
    ++resets;
    EXPECT_EQ(client->streams[stream].code, CloseCode::slow_peer);
  }
  EXPECT_GT(resets, 0);
  EXPECT_LT(resets, 8);
  EXPECT_TRUE(client->wire.near.ready());
  network.cut(deaf.wire);
  network.run();
}

TEST_P(RoutedStream, a_stalled_stream_is_reset_on_both_sides) {
  const std::uint32_t stream = open();
  service->consume = false;
  for (int i = 0; i < 400; ++i) client->send(stream, std::string(1'000, 'x'));
  network.run();
  network.advance(70s);
  EXPECT_EQ(service->last().code, CloseCode::slow_peer);
  EXPECT_EQ(client->streams[stream].code, CloseCode::slow_peer);
}

TEST_P(RoutedStream, the_deadline_goes_on_and_one_that_passed_is_not_sent) {
  open({.deadline = 250ms});
  EXPECT_EQ(service->last().deadline, Duration(250ms));
  const std::uint32_t late = open({.deadline = 0ms});
  EXPECT_EQ(service->opened, 1U);
  EXPECT_EQ(client->streams[late].status, StatusCode::deadline_exceeded);
  EXPECT_EQ(client->streams[late].outcome, Outcome::not_executed);
  client->end(late);
  network.run();
}

TEST_P(RoutedStream, a_busy_instance_is_passed_over_and_a_stream_waits_for_a_busy_service) {
  StreamPeer first(network, 0);
  StreamPeer second(network, 1);
  first.serve("hello.One", "a", 1);
  second.serve("hello.One", "b", 1);
  network.run();
  std::vector<std::uint32_t> streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(client->open("hello.One", "Talk"));
    network.run();
  }
  EXPECT_EQ(first.opened, 1U);
  EXPECT_EQ(second.opened, 1U);
  first.end(first.last_opened);
  network.run();
  EXPECT_EQ(first.opened, 2U) << "its place is free when the call is over";
  network.cut(first.wire);
  network.cut(second.wire);
  network.run();
}

TEST_P(RoutedStream, an_instance_without_room_for_streams_is_passed_over) {
  protocol::SessionConfig none;
  none.limits.peer_streams_max = 0;
  StreamPeer full(network, 0, none);
  StreamPeer roomy(network, 1);
  full.serve("hello.Room", "a");
  network.run();
  const std::uint32_t refused = client->open("hello.Room", "Talk");
  network.run();
  EXPECT_EQ(client->streams[refused].status, StatusCode::resource_exhausted);
  roomy.serve("hello.Room", "b");
  network.run();
  for (int i = 0; i < 10; ++i) client->open("hello.Room", "Talk");
  network.run();
  EXPECT_EQ(roomy.opened, 10U);
  network.cut(full.wire);
  network.cut(roomy.wire);
  network.run();
}

TEST_P(RoutedStream, with_wait_it_waits_for_an_instance_and_keeps_what_is_sent) {
  const std::uint32_t stream = client->open(
      "hello.Later", "Talk", {.deadline = 10s, .options = protocol::kStreamOptionWait});
  for (int i = 0; i < 10; ++i) client->send(stream, "m" + std::to_string(i));
  client->end(stream);
  network.run();
  EXPECT_EQ(network.router_of(GetParam()).census().waiting, 1U);
  network.advance(4s);
  StreamPeer late(network, 1 - GetParam());
  late.serve("hello.Later", "one");
  network.run();
  ASSERT_EQ(late.opened, 1U);
  EXPECT_EQ(late.last().messages.size(), 10U);
  EXPECT_EQ(late.last().ends, 1);
  EXPECT_EQ(late.last().deadline, Duration(6s)) << "what is left";
  network.cut(late.wire);
  network.run();
}

TEST_P(RoutedStream, the_wait_ends_with_the_deadline_with_the_caller_and_with_the_node) {
  const OpenWith with{.deadline = 10s, .options = protocol::kStreamOptionWait};
  const std::uint32_t expires = client->open("hello.Later", "Talk", with);
  const std::uint32_t given_up = client->open("hello.Later", "Talk", with);
  const std::uint32_t drained =
      client->open("hello.Later", "Talk", {.options = protocol::kStreamOptionWait});
  network.run();
  client->wire.near.reset(given_up, CloseCode::cancelled);
  network.run();
  EXPECT_EQ(network.router_of(GetParam()).census().waiting, 2U);
  network.advance(11s);
  EXPECT_EQ(client->streams[expires].status, StatusCode::deadline_exceeded);
  EXPECT_EQ(client->streams[expires].outcome, Outcome::not_executed);
  EXPECT_EQ(client->streams[drained].ends, 0);
  network.drain(1s);
  EXPECT_EQ(client->streams[drained].status, StatusCode::unavailable);
  EXPECT_EQ(client->streams[drained].outcome, Outcome::not_executed);
}

TEST_P(RoutedStream, a_service_that_nobody_has_resets_with_no_service) {
  const std::uint32_t stream = client->open("hello.Feet", "Talk");
  client->send(stream, "lost");
  network.run();
  EXPECT_EQ(client->streams[stream].code, CloseCode::no_service);
  EXPECT_NE(client->streams[stream].text.find("did you mean \"hello.Feed\""), std::string::npos);
}

TEST_P(RoutedStream, a_stream_that_is_open_outlives_a_drain_of_the_node) {
  const std::uint32_t stream = open();
  network.drain(5s);
  client->send(stream, "still");
  network.run();
  EXPECT_EQ(service->last().messages.size(), 1U);
  service->send(service->last_opened, "here");
  service->end(service->last_opened);
  client->end(stream);
  network.run();
  EXPECT_EQ(client->streams[stream].messages.size(), 1U);
  EXPECT_TRUE(client->streams[stream].closed);
}

INSTANTIATE_TEST_SUITE_P(OneShardAndTwo, RoutedStream, ::testing::Values(0U, 1U));

}  // namespace
}  // namespace valkyrie::simulation
