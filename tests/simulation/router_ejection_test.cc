// Instances whose calls fail get none for a while.
#include <gtest/gtest.h>
#include <memory>
#include <string>

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

}  // namespace
}  // namespace valkyrie::simulation
