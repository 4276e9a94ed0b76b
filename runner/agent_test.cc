#include "runner/agent.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <unistd.h>
#include <vector>

namespace valkyrie::runner {
namespace {

namespace fs = std::filesystem;
using messages::JobState;

protocol::Instant now() {
  return protocol::Instant(std::chrono::duration_cast<protocol::Duration>(
      std::chrono::steady_clock::now().time_since_epoch()));
}

// An agent with real processes and a node that is this test.
class AgentTest : public testing::Test {
 protected:
  AgentTest() {
    std::string pattern = testing::TempDir() + "agent-XXXXXX";
    folder = mkdtemp(pattern.data());
    agent.emplace(ExecutorOptions{.program = VALKYRIE_TEST_SHIM, .work_dir = folder},
                  messages::RunnerHello{.name = "r", .instance = "i", .slots = 2});
    agent->connected();
  }
  ~AgentTest() override {
    agent.reset();
    fs::remove_all(folder);
  }

  static messages::Start start(std::uint64_t token, const std::string& script) {
    return {.token = token,
            .job = "job_" + std::to_string(token),
            .attempt = 1,
            .spec = {.argv = {"/bin/sh", "-c", script}},
            .output_limit = 64u << 10};
  }

  // Turns until `done`, keeping what the agent said.
  void run_until(const std::function<bool()>& done) {
    while (!done()) {
      std::vector<pollfd> fds;
      agent->append_watches(fds);
      int wait_ms = -1;
      if (const auto due = agent->deadline()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - now());
        wait_ms = std::max(0, static_cast<int>(left.count()));
      }
      poll(fds.data(), fds.size(), wait_ms);
      for (const pollfd& fd : fds) {
        if (fd.revents != 0) agent->on_ready(fd.fd, now());
      }
      agent->on_deadline(now());
      take();
    }
  }

  void take() {
    while (const auto message = agent->poll_message()) {
      if (const auto* chunk = std::get_if<messages::Chunk>(&*message)) {
        output[chunk->token] += chunk->data;
      } else if (const auto* end = std::get_if<messages::AttemptEnded>(&*message)) {
        results[end->token] = end->result;
      } else {
        said.push_back(*message);
      }
    }
  }

  fs::path folder;
  std::optional<Agent> agent;
  std::map<std::uint64_t, std::string> output;
  std::map<std::uint64_t, messages::JobResult> results;
  std::vector<messages::RunnerMessage> said;
};

TEST_F(AgentTest, attempts_run_side_by_side_and_are_over_once_settled) {
  take();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(std::get<messages::RunnerHello>(said[0]).slots, 2u);
  ASSERT_TRUE(agent->receive(messages::Welcome{"n"}, now()));
  EXPECT_EQ(agent->node(), "n");
  ASSERT_TRUE(agent->receive(start(1, "echo one"), now()));
  ASSERT_TRUE(agent->receive(start(2, "echo two; exit 2"), now()));
  run_until([this] { return results.size() == 2; });
  EXPECT_EQ(output[1], "one\n");
  EXPECT_EQ(results[2].exit_code, 2);
  EXPECT_EQ(agent->running(), 0u);
  EXPECT_FALSE(agent->idle());
  ASSERT_TRUE(agent->receive(messages::Settled{1}, now()));
  ASSERT_TRUE(agent->receive(messages::Settled{2}, now()));
  EXPECT_TRUE(agent->idle());
  EXPECT_FALSE(agent->receive(messages::Settled{2}, now())) << "nothing was unsettled";
}

TEST_F(AgentTest, a_node_that_starts_too_much_is_refused) {
  ASSERT_TRUE(agent->receive(start(1, "sleep 1000"), now()));
  EXPECT_FALSE(agent->receive(start(1, "true"), now())) << "a token again";
  messages::Start again = start(2, "true");
  again.job = "job_1";
  EXPECT_FALSE(agent->receive(again, now())) << "two tokens of a job";
  ASSERT_TRUE(agent->receive(start(3, "sleep 1000"), now()));
  EXPECT_FALSE(agent->receive(start(4, "true"), now())) << "more than the slots";
}

TEST_F(AgentTest, an_attempt_that_cannot_be_launched_ends_at_once) {
  agent.emplace(ExecutorOptions{.program = "/no/shim", .work_dir = folder},
                messages::RunnerHello{.name = "r", .instance = "i", .slots = 2});
  agent->connected();
  ASSERT_TRUE(agent->receive(start(1, "true"), now()));
  take();
  EXPECT_EQ(results[1].reason, messages::EndReason::prepare);
  EXPECT_EQ(results[1].evidence.method, "never_started");
}

TEST_F(AgentTest, draining_takes_nothing_new_and_cancels_at_its_timeout) {
  ASSERT_TRUE(agent->receive(start(1, "echo ready; sleep 1000"), now()));
  run_until([this] { return !output[1].empty(); });
  said.clear();
  agent->drain(now(), std::chrono::hours(1));
  agent->drain(now(), std::chrono::hours(9));
  ASSERT_TRUE(agent->receive(start(2, "exit 4"), now()));
  run_until([this] { return results.size() == 1; });
  agent->on_deadline(now() + std::chrono::hours(1));
  run_until([this] { return results.size() == 2; });
  ASSERT_TRUE(agent->receive(start(3, "true"), now()));
  take();
  ASSERT_GE(said.size(), 1u);
  EXPECT_EQ(std::get<messages::RunnerReady>(said[0]).slots, 0u);
  EXPECT_EQ(results[1].state, JobState::cancelled);
  EXPECT_EQ(results[1].text, "the runner drains");
  EXPECT_EQ(results[2].exit_code, 4) << "it may have crossed";
  EXPECT_EQ(results[3].text, "the runner drains");
}

TEST_F(AgentTest, losing_the_node_kills_what_runs_and_the_next_hello_is_clean) {
  ASSERT_TRUE(agent->receive(start(1, "echo ready; sleep 1000"), now()));
  run_until([this] { return !output[1].empty(); });
  agent->disconnected();
  EXPECT_EQ(agent->running(), 0u);
  EXPECT_TRUE(agent->idle());
  EXPECT_TRUE(fs::is_empty(folder)) << "returns when it is gone";
  EXPECT_FALSE(agent->poll_message());
  agent->connected();
  const auto first = agent->poll_message();
  ASSERT_TRUE(first && std::holds_alternative<messages::RunnerHello>(*first));
  EXPECT_FALSE(agent->poll_message());
}

TEST_F(AgentTest, attempts_take_turns_to_speak) {
  for (const std::uint64_t token : {1u, 2u}) {
    ASSERT_TRUE(agent->receive(start(token, "head -c 60000 /dev/zero; sleep 1000"), now()));
  }
  run_until([this] { return output[1].size() == 60'000 && output[2].size() == 60'000; });
  for (const std::uint64_t token : {1u, 2u}) {
    ASSERT_TRUE(agent->receive(messages::Window{token, 1u << 20}, now()));
    ASSERT_TRUE(agent->receive(messages::CancelAttempt{token, 0, "enough"}, now()));
  }
  run_until([this] { return results.size() == 2; });
}

TEST_F(AgentTest, a_node_that_drains_is_noted) {
  ASSERT_TRUE(agent->receive(messages::Drain{}, now()));
  EXPECT_TRUE(agent->node_drains());
}

}  // namespace
}  // namespace valkyrie::runner
