// Calls through a node of one shard.
#include <gtest/gtest.h>

#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::Outcome;
using protocol::StatusCode;

constexpr const char* kGreeter = "hello.Greeter";

TEST(Router, a_call_goes_to_the_instance_and_its_answer_comes_back) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  network.run();
  ASSERT_EQ(service.instances, std::vector<std::string>{"one"});
  Peer client(network);
  client.call(kGreeter, "SayHello", "Ada", {.deadline = 200ms});
  service.hold = true;
  network.run();
  ASSERT_EQ(service.held.size(), 1U);
  EXPECT_EQ(service.held[0].method, "SayHello");
  EXPECT_EQ(service.held[0].payload, "Ada");
  EXPECT_EQ(service.held[0].deadline, Duration(200ms)) << "not held for a millisecond: verbatim";
  service.reply(service.held[0], "Hello, Ada");
  network.run();
  ASSERT_EQ(client.answers[0].count, 1);
  EXPECT_EQ(client.answers[0].code, StatusCode::ok);
  EXPECT_EQ(client.answers[0].payload, "Hello, Ada");
}

TEST(Router, echo_of_the_node_itself_answers) {
  VirtualNetwork network;
  Peer client(network);
  client.call("valkyrie.Node", "Echo", "ping");
  client.call("valkyrie.Node", "Info", "");
  network.run();
  EXPECT_EQ(client.answers[0].payload, "ping");
  const auto info = messages::decode<messages::NodeInfoReply>(
      std::as_bytes(std::span(client.answers[1].payload)));
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->node, "n-test");
  EXPECT_EQ(info->shards, 1U);
}

TEST(Router, two_instances_share_the_calls) {
  VirtualNetwork network;
  Peer one(network);
  Peer two(network);
  one.serve(kGreeter, "one");
  two.serve(kGreeter, "two");
  network.run();
  one.hold = two.hold = true;
  Peer client(network);
  for (int i = 0; i < 100; ++i) client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_NEAR(static_cast<double>(one.held.size()), 50, 3);
  EXPECT_EQ(one.held.size() + two.held.size(), 100U);
  one.reply_all();
  two.reply_all();
  network.run();
  for (const Answer& answer : client.answers) EXPECT_EQ(answer.count, 1);
}

TEST(Router, an_unknown_service_is_refused_with_the_nearest_name) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  Peer client(network);
  network.run();
  client.call("hello.Greter", "M", "x");
  network.run();
  EXPECT_EQ(client.answers[0].code, StatusCode::unavailable);
  EXPECT_EQ(client.answers[0].outcome, Outcome::not_executed);
  EXPECT_EQ(client.answers[0].text,
            "no service \"hello.Greter\"; did you mean \"hello.Greeter\" (1 instance)?");
}

TEST(Router, a_service_that_appears_later_is_reached_over_the_same_stream) {
  VirtualNetwork network;
  Peer client(network);
  client.call(kGreeter, "M", "early");
  network.run();
  EXPECT_EQ(client.answers[0].code, StatusCode::unavailable);
  Peer service(network);
  service.serve(kGreeter, "one");
  network.run();
  client.call(kGreeter, "M", "late");
  network.run();
  EXPECT_EQ(client.answers[1].payload, "late");
  EXPECT_EQ(network.router_of(0).census().bindings, 1U);
}

TEST(Router, an_unknown_method_is_unimplemented_if_every_instance_declared_its_methods) {
  VirtualNetwork network;
  Peer service(network);
  messages::RegisterRequest request;
  request.service = kGreeter;
  request.methods = {{.name = "SayHello"}};
  service.serve(request);
  Peer client(network);
  network.run();
  client.call(kGreeter, "SayHello", "x");
  client.call(kGreeter, "SayBye", "x");
  client.call("valkyrie.Node", "Nothing", "x");
  client.call("valkyrie.Registry", "Register", "x");
  network.run();
  EXPECT_EQ(client.answers[0].code, StatusCode::ok);
  for (std::size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(client.answers[i].code, StatusCode::unimplemented);
    EXPECT_EQ(client.answers[i].outcome, Outcome::not_executed);
  }
  EXPECT_EQ(client.answers[1].text, "hello.Greeter has no method \"SayBye\"");
  EXPECT_EQ(client.answers[3].text,
            "valkyrie.Registry/Register is a stream; open one of kind stream");
}

