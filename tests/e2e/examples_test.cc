// The programs under examples/, as their readers would run them.
#include <algorithm>
#include <csignal>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

class Examples : public ::testing::Test {
 protected:
  // Its environment names the node.
  [[nodiscard]] static ProcessOptions with_node(const RunningNode& at) {
    return {.environment = {{"VALKYRIE_NODE", at.unix_url}}};
  }
  [[nodiscard]] ProcessOptions with_node() const { return with_node(node); }
  Ran run(const std::string& program, const std::vector<std::string>& arguments) {
    Process process(program, arguments, with_node());
    return finish(process);
  }

  RunningNode node{{"--shards", "2"}};
};

TEST_F(Examples, greeter_greets_each_name_in_two_ways) {
  Process service("greeter-service", {}, with_node());
  ASSERT_TRUE(service.out.find("hello.Greeter is served").has_value());
  const Ran client = run("greeter-client", {"Ada", "Bob"});
  EXPECT_EQ(client.exit, 0) << client.err;
  EXPECT_TRUE(says(client.out, "Hello, Ada\nHello, Bob\n"));
  EXPECT_TRUE(says(client.out, "ADA\n"));
  service.signal(SIGTERM);
  EXPECT_EQ(service.wait(), 0);
}

TEST_F(Examples, streams_of_each_kind_pass) {
  Process service("streams-service", {}, with_node());
  ASSERT_TRUE(service.out.find("demo.Numbers is served").has_value());
  const Ran client = run("streams-client", {});
  EXPECT_EQ(client.exit, 0) << client.err;
  EXPECT_EQ(client.out,
            "count: 1 2 3 4 5\nsum: 5050\nsquare of 2: 4\nsquare of 3: 9\nsquare of 4: 16\n"
            "square:\ncancelled after 1\n");
  service.signal(SIGTERM);
  EXPECT_EQ(service.wait(), 0);
}

TEST_F(Examples, a_publisher_reaches_a_subscriber_and_one_worker_of_a_group_for_each_order) {
  // With one shard a subscription is known to every publisher once the node has read it.
  const RunningNode alone;
  Process subscriber("pubsub-subscriber", {"sensors.*.temperature", "2"}, with_node(alone));
  Process one("pubsub-worker", {"one"}, with_node(alone));
  Process two("pubsub-worker", {"two"}, with_node(alone));
  ASSERT_TRUE(subscriber.out.find("subscribed to sensors.*.temperature").has_value());
  ASSERT_TRUE(one.out.find("one is ready").has_value());
  ASSERT_TRUE(two.out.find("two is ready").has_value());
  Process publisher("pubsub-publisher", {"10"}, with_node(alone));
  const Ran published = finish(publisher);
  EXPECT_EQ(published.exit, 0) << published.err;
  EXPECT_EQ(published.out, "3 readings sent, 10 of 10 orders received by the node\n");
  const Ran seen = finish(subscriber);
  EXPECT_EQ(seen.exit, 0) << seen.err;
  EXPECT_EQ(seen.out, "sensors.kitchen.temperature: 21.5\nsensors.cellar.temperature: 12.0\n");
  one.signal(SIGTERM);
  two.signal(SIGTERM);
  const std::string orders = finish(one).out + finish(two).out;
  for (int i = 1; i <= 10; ++i) EXPECT_TRUE(says(orders, fmt::format(": order {}\n", i)));
  EXPECT_EQ(std::ranges::count(orders, '\n'), 10 + 2) << orders;
}

TEST_F(Examples, a_drained_instance_leaves_without_a_failed_call) {
  Process one("drain-service", {"one"}, with_node());
  Process two("drain-service", {"two"}, with_node());
  ASSERT_TRUE(one.out.find("demo.Work is served as one").has_value());
  ASSERT_TRUE(two.out.find("demo.Work is served as two").has_value());
  Process client("drain-client", {"400"}, with_node());
  ASSERT_TRUE(client.out.find("first answer of one").has_value());
  one.signal(SIGTERM);
  EXPECT_EQ(one.wait(), 0);
  EXPECT_TRUE(says(one.out.rest(), "one has left"));
  const Ran ran = finish(client);
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_TRUE(says(ran.out, "two answered"));
  EXPECT_TRUE(says(ran.out, "failed 0\n"));
}

TEST_F(Examples, priority_measures_three_times) {
  const Ran ran = run("priority", {"50"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  for (const char* const row : {"idle", "beside bulk, same class", "beside bulk, urgent"}) {
    EXPECT_TRUE(says(ran.out, row));
  }
}

}  // namespace
}  // namespace valkyrie::tests
