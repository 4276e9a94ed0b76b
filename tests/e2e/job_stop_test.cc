// Every way a job is stopped, by will or by death: it ends with a reason and leaves no process.
#include <csignal>
#include <gtest/gtest.h>
#include <optional>

#include "tests/e2e/json.h"
#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

class JobStop : public ::testing::Test {
 protected:
  // Starts a job whose processes have left its session, and waits until they are there.
  Cli& start_tree(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"job", "run", "--env", "MARK=" + mark};
    arguments.insert(arguments.end(), more.begin(), more.end());
    arguments.insert(arguments.end(), {"--", "sh", "-c", std::string(kTreeScript)});
    run.emplace(node, arguments);
    EXPECT_TRUE(run->out.find("ready").has_value());
    // The command line, the job's shell, and those that leave it, of which some are still on their
    // way: their names change while they do.
    while (processes_with(mark).size() < 5) {
    }
    return *run;
  }

  // The one job's state, once it is over.
  std::string end_state() {
    while (true) {
      const Ran listed = cli(node, {"-o", "json", "job", "ls"});
      const json::value jobs = parse_json(listed.out);
      if (listed.exit != 0 || jobs.as_array().size() != 1) return listed.out + listed.err;
      const json::object& job = jobs.as_array().front().as_object();
      if (job.contains("result")) return std::string(job.at("state").as_string());
    }
  }

  std::string mark = unique_mark();
  RunningNode node{{"--shards", "3"}};
  Runner runner{node, "builder"};
  std::optional<Cli> run;
};

TEST_F(JobStop, a_timeout_ends_the_whole_tree) {
  const Ran ran = finish(start_tree({"--timeout", "2s"}));
  EXPECT_EQ(ran.exit, 125);
  EXPECT_TRUE(says(ran.err, "timeout_run"));
  EXPECT_TRUE(says(ran.err, "ran longer than 2"));
  EXPECT_TRUE(processes_with(mark).empty()) << "dead before it was reported";
}

TEST_F(JobStop, an_interrupt_cancels_the_whole_tree) {
  Cli& job = start_tree();
  job.signal(SIGINT);
  const Ran ran = finish(job);
  EXPECT_EQ(ran.exit, 130) << ran.err;
  EXPECT_TRUE(says(ran.err, "cancelling"));
  EXPECT_TRUE(processes_with(mark).empty()) << "dead before it was reported";
  EXPECT_TRUE(end_state().starts_with("cancel"));
}

TEST_F(JobStop, a_cancel_from_elsewhere_ends_the_whole_tree) {
  Cli& job = start_tree();
  const json::value jobs = parse_json(cli(node, {"-o", "json", "job", "ls", "--live"}).out);
  ASSERT_EQ(jobs.as_array().size(), 1u);
  const std::string id(jobs.as_array().front().at("job").as_string());
  const Ran cancelled = cli(node, {"job", "cancel", id, "--grace", "0s"});
  EXPECT_EQ(cancelled.exit, 0) << cancelled.err;
  EXPECT_TRUE(says(cancelled.out, id));
  const Ran ran = finish(job);
  EXPECT_EQ(ran.exit, 125);
  EXPECT_TRUE(says(ran.err, "cancel"));
  EXPECT_TRUE(processes_with(mark).empty()) << "dead before it was reported";
}

TEST_F(JobStop, a_job_that_ignores_the_interrupt_is_killed_after_its_grace) {
  Cli job(node, {"job", "run", "--env", "MARK=" + mark, "--", "sh", "-c",
                 "trap '' TERM; echo ready; while :; do sleep 1000; done"});
  ASSERT_TRUE(job.out.find("ready").has_value());
  const json::value jobs = parse_json(cli(node, {"-o", "json", "job", "ls", "--live"}).out);
  const std::string id(jobs.as_array().front().at("job").as_string());
  ASSERT_EQ(cli(node, {"job", "cancel", id, "--grace", "100ms"}).exit, 0);
  EXPECT_EQ(finish(job).exit, 125);
  EXPECT_TRUE(processes_with(mark).empty());
}

