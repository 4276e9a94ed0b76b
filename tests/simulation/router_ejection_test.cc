// Instances whose calls fail get none for a while.
#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using messages::InstanceState;
using protocol::StatusCode;

constexpr const char* kGreeter = "hello.Greeter";

// A node of some shards, with two instances on the last; the first of them fails.
struct World {
  explicit World(std::uint32_t shards)
      : network(1, shards),
        bad(network, shards - 1),
        good(network, shards - 1),
        client(network, shards / 2) {
    bad.serve(kGreeter, "bad");
    good.serve(kGreeter, "good");
    bad.answer_code = StatusCode::internal;
    network.run();
  }
  void call(int times) {
    for (int i = 0; i < times; ++i) {
      client.call(kGreeter, "M", "x");
      network.run();
    }
  }
  messages::InstanceView view(std::string_view name) {
    const auto list = network.shard(0).registry().catalog().list("", network.now);
    for (const auto& instance : list.services.at(0).instances) {
      if (instance.instance == name) return instance;
    }
    return {};
  }

  VirtualNetwork network;
  Peer bad;
  Peer good;
  Peer client;
};

TEST(RouterEjection, failures_in_a_row_take_an_instance_out_on_every_shard) {
  for (const std::uint32_t shards : {1U, 3U}) {
    World world(shards);
    world.call(100);
    EXPECT_EQ(world.bad.served, 5U) << "then it got none, from " << shards << " shards";
    EXPECT_EQ(world.good.served, 95U);
    EXPECT_EQ(world.view("bad").state, InstanceState::ejected);
    EXPECT_EQ(world.view("bad").reason, "5 failures in a row; back in 10s");
    EXPECT_EQ(world.view("bad").failures, 5U);
    EXPECT_EQ(world.view("good").state, InstanceState::ready);
  }
}

TEST(RouterEjection, who_comes_back_and_fails_again_is_out_for_longer) {
  World world(2);
  world.call(50);
  world.network.advance(10s);
  EXPECT_EQ(world.view("bad").state, InstanceState::ready);
  world.call(50);
  EXPECT_EQ(world.bad.served, 10U);
  world.network.advance(10s);
  EXPECT_EQ(world.view("bad").state, InstanceState::ejected);
  world.network.advance(10s);
  EXPECT_EQ(world.view("bad").state, InstanceState::ready);
  world.bad.answer_code = StatusCode::ok;
  world.call(50);
  EXPECT_GT(world.bad.served, 20U) << "it is well again";
}

TEST(RouterEjection, errors_of_the_caller_do_not_count) {
  World world(1);
  world.bad.answer_code = StatusCode::invalid_argument;
  world.call(100);
  EXPECT_GT(world.bad.served, 30U);
}

TEST(RouterEjection, an_only_instance_stays_however_bad_it_is) {
  World world(1);
  world.network.cut(world.good.wire);
  world.network.run();
  world.call(50);
  EXPECT_EQ(world.bad.served, 50U);
}

TEST(RouterEjection, who_is_out_comes_back_when_no_other_is_left) {
  World world(2);
  world.call(50);
  ASSERT_EQ(world.view("bad").state, InstanceState::ejected);
  world.network.cut(world.good.wire);
  world.network.advance(Duration(1));
  EXPECT_EQ(world.view("bad").state, InstanceState::ready);
  world.call(1);
  EXPECT_EQ(world.client.answers.back().code, StatusCode::internal) << "a bad one is one";
}

// Five instances on two shards, of which `bad` fail each fourth call.
struct Comparison {
  Comparison(int bad, std::uint32_t share_max)
      : network(1, 2, {}, treated(share_max)), client(network, 0) {
    for (int i = 0; i < 5; ++i) {
      peers.push_back(std::make_unique<Peer>(network, static_cast<std::uint32_t>(i) % 2));
      peers.back()->serve(kGreeter, "i" + std::to_string(i));
      peers.back()->fails_each = i < bad ? 4 : 0;
    }
    network.run();
  }
  static router::RouterConfig treated(std::uint32_t share_max) {
    auto rules = std::make_shared<registry::ServiceRules>();
    rules->add(registry::kDefaultsPattern, [share_max](registry::ServiceSettings& settings) {
      settings.balance = messages::Balance::round_robin;
      settings.ejection = {.failures = 0,
                           .success_gap = 10,
                           .calls_min = 20,
                           .interval = 10s,
                           .time = 1h,
                           .share_max = share_max};
    });
    return {.rules = std::move(rules)};
  }
  std::ptrdiff_t out_after(int calls) {
    for (int i = 0; i < calls; ++i) {
      client.call(kGreeter, "M", "x");
      network.run();
    }
    network.advance(10s);
    const auto list = network.shard(0).registry().catalog().list("", network.now);
    return std::ranges::count(list.services.at(0).instances, InstanceState::ejected,
                              &messages::InstanceView::state);
  }

  VirtualNetwork network;
  std::vector<std::unique_ptr<Peer>> peers;
  Peer client;
};

TEST(RouterEjection, who_fails_more_often_than_the_others_is_out_though_never_twice_in_a_row) {
  Comparison world(/*bad=*/1, /*share_max=*/50);
  EXPECT_EQ(world.out_after(50), 0) << "ten calls each are too few to compare";
  EXPECT_EQ(world.out_after(200), 1);
  const std::size_t served = world.peers[0]->served;
  world.out_after(40);
  EXPECT_EQ(world.peers[0]->served, served);
}

TEST(RouterEjection, no_more_are_out_than_the_share_that_may_be) {
  EXPECT_EQ(Comparison(/*bad=*/2, /*share_max=*/100).out_after(200), 2);
  EXPECT_EQ(Comparison(/*bad=*/2, /*share_max=*/20).out_after(200), 1) << "one of five";
  EXPECT_EQ(Comparison(/*bad=*/2, /*share_max=*/19).out_after(200), 0);
}

}  // namespace
}  // namespace valkyrie::simulation