TEST(Router, a_version_picks_its_instances) {
  VirtualNetwork network;
  Peer service(network);
  messages::RegisterRequest request;
  request.service = kGreeter;
  request.version = "2";
  service.serve(request);
  Peer client(network);
  network.run();
  client.call("hello.Greeter@2", "M", "x");
  client.call("hello.Greeter@3", "M", "x");
  network.run();
  EXPECT_EQ(client.answers[0].code, StatusCode::ok);
  EXPECT_EQ(client.answers[1].text,
            "no version \"3\" of service \"hello.Greeter\"; there is \"2\" (1 instance)");
}

TEST(Router, overload_is_refused_before_the_instance_sees_it_where_nothing_may_wait) {
  auto rules = std::make_shared<registry::ServiceRules>();
  rules->add("defaults", [](registry::ServiceSettings& settings) { settings.queue_max = 0; });
  VirtualNetwork network(1, 1, {}, {.rules = std::move(rules)});
  Peer service(network);
  service.serve(kGreeter, "one", /*concurrency=*/3);
  service.hold = true;
  Peer client(network);
  network.run();
  for (int i = 0; i < 4; ++i) client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(service.served, 3U);
  EXPECT_EQ(client.answers[3].code, StatusCode::resource_exhausted);
  EXPECT_EQ(client.answers[3].outcome, Outcome::not_executed);
  EXPECT_EQ(client.answers[3].text,
            "hello.Greeter: 1 of 1 instances busy; not executed, safe to retry");
  service.reply_all();
  network.run();
  client.call(kGreeter, "M", "again");
  network.run();
  EXPECT_EQ(service.served, 4U) << "room came back with the answers";
}

TEST(Router, an_instance_that_dies_gives_unavailable_with_the_true_outcome) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  service.hold = true;
  Peer client(network);
  network.run();
  client.call(kGreeter, "M", "written");
  network.run();
  ASSERT_EQ(service.held.size(), 1U);
  network.cut(service.wire);
  network.run();
  EXPECT_EQ(client.answers[0].count, 1);
  EXPECT_EQ(client.answers[0].code, StatusCode::unavailable);
  EXPECT_EQ(client.answers[0].outcome, Outcome::maybe_executed);
  EXPECT_NE(client.answers[0].text.find("hello.Greeter: instance \"one\""), std::string::npos);
  client.call(kGreeter, "M", "after");
  network.run();
  EXPECT_EQ(client.answers[1].code, StatusCode::unavailable);
  EXPECT_EQ(client.answers[1].outcome, Outcome::not_executed);
  EXPECT_EQ(client.answers[1].text, "hello.Greeter: no instance left");
}

TEST(Router, a_request_that_was_never_written_is_not_executed) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  service.hold = true;
  service.consume = false;  // Its window fills, and what comes then waits in the node.
  Peer client(network);
  network.run();
  const std::string most(40'000, 'x');
  for (int i = 0; i < 3; ++i) client.call(kGreeter, "M", most);
  network.run();
  ASSERT_EQ(service.held.size(), 2U) << "the window is stretched for one message only";
  network.cut(service.wire);
  network.run();
  EXPECT_EQ(client.answers[0].outcome, Outcome::maybe_executed);
  EXPECT_EQ(client.answers[1].outcome, Outcome::maybe_executed);
  EXPECT_EQ(client.answers[2].count, 1);
  EXPECT_EQ(client.answers[2].code, StatusCode::unavailable);
  EXPECT_EQ(client.answers[2].outcome, Outcome::not_executed);
}

