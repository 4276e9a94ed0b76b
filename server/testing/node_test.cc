#include "valkyrie/testing/node.h"

#include <chrono>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace valkyrie::testing {
namespace {

using namespace std::chrono_literals;

Service greeter() {
  Service service("hello.Greeter");
  service
      .unary("SayHello", [](IncomingCall&, BytesView name,
                            Reply reply) { reply.send("Hello, " + std::string(name.text())); })
      .bidi(
          "Chat",
          [](IncomingCall, Reader<std::string> in, Writer<std::string> out) -> Task<Result<void>> {
            while (true) {
              const Result<std::optional<std::string>> line = co_await in.read();
              if (!line) co_return std::unexpected(line.error());
              if (!*line) co_return {};
              const Result<void> written = co_await out.write(**line);
              if (!written) co_return written;
            }
          });
  return service;
}

// Calls until the service is there again after its connection was lost.
Result<Bytes> call_until_served(Client& caller) {
  while (true) {
    Result<Bytes> reply = caller.call("hello.Greeter/SayHello", "Ada").wait();
    if (reply || !reply.error().retry_is_safe()) return reply;
  }
}

TEST(TestingNode, carries_calls_and_streams_of_clients) {
  const Node node({.shards = 2});
  Client server = node.connect().value();
  const Instance instance = server.serve(greeter()).wait().value();
  Client caller = node.connect().value();
  EXPECT_EQ(caller.call("hello.Greeter/SayHello", "Ada").wait().value().text(), "Hello, Ada");
  auto chat = caller.stream<std::string, std::string>("hello.Greeter/Chat");
  ASSERT_TRUE(chat.write("hi").wait().has_value());
  EXPECT_EQ(chat.read().wait().value(), "hi");
  chat.finish();
  EXPECT_EQ(chat.read().wait().value(), std::nullopt);
}

TEST(TestingNode, nodes_of_one_process_know_nothing_of_each_other) {
  const Node one;
  const Node two;
  EXPECT_NE(one.url(), two.url());
  Client server = one.connect().value();
  const Instance instance = server.serve(greeter()).wait().value();
  Client elsewhere = two.connect().value();
  EXPECT_EQ(elsewhere.call("hello.Greeter/SayHello", "Ada").wait().error().code(),
            StatusCode::unavailable);
}

TEST(TestingNode, cut_ends_streams_and_clients_come_back) {
  Node node;
  Client server = node.connect().value();
  const Instance instance = server.serve(greeter()).wait().value();
  Client caller = node.connect().value();
  auto chat = caller.stream<std::string, std::string>("hello.Greeter/Chat");
  ASSERT_TRUE(chat.write("hi").wait().has_value());
  ASSERT_EQ(chat.read().wait().value(), "hi");
  node.cut();
  EXPECT_EQ(chat.read().wait().error().code(), StatusCode::unavailable);
  const Result<Bytes> reply = call_until_served(caller);
  ASSERT_TRUE(reply.has_value()) << reply.error().to_string();
  EXPECT_EQ(reply->text(), "Hello, Ada");
}

TEST(TestingNode, a_stalled_node_answers_nothing_until_it_goes_on) {
  Node node({.shards = 2});
  Client caller = node.connect().value();
  node.stall();
  node.stall();
  EXPECT_EQ(caller.call("valkyrie.Node/Echo", "x", {.deadline = 20ms}).wait().error().code(),
            StatusCode::deadline_exceeded);
  auto waits = caller.call("valkyrie.Node/Echo", "y");
  node.resume();
  EXPECT_EQ(std::move(waits).wait().value().text(), "y");
  node.stall();  // And destroyed so.
}

TEST(TestingNode, drain_refuses_the_new_and_lets_the_old_end) {
  Node node;
  Client server = node.connect().value();
  const Instance instance = server.serve(greeter()).wait().value();
  Client caller = node.connect().value();
  auto chat = caller.stream<std::string, std::string>("hello.Greeter/Chat");
  ASSERT_TRUE(chat.write("before").wait().has_value());
  ASSERT_EQ(chat.read().wait().value(), "before");
  node.drain();
  ASSERT_TRUE(chat.write("after").wait().has_value());
  EXPECT_EQ(chat.read().wait().value(), "after");
  chat.finish();
  EXPECT_EQ(chat.read().wait().value(), std::nullopt);
  EXPECT_FALSE(node.connect({.connect_timeout = 100ms}).has_value());
}

TEST(TestingNode, time_that_a_test_lets_pass_ends_what_has_a_deadline) {
  Node node({.shards = 2});
  Client server = node.connect().value();
  Service silent("silent.Service");
  std::vector<Reply> replies;
  silent.unary("Never", [&replies](IncomingCall&, BytesView, Reply reply) {
    replies.push_back(std::move(reply));
  });
  const Instance instance = server.serve(std::move(silent)).wait().value();
  Client caller = node.connect().value();
  auto hour = caller.call("silent.Service/Never", "x", {.deadline = 1h});
  auto hours = caller.call("silent.Service/Never", "x", {.deadline = 3h});
  node.advance(2h);
  EXPECT_EQ(std::move(hour).wait().error().code(), StatusCode::deadline_exceeded);
  ASSERT_TRUE(caller.flush().wait().has_value()) << "the session lives";
  node.advance(1h);
  EXPECT_EQ(std::move(hours).wait().error().code(), StatusCode::deadline_exceeded);
  server.close(0s);
}

TEST(TestingNode, a_stalled_node_is_given_up_when_its_keepalive_is_due) {
  Node node;
  Client caller = node.connect().value();
  node.stall();
  auto call = caller.call("valkyrie.Node/Echo", "x", {.deadline = 1h});
  node.advance(5min);
  EXPECT_EQ(std::move(call).wait().error().code(), StatusCode::unavailable);
  node.resume();
}

TEST(TestingNode, settings_are_those_of_the_server_and_follow_its_clock) {
  Node node({.settings = {{"services.defaults.probe.interval", "10s"},
                          {"services.defaults.probe.failures", "1"},
                          {"services.defaults.probe.deregister", "0"}}});
  Client server = node.connect().value();
  Service sick = greeter();
  sick.health([](IncomingCall&, BytesView) -> Result<Bytes> {
    return fail(StatusCode::unavailable, "not well");
  });
  const Instance instance = server.serve(std::move(sick)).wait().value();
  Client caller = node.connect().value();
  ASSERT_TRUE(caller.call("hello.Greeter/SayHello", "Ada").wait().has_value());
  while (caller.call("hello.Greeter/SayHello", "Ada").wait().has_value()) node.advance(10s);
}

TEST(TestingNode, what_it_logs_is_the_tests) {
  std::string lines;
  {
    Node node({.log = [&lines](std::string_view line) { lines += line; }});
    const Client client = node.connect().value();
    node.cut();
  }
  EXPECT_NE(lines.find("aborted"), std::string::npos) << lines;
}

}  // namespace
}  // namespace valkyrie::testing
