// How the calls of a service are shared between its instances, through a whole node.
#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <set>

#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using messages::Balance;

constexpr const char* kGreeter = "hello.Greeter";

// A node whose services are all treated like this.
router::RouterConfig treated(registry::SettingChange change) {
  auto rules = std::make_shared<registry::ServiceRules>();
  rules->add(registry::kDefaultsPattern, std::move(change));
  return {.rules = std::move(rules)};
}

router::RouterConfig balanced_by(Balance policy) {
  return treated([policy](registry::ServiceSettings& settings) { settings.balance = policy; });
}

// Programs that serve the Greeter, one instance each.
std::vector<std::unique_ptr<Peer>> serve_greeter(VirtualNetwork& network, int count) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < count; ++i) {
    const auto shard = static_cast<std::uint32_t>(i) % network.shard_count();
    peers.push_back(std::make_unique<Peer>(network, shard));
    peers.back()->serve(kGreeter, "i" + std::to_string(i));
  }
  network.run();
  return peers;
}

TEST(RouterBalance, round_robin_goes_round) {
  VirtualNetwork network(1, 1, {}, balanced_by(Balance::round_robin));
  const auto peers = serve_greeter(network, 3);
  Peer client(network);
  for (int i = 0; i < 30; ++i) client.call(kGreeter, "M", "x");
  network.run();
  for (const auto& peer : peers) EXPECT_EQ(peer->served, 10U);
}

// Whole rounds of one shard's callers are even; those of two may begin at the same instance.
TEST(RouterBalance, round_robin_is_met_on_each_shard) {
  constexpr std::uint32_t kShards = 3;
  VirtualNetwork network(1, kShards, {}, balanced_by(Balance::round_robin));
  const auto peers = serve_greeter(network, 4);
  std::vector<std::size_t> before(peers.size());
  for (std::uint32_t shard = 0; shard < kShards; ++shard) {
    Peer client(network, shard);
    for (int i = 0; i < 40; ++i) client.call(kGreeter, "M", "x");
    network.run();
    for (std::size_t i = 0; i < peers.size(); ++i) {
      EXPECT_EQ(peers[i]->served - before[i], 10U) << "of shard " << shard;
      before[i] = peers[i]->served;
    }
  }
  for (std::uint32_t shard = 0; shard < kShards; ++shard) {
    Peer client(network, shard);
    client.call(kGreeter, "M", "x");
    network.run();
  }
  for (std::size_t i = 0; i < peers.size(); ++i) {
    EXPECT_LE(peers[i]->served - before[i], kShards) << "never off by more than one for each shard";
  }
}

// The instances are all of shard 0, which alone knows how many calls they have.
TEST(RouterBalance, a_hot_key_is_bounded_among_the_calls_of_each_shard) {
  constexpr std::uint32_t kShards = 3;
  VirtualNetwork network(1, kShards, {}, balanced_by(Balance::consistent_hash));
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 4; ++i) {
    peers.push_back(std::make_unique<Peer>(network, 0));
    peers.back()->serve(kGreeter, "i" + std::to_string(i));
    peers.back()->hold = true;
  }
  network.run();
  std::vector<std::size_t> before(peers.size());
  for (std::uint32_t shard = 1; shard < kShards; ++shard) {
    Peer client(network, shard);
    for (int i = 0; i < 40; ++i) client.call(kGreeter, "M", "x", {.affinity = "hot"});
    network.run();
    for (std::size_t i = 0; i < peers.size(); ++i) {
      EXPECT_LE(peers[i]->served - before[i], 13U) << "a quarter above the average of 10";
      before[i] = peers[i]->served;
    }
  }
}