TEST(Router, the_other_instance_takes_over) {
  VirtualNetwork network;
  Peer one(network);
  Peer two(network);
  one.serve(kGreeter, "one");
  two.serve(kGreeter, "two");
  Peer client(network);
  network.run();
  network.cut(one.wire);
  for (int i = 0; i < 10; ++i) client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(two.served, 10U);
}

TEST(Router, the_same_instance_again_supersedes_the_earlier_one) {
  VirtualNetwork network;
  Peer old(network);
  Peer fresh(network);
  old.serve(kGreeter, "one");
  network.run();
  fresh.serve(kGreeter, "one");
  network.run();
  ASSERT_EQ(old.registrations_ended.size(), 1U);
  EXPECT_EQ(old.registrations_ended[0].text, "superseded");
  EXPECT_EQ(fresh.instances, std::vector<std::string>{"one"});
  Peer client(network);
  for (int i = 0; i < 5; ++i) client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(fresh.served, 5U);
  EXPECT_EQ(old.served, 0U);
}

TEST(Router, end_of_the_registration_deregisters_and_what_runs_is_answered) {
  VirtualNetwork network;
  Peer service(network);
  const std::uint32_t stream = service.serve(kGreeter, "one");
  service.hold = true;
  Peer client(network);
  network.run();
  client.call(kGreeter, "M", "running");
  network.run();
  ASSERT_TRUE(service.wire.near.send_end(stream).has_value());
  network.run();
  client.call(kGreeter, "M", "late");
  network.run();
  EXPECT_EQ(client.answers[1].text, "hello.Greeter: no instance left");
  service.reply_all();
  network.run();
  EXPECT_EQ(client.answers[0].payload, "running");
}

TEST(Router, a_drained_or_unhealthy_instance_gets_no_calls) {
  VirtualNetwork network;
  Peer service(network);
  const std::uint32_t stream = service.serve(kGreeter, "one");
  Peer client(network);
  network.run();
  service.tell_registry(
      stream,
      messages::InstanceUpdate{.health = messages::Health::unhealthy, .weight = {}, .drain = {}});
  network.run();
  client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(client.answers[0].text,
            "hello.Greeter: no instance is ready (1 registered, 0 draining)");
  service.tell_registry(
      stream,
      messages::InstanceUpdate{.health = messages::Health::healthy, .weight = {}, .drain = {}});
  network.run();
  client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(client.answers[1].code, StatusCode::ok);
}

TEST(Router, a_registration_against_the_rules_ends_with_the_reason) {
  VirtualNetwork network;
  Peer service(network);
  service.serve("valkyrie.Jobs", "one");
  service.serve("not a name", "one");
  network.run();
  ASSERT_EQ(service.registrations_ended.size(), 2U);
  EXPECT_EQ(service.registrations_ended[0].code, StatusCode::permission_denied);
  EXPECT_EQ(service.registrations_ended[1].code, StatusCode::invalid_argument);
  EXPECT_EQ(network.shard(0).registry().catalog().size(), 0U);
}

TEST(Router, cancel_reaches_the_service) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  service.hold = true;
  Peer client(network);
  network.run();
  client.call(kGreeter, "M", "x");
  network.run();
  client.cancel_last();
  network.run();
  EXPECT_EQ(service.cancels, 1U);
  EXPECT_EQ(client.answers[0].count, 0) << "the response is still owed";
  service.reply_all();
  network.run();
  EXPECT_EQ(client.answers[0].count, 1);
}

TEST(Router, a_client_that_is_gone_cancels_all_its_calls) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  service.hold = true;
  Peer client(network);
  network.run();
  for (int i = 0; i < 5; ++i) client.call(kGreeter, "M", "x");
  network.run();
  network.cut(client.wire);
  network.run();
  EXPECT_EQ(service.cancels, 5U);
  service.reply_all();
  network.run();
  EXPECT_EQ(network.router_of(0).census().calls, 0U);
  EXPECT_EQ(network.router_of(0).census().bindings, 0U);
  EXPECT_EQ(network.router_of(0).census().upstreams, 0U);
}

