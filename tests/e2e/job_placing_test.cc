// Which runner gets a job, and what is said while none does.
#include <csignal>
#include <gtest/gtest.h>

#include "tests/e2e/json.h"
#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

class JobPlacing : public ::testing::Test {
 protected:
  RunningNode node{{"--shards", "3"}};
};

TEST_F(JobPlacing, without_a_runner_the_job_says_so_and_starts_when_one_joins) {
  Cli job(node, {"job", "run", "--", "echo", "done"});
  const auto waits = job.log.find("waits: ");
  ASSERT_TRUE(waits.has_value());
  EXPECT_TRUE(says(*waits, "no runner"));
  const Runner runner(node, "late");
  const Ran ran = finish(job);
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out, "done\n");
  EXPECT_TRUE(says(ran.err, "on late "));
}

TEST_F(JobPlacing, labels_nobody_has_are_named_while_the_job_waits) {
  const Runner plain(node, "plain");
  Cli job(node, {"job", "run", "--label", "gpu=a100", "--", "echo", "done"});
  const auto waits = job.log.find("waits: ");
  ASSERT_TRUE(waits.has_value());
  EXPECT_TRUE(says(*waits, "gpu=a100"));
  const json::value jobs = parse_json(cli(node, {"-o", "json", "job", "ls"}).out);
  ASSERT_EQ(jobs.as_array().size(), 1u);
  EXPECT_EQ(jobs.as_array().front().at("state").as_string(), "queued");
  EXPECT_TRUE(says(jobs.as_array().front().at("waiting").as_string(), "gpu=a100"));
  const Runner fitting(node, "fitting", {"--label", "gpu=a100"});
  const Ran ran = finish(job);
  EXPECT_EQ(ran.exit, 0);
  EXPECT_TRUE(says(ran.err, "on fitting "));
}

TEST_F(JobPlacing, of_two_runners_the_one_with_the_label_gets_it) {
  const Runner slow(node, "slow", {"--label", "disk=slow"});
  const Runner fast(node, "fast", {"--label", "disk=fast"});
  EXPECT_TRUE(says(fast.ready, "disk=fast"));
  for (const std::string name : {"slow", "fast", "slow", "fast"}) {
    const Ran ran = cli(node, {"job", "run", "--label", "disk=" + name, "--", "true"});
    EXPECT_EQ(ran.exit, 0);
    EXPECT_TRUE(says(ran.err, "on " + name + " "));
  }
}

TEST_F(JobPlacing, a_job_that_waits_can_be_interrupted) {
  Cli job(node, {"job", "run", "--", "true"});
  ASSERT_TRUE(job.log.find("waits: ").has_value());
  job.signal(SIGINT);
  EXPECT_EQ(finish(job).exit, 130);
  const json::value jobs = parse_json(cli(node, {"-o", "json", "job", "ls"}).out);
  EXPECT_EQ(jobs.as_array().front().at("state").as_string(), "cancelled");
}

TEST_F(JobPlacing, when_all_slots_are_taken_the_next_job_waits_for_one) {
  const Runner runner(node, "builder", {"--slots", "1"});
  Gate gate;
  Cli first(node, {"-q", "job", "run", "--", "sh", "-c", "echo ready; " + gate.wait_command()});
  ASSERT_TRUE(first.out.find("ready").has_value());
  Cli second(node, {"job", "run", "--", "true"});
  ASSERT_TRUE(second.log.find("waits: ").has_value());
  const json::value runners = parse_json(cli(node, {"-o", "json", "runner", "ls"}).out);
  EXPECT_EQ(runners.as_array().front().at("slots_busy").as_int64(), 1);
  gate.open();
  EXPECT_EQ(finish(first).exit, 0);
  EXPECT_EQ(finish(second).exit, 0);
}

}  // namespace
}  // namespace valkyrie::tests
