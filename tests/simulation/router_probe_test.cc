// Instances that do not answer the node's probes get no calls, and then lose their registration.
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using messages::InstanceState;
using protocol::StatusCode;

constexpr const char* kGreeter = "hello.Greeter";

router::RouterConfig probed(registry::ProbeSettings probe) {
  auto rules = std::make_shared<registry::ServiceRules>();
  rules->add(registry::kDefaultsPattern,
             [probe](registry::ServiceSettings& settings) { settings.probe = probe; });
  return {.rules = std::move(rules)};
}

constexpr registry::ProbeSettings kProbe{
    .interval = 10s, .timeout = 1s, .failures = 3, .successes = 2, .deregister = 0};

// A node of some shards, with an instance on the last and a caller on the first. Keepalives are
// rare: what happens, happens for the probes.
struct World {
  explicit World(std::uint32_t shards, const registry::ProbeSettings& settings = kProbe)
      : network(1, shards, {}, probed(settings)),
        service(network, shards - 1, kPatient),
        client(network, 0, kPatient) {
    registration = service.serve(kGreeter, "one");
    network.run();
  }
  std::optional<messages::InstanceView> view() {
    const auto list = network.shard(0).registry().catalog().list("", network.now);
    if (list.services.empty()) return std::nullopt;
    return list.services.at(0).instances.at(0);
  }
  std::size_t probed_instances() {
    std::size_t count = 0;
    for (std::uint32_t i = 0; i < network.shard_count(); ++i) {
      count += network.router_of(i).census().probed;
    }
    return count;
  }
  StatusCode call(Duration patience = 5s) {
    client.call(kGreeter, "M", "x", {.deadline = patience});
    network.advance(patience);
    return client.answers.back().code;
  }

  static inline const protocol::SessionConfig kPatient{.limits = {.keepalive_interval = 1h}};

  VirtualNetwork network;
  Peer service;
  Peer client;
  std::uint32_t registration = 0;
};

TEST(RouterProbe, by_default_nobody_is_probed) {
  World world(1, {});
  world.network.advance(1h);
  EXPECT_EQ(world.service.served, 0U);
  EXPECT_EQ(world.probed_instances(), 0U);
}

TEST(RouterProbe, an_instance_is_asked_for_its_health_once_an_interval) {
  World world(2);
  world.service.hold = true;
  world.network.advance(10s);
  ASSERT_EQ(world.service.held.size(), 1U);
  EXPECT_EQ(world.service.held[0].method, messages::kHealthMethod);
  EXPECT_EQ(world.service.held[0].payload, "");
  world.service.hold = false;
  world.service.reply_all();
  world.network.advance(100s);
  EXPECT_NEAR(static_cast<double>(world.service.served), 11, 1);
  EXPECT_EQ(world.view()->state, InstanceState::ready);
  EXPECT_EQ(world.view()->calls, 0U) << "a probe is no call";
}

TEST(RouterProbe, who_is_silent_gets_no_calls_until_it_answers_again) {
  for (const std::uint32_t shards : {1U, 3U}) {
    World world(shards);
    EXPECT_EQ(world.call(), StatusCode::ok);
    world.service.hold = true;
    world.network.advance(20s);
    EXPECT_EQ(world.view()->state, InstanceState::ready) << "too early";
    world.network.advance(20s);
    ASSERT_EQ(world.view()->state, InstanceState::not_ready);
    EXPECT_EQ(world.view()->reason, "3 probes in a row failed: no answer in 20s");
    EXPECT_EQ(world.service.held.size(), 1U) << "one at a time";
    EXPECT_EQ(world.call(), StatusCode::unavailable);
    EXPECT_EQ(world.service.held.size(), 1U);
    world.service.hold = false;
    world.service.reply_all();
    world.network.advance(11s);
    EXPECT_EQ(world.view()->state, InstanceState::not_ready) << "one is not enough";
    world.network.advance(10s);
    EXPECT_EQ(world.view()->state, InstanceState::ready);
    EXPECT_EQ(world.view()->reason, "");
    EXPECT_EQ(world.call(), StatusCode::ok);
  }
}

TEST(RouterProbe, a_bad_answer_counts_and_is_told) {
  World world(2);
  world.service.answer_code = StatusCode::unavailable;
  world.network.advance(31s);
  EXPECT_EQ(world.view()->state, InstanceState::not_ready);
  EXPECT_EQ(world.view()->reason, "3 probes in a row failed: unavailable");
}

TEST(RouterProbe, who_knows_no_probes_but_answers_is_well) {
  World world(1);
  world.service.answer_code = StatusCode::unimplemented;
  world.network.advance(100s);
  EXPECT_EQ(world.view()->state, InstanceState::ready);
}