TEST_F(JobStop, a_killed_runner_ends_the_job_as_lost_and_leaves_no_process) {
  Cli& job = start_tree();
  runner.process.signal(SIGKILL);
  const Ran ran = finish(job);
  EXPECT_EQ(ran.exit, 125);
  EXPECT_TRUE(says(ran.err, "runner_lost"));
  EXPECT_EQ(runner.process.wait(), 128 + SIGKILL);
  EXPECT_TRUE(wait_gone(mark));
  EXPECT_TRUE(wait_gone(runner.work_dir())) << "the shims, too";
  EXPECT_EQ(end_state(), "failed");
}

TEST_F(JobStop, a_killed_command_line_cancels_its_job) {
  Cli& job = start_tree();
  job.signal(SIGKILL);
  EXPECT_EQ(job.wait(), 128 + SIGKILL);
  EXPECT_TRUE(wait_gone(mark));
  EXPECT_TRUE(end_state().starts_with("cancel"));
}

TEST_F(JobStop, a_reader_that_goes_away_cancels_the_job) {
  Cli job(node, {"-q", "job", "run", "--env", "MARK=" + mark, "--", "yes"});
  ASSERT_TRUE(job.out.find("y").has_value());
  job.out = LineReader();  // As `| head` does.
  EXPECT_EQ(job.wait(), 128 + SIGPIPE);
  EXPECT_TRUE(wait_gone(mark));
  EXPECT_TRUE(end_state().starts_with("cancel"));
}

TEST_F(JobStop, what_a_finished_command_left_behind_is_killed) {
  const Ran ran = cli(node, {"-q", "job", "run", "--env", "MARK=" + mark, "--", "sh", "-c",
                             "(setsid -f sleep 1000 &); echo over"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(ran.out, "over\n");
  EXPECT_TRUE(processes_with(mark).empty()) << "dead before it was reported";
}

TEST_F(JobStop, a_stopping_node_ends_its_jobs_within_the_grace) {
  RunningNode short_lived({"--drain-grace", "1s"});
  Runner its_runner(short_lived, "builder");
  Cli job(short_lived,
          {"job", "run", "--env", "MARK=" + mark, "--", "sh", "-c", std::string(kTreeScript)});
  ASSERT_TRUE(job.out.find("ready").has_value());
  short_lived.process.signal(SIGTERM);
  EXPECT_EQ(short_lived.process.wait(), 0);
  const Ran ran = finish(job);
  EXPECT_EQ(ran.exit, 125);
  EXPECT_TRUE(says(ran.err, "drain")) << "a clear end";
  EXPECT_TRUE(wait_gone(mark));
}

TEST_F(JobStop, a_killed_node_ends_its_jobs_and_the_runner_kills_them) {
  Cli& job = start_tree();
  node.process.signal(SIGKILL);
  EXPECT_EQ(node.process.wait(), 128 + SIGKILL);
  const Ran ran = finish(job);
  EXPECT_EQ(ran.exit, 125);
  EXPECT_TRUE(says(ran.err, "unavailable"));
  EXPECT_TRUE(wait_gone(mark));
}

TEST_F(JobStop, a_draining_runner_finishes_its_job_and_takes_no_other) {
  Gate gate;
  Cli job(node, {"-q", "job", "run", "--", "sh", "-c", "echo ready; " + gate.wait_command()});
  ASSERT_TRUE(job.out.find("ready").has_value());
  runner.process.signal(SIGTERM);
  ASSERT_TRUE(runner.process.log.find("draining").has_value());
  while (!says(cli(node, {"runner", "ls"}).out, "draining")) {
  }
  Cli waiting(node, {"job", "run", "--", "echo", "elsewhere"});
  ASSERT_TRUE(waiting.log.find("waits: ").has_value());
  const Runner other(node, "other");
  const Ran moved = finish(waiting);
  EXPECT_EQ(moved.exit, 0);
  EXPECT_EQ(moved.out, "elsewhere\n");
  EXPECT_TRUE(says(moved.err, "on other "));
  gate.open();
  EXPECT_EQ(finish(job).exit, 0);
  EXPECT_EQ(runner.process.wait(), 0);
}

}  // namespace
}  // namespace valkyrie::tests
