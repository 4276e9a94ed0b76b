// Calls that wait at the node because every instance of their service is busy.
#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::Outcome;
using protocol::StatusCode;

constexpr const char* kGreeter = "hello.Greeter";

constexpr std::uint8_t qos(protocol::QosClass priority, unsigned urgency = 16) {
  return static_cast<std::uint8_t>(static_cast<unsigned>(priority) << 5U | urgency);
}

router::RouterConfig treated(registry::SettingChange change) {
  auto rules = std::make_shared<registry::ServiceRules>();
  rules->add(registry::kDefaultsPattern, std::move(change));
  return {.rules = std::move(rules)};
}

// A service with one place, taken by the first call.
struct Busy {
  explicit Busy(registry::SettingChange change, std::uint32_t shards = 1)
      : network(1, shards, {}, treated(std::move(change))), service(network), client(network) {
    service.serve(kGreeter, "one", /*concurrency=*/1);
    service.hold = true;
    network.run();
    client.call(kGreeter, "M", "first");
    network.run();
  }
  // Answers what the service has; the next one comes.
  void answer() {
    service.reply_all();
    network.run();
  }
  [[nodiscard]] std::size_t waiting() { return network.router_of(0).census().waiting; }

  VirtualNetwork network;
  Peer service;
  Peer client;
};

TEST(RouterQueue, a_call_waits_for_a_busy_service_and_gets_its_answer) {
  Busy world([](registry::ServiceSettings&) {});
  world.client.call(kGreeter, "M", "second");
  world.network.run();
  EXPECT_EQ(world.service.served, 1U);
  EXPECT_EQ(world.waiting(), 1U);
  world.answer();
  EXPECT_EQ(world.waiting(), 0U);
  EXPECT_EQ(world.service.payloads.back(), "second");
  world.answer();
  EXPECT_EQ(world.client.answers[1].payload, "second");
}

TEST(RouterQueue, takes_as_many_as_it_may_and_refuses_the_next_at_once) {
  Busy world([](registry::ServiceSettings& settings) { settings.queue_max = 3; });
  for (int i = 0; i < 4; ++i) world.client.call(kGreeter, "M", "x");
  world.network.run();
  EXPECT_EQ(world.waiting(), 3U);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(world.client.answers[i].count, 0);
  EXPECT_EQ(world.client.answers[4].code, StatusCode::resource_exhausted);
  EXPECT_EQ(world.client.answers[4].outcome, Outcome::not_executed);
  EXPECT_EQ(world.client.answers[4].text,
            "hello.Greeter: 1 of 1 instances busy, queue full (3); not executed, safe to retry");
  for (int i = 0; i < 4; ++i) world.answer();
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(world.client.answers[i].code, StatusCode::ok);
}

TEST(RouterQueue, goes_by_class_then_urgency_then_age) {
  Busy world([](registry::ServiceSettings&) {});
  Peer trusted(world.network);
  using protocol::QosClass;
  world.client.call(kGreeter, "M", "telemetry", {.qos = qos(QosClass::telemetry)});
  world.client.call(kGreeter, "M", "data", {.qos = qos(QosClass::data)});
  world.client.call(kGreeter, "M", "data later", {.qos = qos(QosClass::data)});
  world.client.call(kGreeter, "M", "data urgent", {.qos = qos(QosClass::data, 3)});
  world.client.call(kGreeter, "M", "job", {.qos = qos(QosClass::job)});
  world.network.run();
  for (int i = 0; i < 6; ++i) world.answer();
  EXPECT_EQ(world.service.payloads, (std::vector<std::string>{"first", "job", "data urgent", "data",
                                                              "data later", "telemetry"}));
}

TEST(RouterQueue, the_deadline_ends_the_wait_and_the_service_never_sees_the_call) {
  Busy world([](registry::ServiceSettings&) {});
  world.client.call(kGreeter, "M", "late", {.deadline = 2s});
  world.network.advance(Duration(2s) - Duration(1));
  EXPECT_EQ(world.client.answers[1].count, 0);
  world.network.advance(Duration(1));
  EXPECT_EQ(world.client.answers[1].code, StatusCode::deadline_exceeded);
  EXPECT_EQ(world.client.answers[1].outcome, Outcome::not_executed);
  EXPECT_EQ(world.client.answers[1].text, "hello.Greeter: 1 of 1 instances busy");
  world.answer();
  EXPECT_EQ(world.service.served, 1U);
  EXPECT_EQ(world.network.router_of(0).census().calls, 0U);
}