TEST(RouterProbe, who_stays_silent_loses_its_registration_and_may_register_again) {
  for (const std::uint32_t shards : {1U, 2U}) {
    World world(shards,
                {.interval = 1s, .timeout = 100ms, .failures = 2, .successes = 1, .deregister = 5});
    world.service.hold = true;
    world.network.advance(3s);
    ASSERT_TRUE(world.view().has_value());
    EXPECT_EQ(world.view()->state, InstanceState::not_ready);
    world.network.advance(4s);
    EXPECT_FALSE(world.view().has_value());
    EXPECT_EQ(world.probed_instances(), 0U);
    ASSERT_EQ(world.service.registrations_ended.size(), 1U);
    EXPECT_EQ(world.service.registrations_ended[0].text, "keepalive_timeout");
    EXPECT_FALSE(world.service.closed) << "the session goes on";
    world.service.hold = false;
    world.service.reply_all();
    world.service.serve(kGreeter, "one");
    world.network.run();
    EXPECT_EQ(world.view()->state, InstanceState::ready);
    EXPECT_EQ(world.call(), StatusCode::ok);
  }
}

TEST(RouterProbe, a_program_that_takes_nothing_is_found_long_before_its_keepalive) {
  World world(2);
  world.service.wire.to_program.stalled = true;
  world.service.wire.to_node.stalled = true;
  world.network.advance(41s);
  EXPECT_EQ(world.view()->state, InstanceState::not_ready);
}

TEST(RouterProbe, a_busy_instance_is_probed_too_and_loses_no_place_by_it) {
  World world(1);
  messages::RegisterRequest request;
  request.service = "busy.Service";
  request.instance = "b";
  request.concurrency = 1;
  Peer busy(world.network, 0, World::kPatient);
  busy.serve(request);
  world.network.run();
  busy.hold = true;
  world.client.call("busy.Service", "M", "x", {.deadline = 1h});
  world.network.advance(10s);
  ASSERT_EQ(busy.held.size(), 2U) << "the call and a probe";
  EXPECT_EQ(busy.held[1].method, messages::kHealthMethod);
}

TEST(RouterProbe, a_connection_that_is_full_is_well_while_it_answers_calls) {
  World world(1);
  protocol::SessionConfig narrow = World::kPatient;
  narrow.limits.requests_in_flight_max = 1;
  Peer full(world.network, 0, narrow);
  full.serve("full.Service", "f");
  world.network.run();
  full.hold = true;
  const auto state = [&world] {
    return world.network.shard(0).registry().catalog().list("full.", world.network.now);
  };
  for (int i = 0; i < 10; ++i) {
    world.client.call("full.Service", "M", "x", {.deadline = 1h});
    world.network.advance(10s);
    EXPECT_EQ(full.held.size(), 1U) << "no probe fits beside the call";
    full.reply_all();
    world.network.run();
  }
  EXPECT_EQ(state().services.at(0).instances.at(0).state, InstanceState::ready);
  world.client.call("full.Service", "M", "x", {.deadline = 1h});
  world.network.advance(50s);
  EXPECT_EQ(state().services.at(0).instances.at(0).state, InstanceState::not_ready);
  EXPECT_EQ(state().services.at(0).instances.at(0).reason,
            "3 probes in a row failed: its connection takes nothing more");
}

TEST(RouterProbe, it_ends_with_the_registration_the_connection_and_the_drain) {
  World world(2);
  world.network.advance(30s);
  EXPECT_EQ(world.probed_instances(), 1U);
  Peer other(world.network, 1, World::kPatient);
  other.serve(kGreeter, "two");
  world.network.run();
  EXPECT_EQ(world.probed_instances(), 2U);
  world.network.cut(other.wire);
  world.network.run();
  EXPECT_EQ(world.probed_instances(), 1U);
  messages::InstanceUpdate update;
  update.drain = true;
  world.service.tell_registry(world.registration, update);
  world.network.run();
  EXPECT_EQ(world.probed_instances(), 0U);
  const std::size_t served = world.service.served;
  world.network.advance(1min);
  EXPECT_EQ(world.service.served, served);
}

TEST(RouterProbe, a_node_that_drains_probes_nobody) {
  World world(2);
  world.network.advance(10s);
  world.service.hold = true;
  world.network.drain(30s);
  EXPECT_EQ(world.probed_instances(), 0U);
}

TEST(RouterProbe, a_method_of_the_nodes_name_cannot_be_registered) {
  World world(1);
  messages::RegisterRequest request;
  request.service = "other.Service";
  request.methods = {{.name = std::string(messages::kHealthMethod)}};
  world.service.serve(request);
  world.network.run();
  ASSERT_EQ(world.service.registrations_ended.size(), 1U);
  EXPECT_EQ(world.service.registrations_ended[0].code, StatusCode::permission_denied);
}

}  // namespace
}  // namespace valkyrie::simulation
