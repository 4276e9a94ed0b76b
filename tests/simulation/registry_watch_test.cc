// Registry/Watch through a whole node.
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "tests/simulation/stream_peer.h"
#include "tests/simulation/virtual_peer.h"
#include "tests/simulation/watch_view.h"

namespace valkyrie::simulation {
namespace {

using messages::InstanceState;
using protocol::StatusCode;

// A client that watches, and what it knows.
struct Watcher {
  Watcher(VirtualNetwork& of, std::uint32_t shard, std::string prefix = {})
      : network(of), peer(of, shard) {
    stream = peer.open("valkyrie.Registry", "Watch");
    peer.send(stream, messages::encode(messages::WatchRequest{.prefix = std::move(prefix)}));
    network.run();
  }
  // Takes what has come.
  WatchView& now() {
    network.run();
    for (const std::string& message : peer.streams[stream].messages) {
      view.take(StreamPeer::bytes_of(message));
      largest = std::max(largest, message.size());
    }
    events += peer.streams[stream].messages.size();
    peer.streams[stream].messages.clear();
    return view;
  }

  VirtualNetwork& network;
  StreamPeer peer;
  std::uint32_t stream = 0;
  WatchView view;
  std::size_t events = 0;
  std::size_t largest = 0;
};

class RegistryWatch : public testing::TestWithParam<std::uint32_t> {
 protected:
  VirtualNetwork network{1, GetParam() + 1};
  // The shard of the watcher; the registry is on 0.
  [[nodiscard]] std::uint32_t shard() const { return GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(NearAndFar, RegistryWatch, testing::Values(0U, 1U));

TEST_P(RegistryWatch, begins_with_what_there_is) {
  Peer service(network);
  service.serve("a.One", "x");
  service.serve("b.Two", "y");
  network.run();
  Watcher all(network, shard());
  EXPECT_EQ(all.now().instances.size(), 2U);
  Watcher some(network, shard(), "b.");
  ASSERT_EQ(some.now().instances.size(), 1U);
  EXPECT_EQ(some.view.instances.begin()->first, std::pair(std::string("b.Two"), std::string("y")));
  Watcher none(network, shard(), "c.");
  EXPECT_EQ(none.now().instances.size(), 0U);
  EXPECT_EQ(none.view.snapshots, 1U) << "an empty one is one";
}

TEST_P(RegistryWatch, goes_on_with_every_change) {
  Watcher watcher(network, shard(), "a.");
  EXPECT_EQ(watcher.now().instances.size(), 0U);
  Peer service(network);
  const std::uint32_t registration = service.serve("a.One", "x");
  service.serve("b.Two", "y");
  const auto key = std::pair(std::string("a.One"), std::string("x"));
  EXPECT_EQ(watcher.now().instances.at(key), InstanceState::ready);
  EXPECT_EQ(watcher.view.instances.size(), 1U);
  service.tell_registry(registration,
                        messages::InstanceUpdate{.health = messages::Health::unhealthy});
  EXPECT_EQ(watcher.now().instances.at(key), InstanceState::not_ready);
  service.tell_registry(registration, messages::InstanceUpdate{.drain = true});
  EXPECT_EQ(watcher.now().instances.at(key), InstanceState::draining);
  network.cut(service.wire);
  EXPECT_EQ(watcher.now().instances.size(), 0U);
  EXPECT_EQ(watcher.view.snapshots, 1U);
}

TEST_P(RegistryWatch, who_does_not_read_gets_a_new_snapshot_and_the_node_keeps_little) {
  Watcher watcher(network, shard());
  watcher.now();
  watcher.peer.consume = false;
  Peer service(network);
  const std::uint32_t steady = service.serve("a.Steady", "x");
  network.run();
  for (int i = 0; i < 10'000; ++i) {
    service.tell_registry(
        steady, messages::InstanceUpdate{.weight = static_cast<std::uint32_t>(1 + i % 1000)});
    if (i % 50 == 0) network.run();
  }
  service.serve("a.Late", "y");
  network.run();
  EXPECT_LT(watcher.peer.wire.far.queued_bytes(), 512U << 10U);
  watcher.peer.consume = true;
  for (int i = 0; i < 100; ++i) {
    watcher.peer.consume_kept(watcher.stream);
    watcher.now();
  }
  EXPECT_EQ(watcher.view.instances.size(), 2U);
  EXPECT_EQ(watcher.view.snapshots, 2U);
  EXPECT_LT(watcher.events, 9000U) << "it did not get all";
}

TEST_P(RegistryWatch, a_large_registry_comes_in_parts) {
  Peer service(network);
  for (int i = 0; i < 200; ++i) {
    messages::RegisterRequest request;
    request.service = "s.Service" + std::to_string(i % 7);
    request.instance = "i" + std::to_string(i);
    for (int method = 0; method < 30; ++method) {
      request.methods.push_back({.name = "Method" + std::to_string(method)});
    }
    service.serve(request);
    if (i % 50 == 0) network.run();
  }
  network.run();
  Watcher watcher(network, shard());
  EXPECT_EQ(watcher.now().instances.size(), 200U);
  EXPECT_EQ(watcher.view.snapshots, 1U);
  EXPECT_GT(watcher.events, 3U);
  EXPECT_LT(watcher.largest, 2 * registry::kWatchPartBytes);
}

TEST_P(RegistryWatch, ends_when_the_node_drains_or_the_request_is_wrong) {
  Watcher watcher(network, shard());
  StreamPeer wrong(network, shard());
  const std::uint32_t bad = wrong.open("valkyrie.Registry", "Watch");
  wrong.send(bad, "\xFF\xFF");
  const std::uint32_t twice = wrong.open("valkyrie.Registry", "Watch");
  wrong.send(twice, messages::encode(messages::WatchRequest{}));
  wrong.send(twice, messages::encode(messages::WatchRequest{}));
  network.run();
  EXPECT_EQ(wrong.streams[bad].status, StatusCode::invalid_argument);
  EXPECT_EQ(wrong.streams[twice].status, StatusCode::invalid_argument);
  network.drain(30s);
  EXPECT_EQ(watcher.peer.streams[watcher.stream].status, StatusCode::unavailable);
}

TEST(RegistryLimits, as_many_methods_as_may_be_and_not_one_more) {
  VirtualNetwork network;
  Peer service(network);
  messages::RegisterRequest request;
  request.service = "a.Large";
  const auto declare = [&](std::size_t count) {
    request.methods.clear();
    for (std::size_t i = 0; i < count; ++i) {
      request.methods.push_back({.name = "M" + std::to_string(i)});
    }
    request.instance = std::to_string(count);
    service.serve(request);
    network.run();
  };
  declare(messages::kMethodsMax);
  EXPECT_EQ(service.instances.size(), 1U);
  declare(messages::kMethodsMax + 1);
  declare(100'000);
  ASSERT_EQ(service.registrations_ended.size(), 2U);
  for (const Answer& ended : service.registrations_ended) {
    EXPECT_EQ(ended.code, StatusCode::invalid_argument);
    EXPECT_EQ(ended.text,
              "the body is over a limit: an instance has at most 1024 methods and 64 labels");
  }
  EXPECT_EQ(service.instances.size(), 1U) << "the first one lives";
  EXPECT_FALSE(service.closed);
}

TEST(RegistryDrain, of_one_instance_costs_no_call) {
  VirtualNetwork network(1, 2);
  Peer leaving(network, 1);
  Peer staying(network, 0);
  const std::uint32_t registration = leaving.serve("a.One", "leaving");
  staying.serve("a.One", "staying");
  leaving.hold = true;
  Peer client(network, 0);
  network.run();
  for (int i = 0; i < 20; ++i) client.call("a.One", "M", "x");
  network.run();
  ASSERT_GT(leaving.held.size(), 0U);
  leaving.tell_registry(registration, messages::InstanceUpdate{.drain = true});
  for (int i = 0; i < 200; ++i) {
    client.call("a.One", "M", "x");
    network.turn();
  }
  network.run();
  leaving.reply_all();
  network.run();
  for (const Answer& answer : client.answers) EXPECT_EQ(answer.code, StatusCode::ok);
  const std::size_t before = leaving.served;
  for (int i = 0; i < 20; ++i) client.call("a.One", "M", "x");
  network.run();
  EXPECT_EQ(leaving.served, before);
}

}  // namespace
}  // namespace valkyrie::simulation