TEST(RouterQueue, what_was_held_for_over_a_millisecond_is_told_the_time_that_is_left) {
  Busy world([](registry::ServiceSettings&) {});
  world.client.call(kGreeter, "M", "x", {.deadline = 10s});
  world.network.advance(4s);
  world.answer();
  ASSERT_EQ(world.service.held.size(), 1U);
  EXPECT_EQ(world.service.held[0].deadline, Duration(6s));
}

TEST(RouterQueue, a_cancelled_call_leaves_it) {
  Busy world([](registry::ServiceSettings&) {});
  world.client.call(kGreeter, "M", "x");
  world.network.run();
  world.client.cancel_last();
  world.network.run();
  EXPECT_EQ(world.client.answers[1].code, StatusCode::cancelled);
  EXPECT_EQ(world.client.answers[1].outcome, Outcome::not_executed);
  EXPECT_EQ(world.waiting(), 0U);
}

TEST(RouterQueue, a_client_that_is_gone_takes_its_calls_along) {
  Busy world([](registry::ServiceSettings&) {});
  Peer other(world.network);
  for (int i = 0; i < 5; ++i) other.call(kGreeter, "M", "x");
  world.network.run();
  world.network.cut(other.wire);
  world.network.run();
  EXPECT_EQ(world.waiting(), 0U);
  world.answer();
  EXPECT_EQ(world.service.served, 1U);
}

TEST(RouterQueue, a_new_instance_takes_what_waits) {
  Busy world([](registry::ServiceSettings&) {});
  for (int i = 0; i < 5; ++i) world.client.call(kGreeter, "M", "x");
  world.network.run();
  Peer second(world.network);
  second.serve(kGreeter, "two");
  world.network.run();
  EXPECT_EQ(second.served, 5U);
}

TEST(RouterQueue, without_an_instance_left_what_waits_is_refused) {
  Busy world([](registry::ServiceSettings&) {});
  world.client.call(kGreeter, "M", "x");
  world.client.call(kGreeter, "M", "patient", {.options = protocol::kStreamOptionWait});
  world.network.run();
  world.network.cut(world.service.wire);
  world.network.run();
  EXPECT_EQ(world.client.answers[1].code, StatusCode::unavailable);
  EXPECT_EQ(world.client.answers[1].outcome, Outcome::not_executed);
  EXPECT_EQ(world.client.answers[2].count, 0) << "option WAIT";
  Peer second(world.network);
  second.serve(kGreeter, "two");
  world.network.run();
  EXPECT_EQ(world.client.answers[2].code, StatusCode::ok);
}

TEST(RouterQueue, a_node_that_drains_refuses_what_waits) {
  Busy world([](registry::ServiceSettings&) {});
  world.client.call(kGreeter, "M", "x");
  world.network.run();
  world.network.drain(30s);
  EXPECT_EQ(world.client.answers[1].code, StatusCode::unavailable);
  EXPECT_EQ(world.client.answers[1].outcome, Outcome::not_executed);
  EXPECT_EQ(world.client.answers[0].count, 0) << "what runs goes on";
}

TEST(RouterQueue, a_notify_waits_too) {
  Busy world([](registry::ServiceSettings&) {});
  world.client.notify(kGreeter, "M", "x");
  world.network.run();
  EXPECT_EQ(world.service.served, 1U);
  world.answer();
  EXPECT_EQ(world.service.served, 2U);
}

TEST(RouterQueue, a_method_only_the_other_instance_has_does_not_hold_up_those_behind_it) {
  VirtualNetwork network;
  Peer one(network);
  Peer two(network);
  messages::RegisterRequest request;
  request.service = kGreeter;
  request.concurrency = 1;
  request.methods = {{.name = "A"}};
  one.serve(request);
  request.methods = {{.name = "B"}};
  two.serve(request);
  one.hold = two.hold = true;
  Peer client(network);
  network.run();
  for (const char* method : {"A", "B", "A", "A", "B"}) client.call(kGreeter, method, method);
  network.run();
  EXPECT_EQ(network.router_of(0).census().waiting, 3U);
  two.reply_all();
  network.run();
  EXPECT_EQ(two.served, 2U) << "though two calls of A stand before it";
}

TEST(RouterQueue, a_version_waits_in_the_queue_of_its_service) {
  Busy world([](registry::ServiceSettings& settings) { settings.queue_max = 2; });
  Peer second(world.network);
  messages::RegisterRequest request;
  request.service = kGreeter;
  request.version = "2";
  request.concurrency = 1;
  second.serve(request);
  second.hold = true;
  world.network.run();
  for (int i = 0; i < 4; ++i) world.client.call("hello.Greeter@2", "M", std::to_string(i));
  world.network.run();
  EXPECT_EQ(second.served, 1U);
  EXPECT_EQ(world.waiting(), 2U);
  EXPECT_EQ(world.client.answers[4].code, StatusCode::resource_exhausted);
  second.reply_all();
  world.network.run();
  EXPECT_EQ(second.served, 2U);
}

