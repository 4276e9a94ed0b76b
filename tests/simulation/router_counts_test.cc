// What the node counts of a service's calls: each once, however it ends, on whatever shard.
#include <algorithm>
#include <gtest/gtest.h>

#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::Outcome;
using protocol::StatusCode;

constexpr const char* kGreeter = "hello.Greeter";

// A service with one place, and one that keeps it in the lists when the instance is lost.
struct Counted {
  explicit Counted(std::uint32_t shards)
      : network(1, shards), service(network), keeper(network), client(network, shards - 1) {
    service.serve(kGreeter, "one", /*concurrency=*/1);
    const std::uint32_t registration = keeper.serve(kGreeter, "two");
    keeper.tell_registry(registration, messages::InstanceUpdate{.weight = 0});
    service.hold = true;
    network.run();
  }
  std::size_t call(CallWith with = {}) {
    const std::size_t index = client.call(kGreeter, "M", "x", with);
    network.run();
    return index;
  }
  void answer() {
    service.reply_all();
    network.run();
  }
  messages::ServiceStatsView stats() {
    const std::string body = messages::encode(messages::ListServicesRequest{});
    const std::size_t index = keeper.call("valkyrie.Registry", "List", body);
    network.run();
    const std::string& payload = keeper.answers[index].payload;
    const auto list =
        messages::decode<messages::ListServicesReply>(std::as_bytes(std::span(payload)));
    EXPECT_TRUE(list.has_value());
    return list->services.at(0).stats;
  }

  VirtualNetwork network;
  Peer service;
  Peer keeper;
  Peer client;
};

class RouterCounts : public ::testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Shards, RouterCounts, ::testing::Values(1, 2));

TEST_P(RouterCounts, a_call_with_the_outcome_that_its_caller_sees) {
  Counted world(GetParam());
  world.call();
  world.call();
  EXPECT_EQ(world.stats().waiting, 1u);
  world.client.cancel_last();
  world.network.run();
  EXPECT_EQ(world.stats().waiting, 0u);
  world.call({.deadline = 2s});
  world.network.advance(2s);
  world.answer();
  world.service.answer_code = StatusCode::internal;
  world.call();
  world.answer();
  world.call();
  world.network.cut(world.service.wire);
  world.network.run();
  world.call();
  messages::ServiceStatsView seen;
  for (const Answer& answer : world.client.answers) {
    ASSERT_EQ(answer.count, 1);
    if (answer.code == StatusCode::ok) {
      ++seen.ok;
    } else if (answer.outcome == Outcome::not_executed) {
      ++seen.not_executed;
    } else {
      ++(answer.outcome == Outcome::executed ? seen.executed : seen.maybe_executed);
    }
  }
  const messages::ServiceStatsView stats = world.stats();
  EXPECT_EQ(stats.ok, 1u);
  EXPECT_EQ(stats.ok, seen.ok);
  EXPECT_EQ(stats.not_executed, 3u) << "cancelled, late, and with no instance left";
  EXPECT_EQ(stats.not_executed, seen.not_executed);
  EXPECT_EQ(stats.executed, 1u);
  EXPECT_EQ(stats.executed, seen.executed);
  EXPECT_EQ(stats.maybe_executed, 1u);
  EXPECT_EQ(stats.maybe_executed, seen.maybe_executed);
}

TEST_P(RouterCounts, the_time_from_request_to_answer) {
  Counted world(GetParam());
  world.call();
  world.call();
  world.network.advance(3s);
  world.answer();
  world.network.advance(4s);
  world.answer();
  const messages::ServiceStatsView stats = world.stats();
  ASSERT_EQ(stats.latency.size(), 2u);
  const std::uint64_t seconds[] = {3, 7};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::uint64_t time = seconds[i] * 1'000'000'000;
    EXPECT_GE(stats.latency[i].up_to_ns, time);
    EXPECT_LE(stats.latency[i].up_to_ns, time + time / 8);
    EXPECT_EQ(stats.latency[i].count, 1u);
  }
}

}  // namespace
}  // namespace valkyrie::simulation
