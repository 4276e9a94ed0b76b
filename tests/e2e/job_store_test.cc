// What a node with a state directory promised of jobs, after it was killed.
#include <csignal>
#include <gtest/gtest.h>
#include <memory>
#include <vector>

#include "tests/e2e/json.h"
#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

// A node that keeps its jobs, killed and started again in the same place.
class JobStore : public ::testing::Test {
 protected:
  JobStore() { start(); }

  void start() {
    process = std::make_unique<ServerProcess>(std::vector<std::string>{
        "--state", directory.path() + "/state", "--print-doors", "--listen", url, "--shards", "1"});
    ASSERT_NE(process->wait_doors(), "") << "the node does not start";
  }
  void kill_node() {
    process->signal(SIGKILL);
    ASSERT_EQ(process->wait(), 128 + SIGKILL);
  }
  Ran run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--node", url});
    return cli(arguments);
  }
  // Submits a shell script, with these options in addition; the job's id.
  std::string submit(const std::string& script, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"job", "submit"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    arguments.insert(arguments.end(), {"--", "sh", "-c", script});
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.exit, 0) << ran.err;
    return ran.out.substr(0, ran.out.find('\n'));
  }
  // A runner of this node; it finds the node again by itself.
  std::unique_ptr<Process> start_runner() {
    auto runner = std::make_unique<Process>(
        "valkyrie-runner", std::vector<std::string>{"--node", url, "--name", "builder",
                                                    "--work-dir", directory.path() + "/runner"});
    EXPECT_TRUE(runner->out.find(" ready ").has_value());
    return runner;
  }

  ScratchDirectory directory;
  std::string url = "unix://" + directory.path() + "/node.sock";
  std::unique_ptr<ServerProcess> process;
};

TEST_F(JobStore, jobs_that_were_accepted_run_after_the_node_was_killed) {
  std::vector<std::string> jobs;
  for (int i = 0; i < 20; ++i) jobs.push_back(submit("echo job " + std::to_string(i)));
  kill_node();
  start();
  const auto runner = start_runner();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(run({"-q", "job", "wait", jobs[static_cast<std::size_t>(i)]}).exit, 0);
    EXPECT_EQ(run({"-q", "job", "logs", jobs[static_cast<std::size_t>(i)]}).out,
              "job " + std::to_string(i) + "\n");
  }
}

TEST_F(JobStore, a_key_names_one_job_before_and_after_the_kill) {
  const std::string first = submit("true", {"--key", "build-1"});
  EXPECT_EQ(submit("true", {"--key", "build-1"}), first);
  kill_node();
  start();
  EXPECT_EQ(submit("true", {"--key", "build-1"}), first);
  const Ran other = run({"job", "submit", "--key", "build-1", "--", "false"});
  EXPECT_NE(other.exit, 0);
  EXPECT_TRUE(says(other.err, "already_exists"));
}

TEST_F(JobStore, a_log_is_the_same_after_the_kill) {
  const auto runner = start_runner();
  const std::string job = submit("seq 1 1400000");
  EXPECT_EQ(run({"-q", "job", "wait", job}).exit, 0);
  const std::string expected = counted_lines(1'400'000);
  const Ran shown = run({"-o", "json", "job", "show", job});
  const std::string digest = json_text(shown.out, "log_sha256");
  EXPECT_EQ(digest.size(), 64u);
  kill_node();
  start();
  EXPECT_TRUE(run({"-q", "job", "logs", job}).out == expected);
  EXPECT_EQ(json_text(run({"-o", "json", "job", "show", job}).out, "log_sha256"), digest);
  EXPECT_EQ(run({"-q", "job", "logs", "--from", "10088880", job}).out, expected.substr(10'088'880));
}

TEST_F(JobStore, a_job_whose_node_was_killed_ends_when_its_runner_comes_back) {
  const auto runner = start_runner();
  const std::string mark = unique_mark();
  const std::string job = submit("echo begun; exec sleep 1000 # " + mark);
  Process follower("valkyrie", {"--node", url, "-q", "job", "logs", "-f", job});
  ASSERT_TRUE(follower.out.find("begun"));
  kill_node();
  EXPECT_NE(finish(follower).exit, 0);
  start();
  const Ran waited = run({"-q", "job", "wait", job});
  EXPECT_EQ(waited.exit, 125);
  EXPECT_TRUE(wait_gone(mark));
  const Ran shown = run({"-o", "json", "job", "show", job});
  EXPECT_TRUE(says(shown.out, "runner_lost"));
  EXPECT_TRUE(says(run({"-q", "job", "logs", job}).out, "begun"));
}

TEST_F(JobStore, cancelled_and_failed_jobs_stay_so) {
  const auto runner = start_runner();
  const std::string failed = submit("exit 7");
  EXPECT_EQ(run({"-q", "job", "wait", failed}).exit, 7);
  const std::string waiting = submit("true", {"--label", "os=none"});
  EXPECT_EQ(run({"job", "cancel", waiting}).exit, 0);
  kill_node();
  start();
  EXPECT_EQ(run({"-q", "job", "wait", failed}).exit, 7);
  EXPECT_TRUE(says(run({"job", "show", waiting}).out, "cancelled"));
}

TEST_F(JobStore, a_node_in_memory_says_that_it_keeps_nothing) {
  const RunningNode memory;
  const Ran ran = cli(memory, {"job", "submit", "--", "true"});
  EXPECT_EQ(ran.exit, 0);
  EXPECT_TRUE(says(ran.err, "memory only"));
  EXPECT_TRUE(says(cli(memory, {"-o", "json", "job", "submit", "--", "true"}).out, "received"));
}

}  // namespace
}  // namespace valkyrie::tests
