// Calls and registrations between the shards of a node.
#include <gtest/gtest.h>
#include <memory>

#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::Outcome;
using protocol::StatusCode;

constexpr const char* kGreeter = "hello.Greeter";

TEST(RouterShards, a_call_crosses_from_any_shard_to_any_other) {
  VirtualNetwork network(1, 3);
  std::vector<std::unique_ptr<Peer>> peers;
  for (std::uint32_t from = 0; from < 3; ++from) {
    for (std::uint32_t to = 0; to < 3; ++to) {
      const std::string name = "s" + std::to_string(from) + std::to_string(to);
      Peer& service = *peers.emplace_back(std::make_unique<Peer>(network, to));
      Peer& client = *peers.emplace_back(std::make_unique<Peer>(network, from));
      service.serve(name, "one");
      network.run();
      ASSERT_EQ(service.instances.size(), 1U) << name;
      for (int i = 0; i < 10; ++i) client.call(name, "M", "x" + std::to_string(i));
      network.run();
      for (std::size_t i = 0; i < 10; ++i) {
        EXPECT_EQ(client.answers[i].payload, "x" + std::to_string(i));
      }
    }
  }
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(network.router_of(i).census().calls, 0U);
}

TEST(RouterShards, a_registration_is_confirmed_when_every_shard_can_route_to_it) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    VirtualNetwork network(seed, 3);
    Peer client(network, 2);
    Peer service(network, 1);
    service.serve(kGreeter, "one");
    for (int i = 0; i < 100 && service.instances.empty(); ++i) network.turn();
    client.call(kGreeter, "M", "x");
    network.run();
    EXPECT_EQ(client.answers[0].code, StatusCode::ok) << "seed " << seed;
  }
}

// Found by the simulator: the caller's shard hears of the instance first, and its request reaches
// the instance's shard before the route does.
TEST(RouterShards, a_call_that_is_ahead_of_its_route_spoils_none_that_come_later) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    VirtualNetwork network(seed, 3);
    network.shard_delay_max = 20ms;
    Peer client(network, 2);
    Peer service(network, 1);
    network.run();
    service.serve(kGreeter, "one");
    for (int i = 0; i < 1000 && service.instances.empty(); ++i) {
      client.call(kGreeter, "M", "early");
      network.run_for(1ms);
    }
    ASSERT_EQ(service.instances.size(), 1U) << "seed " << seed;
    client.call(kGreeter, "M", "late");
    network.run();
    EXPECT_EQ(client.answers[client.answers.size() - 1].code, StatusCode::ok) << "seed " << seed;
  }
}

TEST(RouterShards, concurrency_holds_over_all_shards) {
  auto rules = std::make_shared<registry::ServiceRules>();
  rules->add("defaults", [](registry::ServiceSettings& settings) { settings.queue_max = 0; });
  VirtualNetwork network(1, 3, {}, {.rules = std::move(rules)});
  Peer service(network, 1);
  service.serve(kGreeter, "one", /*concurrency=*/3);
  service.hold = true;
  Peer first(network, 0);
  Peer second(network, 2);
  network.run();
  for (int i = 0; i < 3; ++i) {
    first.call(kGreeter, "M", "x");
    second.call(kGreeter, "M", "x");
  }
  network.run();
  EXPECT_EQ(service.served, 3U);
  std::size_t refused = 0;
  for (const Peer* peer : {&first, &second}) {
    for (const Answer& answer : peer->answers) {
      if (answer.code == StatusCode::resource_exhausted) ++refused;
    }
  }
  EXPECT_EQ(refused, 3U);
  service.reply_all();
  network.run();
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(network.router_of(i).census().calls, 0U);
}

TEST(RouterShards, a_call_to_an_instance_that_has_just_died_is_given_to_another) {
  VirtualNetwork network(1, 2);
  Peer dying(network, 1);
  Peer living(network, 1);
  dying.serve(kGreeter, "one");
  living.serve(kGreeter, "two");
  Peer client(network, 0);
  network.run();
  network.cut(dying.wire);  // Shard 0 has not heard of it when it routes.
  for (int i = 0; i < 10; ++i) client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(living.served, 10U);
  for (const Answer& answer : client.answers) EXPECT_EQ(answer.code, StatusCode::ok);
}

TEST(RouterShards, an_answer_that_was_lost_elsewhere_has_its_true_outcome) {
  VirtualNetwork network(1, 2);
  Peer service(network, 1);
  service.serve(kGreeter, "one");
  service.hold = true;
  Peer client(network, 0);
  network.run();
  client.call(kGreeter, "M", "x");
  network.run();
  network.cut(service.wire);
  network.run();
  EXPECT_EQ(client.answers[0].code, StatusCode::unavailable);
  EXPECT_EQ(client.answers[0].outcome, Outcome::maybe_executed);
}

TEST(RouterShards, cancel_crosses) {
  VirtualNetwork network(1, 2);
  Peer service(network, 1);
  service.serve(kGreeter, "one");
  service.hold = true;
  Peer client(network, 0);
  network.run();
  client.call(kGreeter, "M", "x");
  network.run();
  client.cancel_last();
  network.run();
  EXPECT_EQ(service.cancels, 1U);
}

TEST(RouterShards, a_service_that_does_not_read_stops_its_callers_only) {
  VirtualNetwork network(1, 2);
  Peer slow(network, 1);
  Peer quick(network, 1);
  slow.serve("slow.Service", "one");
  quick.serve("quick.Service", "one");
  slow.hold = true;
  slow.consume = false;
  Peer client(network, 0);
  network.run();
  const std::string part(20'000, 'x');
  for (int i = 0; i < 50; ++i) client.call("slow.Service", "M", part);
  for (int i = 0; i < 50; ++i) client.call("quick.Service", "M", part);
  network.run();
  EXPECT_LT(slow.served, 10U) << "back-pressure crosses the shards";
  EXPECT_EQ(quick.served, 50U);
}

TEST(RouterShards, the_list_of_services_counts_calls_of_every_shard) {
  VirtualNetwork network(1, 3);
  Peer service(network, 2);
  service.serve(kGreeter, "one");
  Peer first(network, 0);
  Peer second(network, 1);
  network.run();
  for (int i = 0; i < 5; ++i) {
    first.call(kGreeter, "M", "x");
    second.call(kGreeter, "M", "x");
  }
  network.run();
  first.call("valkyrie.Registry", "List", "");
  network.run();
  const auto list = messages::decode<messages::ListServicesReply>(
      std::as_bytes(std::span(first.answers.back().payload)));
  ASSERT_TRUE(list.has_value());
  ASSERT_EQ(list->services.size(), 1U);
  EXPECT_EQ(list->services[0].instances[0].calls, 10U);
  EXPECT_EQ(list->services[0].instances[0].in_flight, 0U);
}

TEST(RouterShards, with_wait_a_call_gets_an_instance_of_another_shard) {
  VirtualNetwork network(1, 2);
  Peer client(network, 1);
  client.call(kGreeter, "M", "x", {.deadline = {}, .options = protocol::kStreamOptionWait});
  network.run();
  Peer service(network, 0);
  service.serve(kGreeter, "one");
  network.run();
  EXPECT_EQ(client.answers[0].payload, "x");
}

}  // namespace
}  // namespace valkyrie::simulation
