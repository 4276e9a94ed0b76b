// A node that goes away and comes back, and what finds it again.
#include <csignal>
#include <gtest/gtest.h>

#include "tests/e2e/json.h"
#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

TEST(Restart, services_and_runners_find_a_killed_node_again) {
  RunningNode node;
  Cli serve(node, {"serve", "test.Echo", "--echo"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  Runner runner(node, "builder");
  node.process.signal(SIGKILL);
  ASSERT_EQ(node.process.wait(), 128 + SIGKILL);
  server::testing::ServerProcess again(
      {"--ephemeral", "--print-doors", "--listen", node.unix_url, "--shards", "1"});
  ASSERT_NE(again.wait_doors(), "");
  EXPECT_TRUE(runner.process.out.find(" ready ").has_value());
  while (!says(cli(node, {"services", "ls"}).out, "test.Echo")) {
  }
  EXPECT_EQ(cli(node, {"-o", "raw", "call", "test.Echo/Run", "back"}).out, "back");
  EXPECT_EQ(cli(node, {"-q", "job", "run", "--", "echo", "back"}).out, "back\n");
}

TEST(Restart, a_second_runner_of_the_same_name_is_refused_and_told_why) {
  RunningNode node;
  Runner first(node, "builder");
  const ScratchDirectory scratch;
  Process second("valkyrie-runner", {"--node", node.unix_url, "--name", "builder", "--work-dir",
                                     scratch.path() + "/runner"});
  const auto refused = second.log.find("no work from the node");
  ASSERT_TRUE(refused.has_value());
  EXPECT_TRUE(says(*refused, "builder"));
  EXPECT_TRUE(says(*refused, "already_exists"));
  EXPECT_EQ(cli(node, {"-q", "job", "run", "--", "true"}).exit, 0);
}

}  // namespace
}  // namespace valkyrie::tests