TEST(Router, with_wait_a_call_gets_the_first_instance_and_the_time_that_is_left) {
  VirtualNetwork network;
  Peer client(network);
  client.call(kGreeter, "M", "x", {.deadline = 10s, .options = protocol::kStreamOptionWait});
  network.advance(4s);
  EXPECT_EQ(client.answers[0].count, 0);
  EXPECT_EQ(network.router_of(0).census().waiting, 1U);
  Peer service(network);
  service.hold = true;
  service.serve(kGreeter, "one");
  network.run();
  ASSERT_EQ(service.held.size(), 1U);
  EXPECT_EQ(service.held[0].deadline, Duration(6s));
  service.reply_all();
  network.run();
  EXPECT_EQ(client.answers[0].code, StatusCode::ok);
}

TEST(Router, with_wait_the_deadline_ends_the_wait) {
  VirtualNetwork network;
  Peer client(network);
  client.call(kGreeter, "M", "x", {.deadline = 2s, .options = protocol::kStreamOptionWait});
  network.advance(Duration(2s) - Duration(1));
  EXPECT_EQ(client.answers[0].count, 0);
  network.advance(Duration(1));
  ASSERT_EQ(client.answers[0].count, 1);
  EXPECT_EQ(client.answers[0].code, StatusCode::deadline_exceeded);
  EXPECT_EQ(client.answers[0].outcome, Outcome::not_executed);
  EXPECT_EQ(network.router_of(0).census().calls, 0U);
}

TEST(Router, a_wait_can_be_cancelled) {
  VirtualNetwork network;
  Peer client(network);
  client.call(kGreeter, "M", "x", {.deadline = {}, .options = protocol::kStreamOptionWait});
  network.run();
  client.cancel_last();
  network.run();
  EXPECT_EQ(client.answers[0].code, StatusCode::cancelled);
  EXPECT_EQ(client.answers[0].outcome, Outcome::not_executed);
  EXPECT_EQ(network.router_of(0).census().waiting, 0U);
}

TEST(Router, a_deadline_that_has_passed_is_answered_at_once) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  Peer client(network);
  network.run();
  client.call(kGreeter, "M", "x", {.deadline = 0s});
  network.run();
  EXPECT_EQ(client.answers[0].code, StatusCode::deadline_exceeded);
  EXPECT_EQ(service.served, 0U);
}

TEST(Router, a_pinned_stream_stays_with_its_instance_and_ends_with_it) {
  VirtualNetwork network;
  Peer one(network);
  Peer two(network);
  one.serve(kGreeter, "one");
  two.serve(kGreeter, "two");
  Peer client(network);
  network.run();
  for (int i = 0; i < 20; ++i) {
    client.call(kGreeter, "M", "x", {.deadline = {}, .options = protocol::kStreamOptionPin});
  }
  network.run();
  Peer& chosen = one.served > 0 ? one : two;
  EXPECT_EQ(chosen.served, 20U);
  network.cut(chosen.wire);
  network.run();
  client.call(kGreeter, "M", "x", {.deadline = {}, .options = protocol::kStreamOptionPin});
  network.run();
  EXPECT_EQ(client.answers[20].count, 1);
  EXPECT_EQ(client.answers[20].text, "destination_lost");
}

TEST(Router, drain_refuses_new_calls_and_lets_the_running_ones_finish) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  service.hold = true;
  Peer client(network);
  network.run();
  client.call(kGreeter, "M", "running");
  network.run();
  network.drain(30s);
  EXPECT_TRUE(network.router_of(0).draining());
  EXPECT_EQ(client.answers[0].count, 0);
  client.call(kGreeter, "M", "new");
  network.run();
  EXPECT_EQ(client.answers[1].count, 1);
  EXPECT_EQ(client.answers[1].code, StatusCode::unavailable);
  EXPECT_EQ(client.answers[1].outcome, Outcome::not_executed);
  service.reply_all();
  network.run();
  EXPECT_EQ(client.answers[0].payload, "running");
  network.advance(31s);
  EXPECT_TRUE(client.closed);
  EXPECT_TRUE(service.closed);
  EXPECT_EQ(network.router_of(0).census().connections, 0U);
}