TEST(RouterLimit, holds_over_all_instances_and_the_rest_waits) {
  VirtualNetwork network(1, 1, {}, treated([](registry::ServiceSettings& settings) {
                           settings.in_flight_max = 5;
                           settings.queue_max = 2;
                         }));
  Peer one(network);
  Peer two(network);
  one.serve(kGreeter, "one");
  two.serve(kGreeter, "two");
  one.hold = two.hold = true;
  Peer client(network);
  network.run();
  for (int i = 0; i < 8; ++i) client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(one.served + two.served, 5U);
  EXPECT_EQ(client.answers[7].text,
            "hello.Greeter: 5 of 5 calls in flight, queue full (2); not executed, safe to retry");
  one.reply_all();
  two.reply_all();
  network.run();
  EXPECT_EQ(one.served + two.served, 7U);
}

TEST(RouterLimit, is_shared_out_between_the_shards) {
  VirtualNetwork network(
      1, 3, {}, treated([](registry::ServiceSettings& settings) { settings.in_flight_max = 6; }));
  Peer service(network, 1);
  service.serve(kGreeter, "one");
  service.hold = true;
  Peer client(network, 0);
  network.run();
  for (int i = 0; i < 10; ++i) client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(service.served, 2U);
}

TEST(RouterQueueShards, each_shard_has_a_queue_of_its_own_length) {
  constexpr std::uint32_t kShards = 3;
  VirtualNetwork network(
      1, kShards, {}, treated([](registry::ServiceSettings& settings) { settings.queue_max = 2; }));
  Peer service(network, 1);
  service.serve(kGreeter, "one", /*concurrency=*/1);
  service.hold = true;
  Peer first(network, 1);
  network.run();
  first.call(kGreeter, "M", "x");
  network.run();
  for (std::uint32_t shard = 0; shard < kShards; ++shard) {
    Peer client(network, shard);
    for (int i = 0; i < 3; ++i) client.call(kGreeter, "M", "x");
    network.run();
    EXPECT_EQ(network.router_of(shard).census().waiting, 2U);
    EXPECT_EQ(std::ranges::count(client.answers, StatusCode::resource_exhausted, &Answer::code), 1);
    network.cut(client.wire);
  }
}

// The instance is of shard 1; callers of all three wait for it.
TEST(RouterQueueShards, an_instance_serves_the_queues_of_all_shards_in_turn) {
  VirtualNetwork network(1, 3);
  Peer service(network, 1);
  service.serve(kGreeter, "one", /*concurrency=*/1);
  service.hold = true;
  std::vector<std::unique_ptr<Peer>> clients;
  for (std::uint32_t shard = 0; shard < 3; ++shard) {
    clients.push_back(std::make_unique<Peer>(network, shard));
  }
  network.run();
  for (int i = 0; i < 30; ++i) {
    for (const auto& client : clients) {
      client->call(kGreeter, "M", std::string(1, static_cast<char>('a' + client->wire.shard)));
    }
  }
  network.run();
  for (int i = 0; i < 90; ++i) {
    ASSERT_EQ(service.held.size(), 1U) << "after " << i << " answers";
    service.reply_all();
    network.run();
  }
  std::map<std::string, int> early;
  for (std::size_t i = 0; i < 45; ++i) ++early[service.payloads[i]];
  for (const auto& [shard, count] : early) EXPECT_NEAR(count, 15, 2) << shard;
  for (const auto& client : clients) {
    for (const Answer& answer : client->answers) EXPECT_EQ(answer.code, StatusCode::ok);
  }
}

TEST(RouterQueueShards, room_that_is_not_needed_any_more_goes_to_another_shard) {
  VirtualNetwork network(1, 3);
  Peer service(network, 1);
  service.serve(kGreeter, "one", /*concurrency=*/1);
  service.hold = true;
  Peer holder(network, 1);
  Peer leaves(network, 0);
  Peer stays(network, 2);
  network.run();
  holder.call(kGreeter, "M", "x");
  network.run();
  leaves.call(kGreeter, "M", "gone");
  stays.call(kGreeter, "M", "here");
  network.run();
  leaves.cancel_last();
  network.run();
  service.reply_all();
  network.run();
  ASSERT_EQ(service.held.size(), 1U);
  EXPECT_EQ(service.held[0].payload, "here");
  service.reply_all();
  network.run();
  EXPECT_EQ(stays.answers[0].code, StatusCode::ok);
}

}  // namespace
}  // namespace valkyrie::simulation