TEST(RouterBalance, calls_of_one_affinity_meet_at_one_instance_from_every_shard) {
  VirtualNetwork network(1, 3, {}, balanced_by(Balance::consistent_hash));
  const auto peers = serve_greeter(network, 5);
  std::set<const Peer*> used;
  for (const std::string affinity : {"a", "b", "c", "d", "e", "f", "g", "h"}) {
    std::vector<std::size_t> before;
    for (const auto& peer : peers) before.push_back(peer->served);
    for (std::uint32_t shard = 0; shard < 3; ++shard) {
      Peer client(network, shard);
      for (int i = 0; i < 4; ++i) {
        client.call(kGreeter, "M", "x", {.affinity = affinity});
        network.run();
      }
      network.cut(client.wire);
    }
    std::size_t gained = 0;
    for (std::size_t i = 0; i < peers.size(); ++i) {
      if (peers[i]->served == before[i]) continue;
      EXPECT_EQ(peers[i]->served - before[i], 12U) << affinity;
      used.insert(peers[i].get());
      ++gained;
    }
    EXPECT_EQ(gained, 1U) << affinity;
  }
  EXPECT_GE(used.size(), 3U);
}

TEST(RouterBalance, without_affinity_a_connection_stays_with_one_instance) {
  VirtualNetwork network(1, 1, {}, balanced_by(Balance::consistent_hash));
  const auto peers = serve_greeter(network, 4);
  Peer client(network);
  for (int i = 0; i < 20; ++i) {
    client.call(kGreeter, i % 2 == 0 ? "M" : "N", "x");
    network.run();
  }
  EXPECT_EQ(std::ranges::count(peers, 20U, [](const auto& peer) { return peer->served; }), 1);
}

TEST(RouterBalance, the_nodes_own_zone_comes_first) {
  auto rules = std::make_shared<registry::ServiceRules>();
  rules->set_node_label("zone", "a");
  VirtualNetwork network(1, 1, {}, {.rules = std::move(rules)});
  Peer far(network);
  Peer near(network);
  messages::RegisterRequest request;
  request.service = kGreeter;
  request.labels = {{"zone", "b"}};
  far.serve(request);
  request.labels = {{"zone", "a"}};
  const std::uint32_t registration = near.serve(request);
  Peer client(network);
  network.run();
  for (int i = 0; i < 20; ++i) client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(near.served, 20U);
  near.tell_registry(registration, messages::InstanceUpdate{.drain = true});
  network.run();
  for (int i = 0; i < 20; ++i) client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(far.served, 20U);
}

TEST(RouterBalance, weight_zero_takes_an_instance_out_and_a_weight_brings_it_back) {
  VirtualNetwork network;
  Peer service(network);
  const std::uint32_t registration = service.serve(kGreeter, "one");
  Peer client(network);
  network.run();
  service.tell_registry(registration, messages::InstanceUpdate{.weight = 0});
  network.run();
  client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(client.answers[0].code, protocol::StatusCode::unavailable);
  EXPECT_EQ(client.answers[0].outcome, protocol::Outcome::not_executed);
  service.tell_registry(registration, messages::InstanceUpdate{.weight = 1});
  network.run();
  client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(client.answers[1].code, protocol::StatusCode::ok);
}

TEST(RouterBalance, a_new_instance_starts_slowly_where_that_is_set) {
  VirtualNetwork network(1, 1, {}, treated([](registry::ServiceSettings& settings) {
                           settings.balance = Balance::weighted;
                           settings.slow_start = 100s;
                         }));
  Peer old(network);
  old.serve(kGreeter, "old");
  network.advance(200s);
  Peer fresh(network);
  fresh.serve(kGreeter, "fresh");
  Peer client(network);
  network.run();
  const auto served_of_100 = [&] {
    const std::size_t before = fresh.served;
    for (int i = 0; i < 100; ++i) client.call(kGreeter, "M", "x");
    network.run();
    return fresh.served - before;
  };
  EXPECT_NEAR(static_cast<double>(served_of_100()), 9, 2);
  network.advance(100s);
  EXPECT_NEAR(static_cast<double>(served_of_100()), 50, 1);
}

TEST(RouterBalance, a_call_without_a_deadline_gets_that_of_its_service) {
  VirtualNetwork network(
      1, 1, {}, treated([](registry::ServiceSettings& settings) { settings.deadline = 3s; }));
  Peer client(network);
  client.call(kGreeter, "M", "x", {.options = protocol::kStreamOptionWait});
  network.advance(Duration(3s) - Duration(1));
  EXPECT_EQ(client.answers[0].count, 0);
  network.advance(Duration(1));
  EXPECT_EQ(client.answers[0].code, protocol::StatusCode::deadline_exceeded);
}

}  // namespace
}  // namespace valkyrie::simulation