TEST(Router, who_dials_in_during_the_drain_is_sent_away) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  network.run();
  network.drain(30s);
  Peer late(network);
  network.run();
  EXPECT_TRUE(late.closed);
  EXPECT_EQ(late.close_code, protocol::CloseCode::draining);
}

TEST(Router, a_slow_service_does_not_hold_up_another) {
  VirtualNetwork network;
  Peer slow(network);
  Peer quick(network);
  slow.serve("slow.Service", "one");
  quick.serve("quick.Service", "one");
  Peer client(network);
  network.run();
  slow.wire.to_program.stalled = true;
  const std::string part(20'000, 'x');
  for (int i = 0; i < 50; ++i) client.call("slow.Service", "M", part);
  for (int i = 0; i < 50; ++i) client.call("quick.Service", "M", part);
  network.run();
  EXPECT_EQ(slow.served, 0U);
  EXPECT_EQ(quick.served, 50U);
  slow.wire.to_program.stalled = false;
  network.run();
  EXPECT_EQ(slow.served, 50U);
  for (const Answer& answer : client.answers) EXPECT_EQ(answer.count, 1);
}

TEST(Router, idle_streams_to_instances_end_and_nothing_is_kept) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  Peer client(network);
  network.run();
  for (int i = 0; i < 100; ++i) client.call(kGreeter, "M", "x");
  network.run();
  router::RouterCensus census = network.router_of(0).census();
  EXPECT_EQ(census.calls, 0U);
  EXPECT_EQ(census.lanes, 1U);
  network.advance(Duration(protocol::kCallStreamIdleDefault) - Duration(1s));
  EXPECT_EQ(network.router_of(0).census().lanes, 1U);
  network.advance(1s);
  census = network.router_of(0).census();
  EXPECT_EQ(census.lanes, 0U);
  EXPECT_EQ(census.upstreams, 0U);
  client.call(kGreeter, "M", "x");
  network.run();
  EXPECT_EQ(client.answers.back().code, StatusCode::ok);
}

TEST(Router, a_notify_reaches_an_instance_and_is_never_answered) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  Peer client(network);
  network.run();
  client.notify(kGreeter, "M", "x");
  client.notify("hello.Nobody", "M", "x");
  client.notify("valkyrie.Node", "Echo", "x");
  network.run();
  EXPECT_EQ(service.served, 1U);
  EXPECT_EQ(network.router_of(0).stats().notifies, 3U);
  EXPECT_EQ(network.router_of(0).stats().notifies_dropped, 2U);
  EXPECT_EQ(client.wire.far.held_bytes(), 0U);
}

TEST(Router, notifies_wait_for_a_service_that_does_not_read_and_none_is_kept_when_it_dies) {
  VirtualNetwork network;
  Peer service(network);
  service.serve(kGreeter, "one");
  service.consume = false;
  Peer client(network);
  network.run();
  for (int i = 0; i < 20; ++i) client.notify(kGreeter, "M", std::string(20'000, 'x'));
  network.run();
  EXPECT_LT(service.served, 10U);
  EXPECT_GT(network.router_of(0).census().calls, 0U);
  network.cut(service.wire);
  network.run();
  EXPECT_EQ(network.router_of(0).census().calls, 0U);
  EXPECT_EQ(client.wire.far.held_bytes(), 0U);
}

TEST(Router, wrong_streams_are_reset_with_a_code) {
  VirtualNetwork network;
  Peer client(network);
  network.run();
  ASSERT_TRUE(client.wire.near.open_stream(protocol::StreamKind::call, 0, {}, 0).has_value());
  network.run();
  EXPECT_EQ(network.router_of(0).census().bindings, 0U);
  EXPECT_FALSE(client.closed);
}

}  // namespace
}  // namespace valkyrie::simulation
