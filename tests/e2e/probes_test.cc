// The node asks services whether they are well: a stopped program, and one that says it is not.
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>

#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

class Probes : public ::testing::Test {
 protected:
  // Reads what a watch says until a line has all the words.
  static void await(Cli& watch, const std::vector<std::string>& words) {
    while (true) {
      const auto line = watch.out.next();
      ASSERT_TRUE(line.has_value()) << "the watch has ended before it said " << words.front();
      bool has_all = true;
      for (const std::string& word : words) has_all &= line->find(word) != std::string::npos;
      if (has_all) return;
    }
  }
  static std::vector<std::string> settings(int deregister) {
    std::vector<std::string> all{"--shards", "2"};
    for (const std::string& setting :
         {std::string("interval=100ms"), std::string("timeout=1s"), std::string("failures=2"),
          std::string("successes=1"), fmt::format("deregister={}", deregister)}) {
      all.insert(all.end(), {"--set", "services.defaults.probe." + setting});
    }
    return all;
  }
};

TEST_F(Probes, a_stopped_service_gets_no_calls_until_it_goes_on) {
  RunningNode node(settings(0));
  Cli watch(node, {"services", "watch", "test."});
  Cli serve(node, {"serve", "test.Echo", "--echo", "--instance", "stopped"});
  Cli other(node, {"serve", "test.Echo", "--echo", "--instance", "other"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  ASSERT_TRUE(other.log.find("serving").has_value());
  serve.signal(SIGSTOP);
  await(watch, {"stopped", "not_ready", "probes in a row failed: no answer"});
  for (int i = 0; i < 10; ++i) {
    const Ran ran = cli(node, {"call", "test.Echo/Run", "x"});
    EXPECT_EQ(ran.exit, 0) << ran.err;
  }
  const std::string shown = cli(node, {"services", "show", "test.Echo"}).out;
  EXPECT_TRUE(says(shown, "not_ready (")) << "why";
  EXPECT_TRUE(says(shown, "probe every 100.00ms"));
  serve.signal(SIGCONT);
  await(watch, {"stopped", " ready"});
  other.signal(SIGTERM);
  EXPECT_EQ(other.wait(), 0);
  EXPECT_EQ(cli(node, {"call", "test.Echo/Run", "x"}).exit, 0);
}

TEST_F(Probes, a_service_that_stays_stopped_is_deregistered_and_comes_back_by_itself) {
  RunningNode node(settings(3));
  Cli watch(node, {"services", "watch", "test."});
  Cli serve(node, {"serve", "test.Echo", "--echo", "--instance", "one"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  serve.signal(SIGSTOP);
  await(watch, {"gone", "one"});
  EXPECT_FALSE(says(cli(node, {"services", "ls"}).out, "test.Echo"));
  serve.signal(SIGCONT);
  await(watch, {"now", "one", " ready"});
  EXPECT_EQ(cli(node, {"call", "test.Echo/Run", "x"}).exit, 0);
}

TEST_F(Probes, a_health_command_decides_and_its_words_are_shown) {
  RunningNode node(settings(0));
  const ScratchDirectory scratch;
  const std::string well = scratch.path() + "/well";
  std::ofstream(well) << "yes";
  Cli watch(node, {"services", "watch", "test."});
  Cli serve(node, {"serve", "test.Echo", "--echo", "--health", "cat " + well});
  await(watch, {" ready"});
  ASSERT_EQ(std::remove(well.c_str()), 0);
  await(watch, {"not_ready", "No such file"});
  std::ofstream(well) << "yes";
  await(watch, {" ready"});
}

}  // namespace
}  // namespace valkyrie::tests
