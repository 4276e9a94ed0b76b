// What callers see when instances of a service come, go, die and are full.
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>

#include "tests/e2e/json.h"
#include "tests/e2e/programs.h"
#include "valkyrie/client.h"

namespace valkyrie::tests {
namespace {

constexpr int kResourceExhausted = 64 + 8;
constexpr int kUnavailable = 64 + 14;

class Instances : public ::testing::Test {
 protected:
  json::value services() { return parse_json(cli(node, {"-o", "json", "services", "ls"}).out); }

  // Waits until so many calls are at the service's first instance.
  void wait_in_flight(int count) {
    while (true) {
      const json::value all = services();
      ASSERT_EQ(all.as_array().size(), 1u);
      const json::value& instance = all.as_array().front().at("instances").as_array().front();
      if (instance.at("in_flight").as_int64() == count) return;
    }
  }

  RunningNode node{{"--shards", "3", "--set", "services.test.Narrow.queue_max=0"}};
};

TEST_F(Instances, a_call_whose_instance_is_killed_may_have_executed) {
  Gate gate;
  Cli serve(node, {"serve", "test.Slow", "--exec", gate.wait_command()});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  Cli call(node, {"call", "test.Slow/Run", "x"});
  wait_in_flight(1);
  serve.signal(SIGKILL);
  const Ran ran = finish(call);
  EXPECT_EQ(ran.exit, kUnavailable);
  EXPECT_TRUE(says(ran.err, "unavailable"));
  EXPECT_TRUE(says(ran.err, "it may have executed"));
  gate.open();
}

TEST_F(Instances, a_killed_instance_is_gone_at_once_and_the_next_call_not_executed) {
  Cli serve(node, {"serve", "test.Mortal", "--echo"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  ASSERT_EQ(services().as_array().size(), 1u);
  serve.signal(SIGKILL);
  ASSERT_EQ(serve.wait(), 128 + SIGKILL);
  EXPECT_EQ(services().as_array().size(), 0u);
  const Ran ran = cli(node, {"call", "test.Mortal/Run", "x"});
  EXPECT_EQ(ran.exit, kUnavailable);
  EXPECT_TRUE(says(ran.err, "not executed, safe to retry"));
}

TEST_F(Instances, two_instances_share_the_calls) {
  Cli one(node, {"serve", "test.Echo", "--echo"});
  Cli two(node, {"serve", "test.Echo", "--echo"});
  ASSERT_TRUE(one.log.find("serving").has_value());
  ASSERT_TRUE(two.log.find("serving").has_value());
  const Ran bench = cli(node, {"bench", "call", "test.Echo/Run", "--depth", "16", "--time", "0.3"});
  ASSERT_EQ(bench.exit, 0) << bench.err;
  const json::value all = services();
  const json::array& instances = all.as_array().front().at("instances").as_array();
  ASSERT_EQ(instances.size(), 2u);
  const auto first = instances[0].at("calls").to_number<double>();
  const auto second = instances[1].at("calls").to_number<double>();
  EXPECT_GT(first, (first + second) / 5);
  EXPECT_GT(second, (first + second) / 5);
}

TEST_F(Instances, a_dead_instance_of_two_costs_no_later_call) {
  Cli one(node, {"serve", "test.Echo", "--echo"});
  Cli two(node, {"serve", "test.Echo", "--echo"});
  ASSERT_TRUE(one.log.find("serving").has_value());
  ASSERT_TRUE(two.log.find("serving").has_value());
  one.signal(SIGKILL);
  ASSERT_EQ(one.wait(), 128 + SIGKILL);
  for (int i = 0; i < 10; ++i) {
    const Ran ran = cli(node, {"call", "test.Echo/Run", "x"});
    EXPECT_EQ(ran.exit, 0) << ran.err;
  }
}

TEST_F(Instances, a_full_instance_refuses_and_nothing_executed) {
  Gate gate;
  Cli serve(node, {"serve", "test.Narrow", "--exec", gate.wait_command(), "--in-flight", "1"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  Cli first(node, {"call", "test.Narrow/Run", "x"});
  wait_in_flight(1);
  const Ran second = cli(node, {"call", "test.Narrow/Run", "x"});
  EXPECT_EQ(second.exit, kResourceExhausted);
  EXPECT_TRUE(says(second.err, "test.Narrow"));
  EXPECT_TRUE(says(second.err, "not executed, safe to retry"));
  gate.open();
  EXPECT_EQ(finish(first).exit, 0);
  Cli third(node, {"call", "test.Narrow/Run", "x"});
  wait_in_flight(1);
  gate.open();
  EXPECT_EQ(finish(third).exit, 0);
}

TEST_F(Instances, a_call_waits_for_a_full_instance) {
  Gate gate;
  Cli serve(node, {"serve", "test.Queue", "--exec", gate.wait_command(), "--in-flight", "1"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  Cli first(node, {"call", "test.Queue/Run", "x"});
  wait_in_flight(1);
  Cli second(node, {"call", "test.Queue/Run", "x"});
  gate.open();
  EXPECT_EQ(finish(first).exit, 0);
  gate.open();
  EXPECT_EQ(finish(second).exit, 0);
}

TEST_F(Instances, watch_tells_what_is_there_and_show_how_it_is_treated) {
  Cli serve(node, {"serve", "test.Narrow", "--echo"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  const Ran shown = cli(node, {"-o", "json", "services", "show", "test.Narrow"});
  EXPECT_EQ(parse_json(shown.out).at("policy").at("queue_max").as_int64(), 0);
  EXPECT_TRUE(says(cli(node, {"services", "show", "test.Narrow"}).out, "queue 0"));
  const Ran ran = cli(node, {"-o", "jsonl", "services", "watch", "test.", "--count", "1"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_TRUE(says(ran.out, "\"service\":\"test.Narrow\"")) << ran.out;
  EXPECT_TRUE(says(ran.out, "\"state\":\"ready\"")) << ran.out;
}

TEST_F(Instances, a_draining_instance_finishes_its_call_and_gets_no_other) {
  Gate gate;
  Cli serve(node, {"serve", "test.Slow", "--exec", gate.wait_command() + "; echo done"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  Cli running(node, {"call", "test.Slow/Run", "x"});
  wait_in_flight(1);
  serve.signal(SIGTERM);
  while (!says(cli(node, {"services", "ls"}).out, "draining")) {
  }
  const Ran refused = cli(node, {"call", "test.Slow/Run", "x"});
  EXPECT_EQ(refused.exit, kUnavailable);
  EXPECT_TRUE(says(refused.err, "test.Slow"));
  EXPECT_TRUE(says(refused.err, "not executed, safe to retry"));
  gate.open();
  const Ran ran = finish(running);
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(ran.out, "done\n");
  EXPECT_EQ(serve.wait(), 0);
}

TEST_F(Instances, a_service_of_100_000_methods_is_refused_and_one_of_1024_is_not) {
  Result<Client> client = Client::connect(node.unix_url);
  ASSERT_TRUE(client.has_value());
  const auto service = [](std::string_view name, int methods) {
    Service made(name);
    for (int i = 0; i < methods; ++i) {
      made.unary(fmt::format("Method{}", i),
                 [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
    }
    return made;
  };
  for (const int count : {1025, 100'000}) {
    const Result<Instance> refused = client->serve(service("test.Vast", count)).wait();
    ASSERT_FALSE(refused.has_value()) << count;
    EXPECT_EQ(refused.error().code(), StatusCode::invalid_argument);
    EXPECT_TRUE(says(refused.error().message(), "1024")) << refused.error().to_string();
  }
  const Result<Instance> instance = client->serve(service("test.Wide", 1024)).wait();
  ASSERT_TRUE(instance.has_value()) << instance.error().to_string();
  EXPECT_EQ(client->call("test.Wide/Method1023", "x").wait().value().text(), "x");
}

TEST_F(Instances, a_payload_at_the_limit_passes_and_one_byte_more_is_refused) {
  Cli serve(node, {"serve", "test.Echo", "--echo"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  const ScratchDirectory scratch;
  const std::string largest(4u << 20, 'x');
  std::ofstream(scratch.path() + "/fits") << largest;
  std::ofstream(scratch.path() + "/over") << largest << 'x';
  for (const std::string target : {"test.Echo/Run", "valkyrie.Node/Echo"}) {
    const Ran fits = cli(node, {"-o", "raw", "call", target, "@" + scratch.path() + "/fits"});
    EXPECT_EQ(fits.exit, 0) << target << ": " << fits.err;
    EXPECT_TRUE(fits.out == largest) << fits.out.size();
    const Ran over = cli(node, {"call", target, "@" + scratch.path() + "/over"});
    EXPECT_EQ(over.exit, kResourceExhausted) << target;
    EXPECT_TRUE(says(over.err, "4194305"));
    EXPECT_TRUE(says(over.err, "4194304"));
    EXPECT_TRUE(says(over.err, "not executed"));
  }
}

TEST_F(Instances, a_reply_over_the_limit_says_so_and_was_executed) {
  Cli serve(node, {"serve", "test.Talks", "--exec", "head -c 4194305 /dev/zero"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  const Ran ran = cli(node, {"call", "test.Talks/Run", "x"});
  EXPECT_EQ(ran.exit, kResourceExhausted);
  EXPECT_TRUE(says(ran.err, "4194304"));
}

TEST_F(Instances, a_deadline_is_the_callers_and_stops_the_program) {
  const std::string mark = unique_mark();
  Cli serve(node, {"serve", "test.Slow", "--exec", "MARK=" + mark + "-in sleep 1000"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  const Ran ran = cli(node, {"call", "test.Slow/Run", "x", "--deadline", "300ms"});
  EXPECT_EQ(ran.exit, 64 + 4);
  EXPECT_TRUE(says(ran.err, "deadline_exceeded"));
  EXPECT_TRUE(says(ran.err, "it may have executed"));
  serve.signal(SIGTERM);
  EXPECT_EQ(serve.wait(), 0);
  EXPECT_TRUE(wait_gone(mark));
}

}  // namespace
}  // namespace valkyrie::tests
