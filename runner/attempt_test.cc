#include "runner/attempt.h"

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <string>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "runner/process_tree.h"

namespace valkyrie::runner {
namespace {

namespace fs = std::filesystem;
using messages::EndReason;
using messages::JobState;

protocol::Instant now() {
  return protocol::Instant(std::chrono::duration_cast<protocol::Duration>(
      std::chrono::steady_clock::now().time_since_epoch()));
}

// What came out of an attempt.
struct Outcome {
  std::string out;
  std::string err;
  std::string background;
  std::string order;  // One letter a message: S, c, F, E.
  messages::JobResult result;
  std::uint64_t held_ns = 0;
};

// Real processes on both fences that this machine allows: with a PID namespace and without.
class AttemptTest : public testing::TestWithParam<Fence> {
 protected:
  AttemptTest() {
    std::string pattern = testing::TempDir() + "attempt-XXXXXX";
    folder = mkdtemp(pattern.data());
    options = {.program = VALKYRIE_TEST_SHIM, .work_dir = folder / "work", .fence = GetParam()};
  }
  ~AttemptTest() override { fs::remove_all(folder); }

  messages::Start start(std::vector<std::string> argv) {
    return {.token = 7,
            .job = "job_test",
            .attempt = 1,
            .spec = {.argv = std::move(argv)},
            .output_limit = 256u << 10};
  }
  messages::Start shell(const std::string& script) { return start({"/bin/sh", "-c", script}); }

  std::unique_ptr<Attempt> launch(const messages::Start& request) {
    auto attempt = Attempt::launch(options, request, now());
    EXPECT_TRUE(attempt.has_value()) << attempt.error();
    return attempt ? std::move(*attempt) : nullptr;
  }

  // One wait for what the attempt watches.
  static void turn(Attempt& attempt) {
    std::vector<pollfd> fds;
    for (const Attempt::Watch& watch : attempt.watches()) {
      if (watch.read) fds.push_back({.fd = watch.fd, .events = POLLIN, .revents = 0});
    }
    int wait_ms = -1;
    if (const auto due = attempt.deadline()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - now());
      wait_ms = std::max(0, static_cast<int>(left.count()));
    }
    poll(fds.data(), fds.size(), wait_ms);
    for (const pollfd& fd : fds) {
      if (fd.revents != 0) attempt.on_ready(fd.fd, now());
    }
    attempt.on_deadline(now());
  }

  // Runs it to its end as a reader that takes all at once; `on_message` sees each message.
  Outcome run(Attempt& attempt,
              const std::function<void(const messages::RunnerMessage&)>& on_message = {}) {
    Outcome outcome;
    std::uint64_t offset = 0;
    std::uint64_t limit = 256u << 10;
    while (!attempt.over()) {
      turn(attempt);
      while (const auto message = attempt.poll_message()) {
        if (on_message) on_message(*message);
        if (const auto* chunk = std::get_if<messages::Chunk>(&*message)) {
          EXPECT_EQ(chunk->offset, offset) << "gapless";
          offset += chunk->data.size();
          limit += chunk->data.size() + messages::kChunkCostBytes;
          attempt.open_window(limit);
          text_of(outcome, chunk->stream) += chunk->data;
        }
        if (const auto* started = std::get_if<messages::AttemptStarted>(&*message)) {
          outcome.held_ns = started->held_ns;
        }
        outcome.order += "HRScFE"[message->index()];
        if (const auto* end = std::get_if<messages::AttemptEnded>(&*message)) {
          outcome.result = end->result;
        }
      }
    }
    EXPECT_EQ(outcome.result.output_bytes, offset);
    return outcome;
  }
  Outcome run(const messages::Start& request) { return run(*launch(request)); }

  static std::string& text_of(Outcome& outcome, messages::OutputStream stream) {
    if (stream == messages::OutputStream::out) return outcome.out;
    return stream == messages::OutputStream::err ? outcome.err : outcome.background;
  }

  bool fenced() const { return GetParam() != Fence::none; }

  // A FIFO: whoever has `9>PATH` open is seen by its reader until dead.
  fs::path make_fifo() {
    const fs::path path = folder / "fifo";
    EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
    fifo = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    fcntl(fifo, F_SETFL, 0);
    return path;
  }
  // Blocks until nobody holds the FIFO; what was written to it.
  std::string read_fifo_to_end() {
    std::string text;
    char buffer[256];
    for (ssize_t size = 0; (size = read(fifo, buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<std::size_t>(size));
    }
    close(fifo);
    return text;
  }

  fs::path folder;
  ExecutorOptions options;
  int fifo = -1;
};

std::vector<Fence> fences_of_this_machine() {
  std::vector<Fence> fences;
  for (const Fence fence : {Fence::none, Fence::namespaces, Fence::user_namespaces}) {
    if (fence_holds(fence)) fences.push_back(fence);
  }
  return fences;
}

std::string name_of(const testing::TestParamInfo<Fence>& fence) {
  constexpr const char* kNames[] = {"none", "namespaces", "user_namespaces"};
  return kNames[static_cast<int>(fence.param)];
}

INSTANTIATE_TEST_SUITE_P(Fences, AttemptTest, testing::ValuesIn(fences_of_this_machine()), name_of);

TEST_P(AttemptTest, a_held_attempt_executes_after_its_go) {
  messages::Start request = shell("echo ran");
  request.hold = true;
  const auto attempt = launch(request);
  attempt->go();
  const Outcome outcome = run(*attempt);
  EXPECT_EQ(outcome.result.state, JobState::succeeded) << outcome.result.text;
  EXPECT_EQ(outcome.out, "ran\n");
}

TEST_P(AttemptTest, a_held_attempt_that_is_cancelled_never_started) {
  messages::Start request = shell("touch " + (folder / "ran").string());
  request.hold = true;
  const auto attempt = launch(request);
  attempt->cancel({.token = request.token, .grace_ms = 0, .text = "not wanted"});
  const Outcome outcome = run(*attempt);
  EXPECT_EQ(outcome.order, "E");
  EXPECT_EQ(outcome.result.state, JobState::cancelled);
  EXPECT_EQ(outcome.result.evidence.method, "never_started");
  EXPECT_TRUE(outcome.result.evidence.complete);
  EXPECT_TRUE(outcome.result.evidence.workspace_removed);
  EXPECT_FALSE(fs::exists(folder / "ran"));
}

TEST_P(AttemptTest, a_command_runs_in_its_own_empty_folder_with_a_clean_environment) {
  messages::Start request = shell("pwd; ls -A; env | sort; echo oops >&2; exit 3");
  request.spec.environment = {{"GREETING", "hi there"}, {"LANG", "C"}, {"VALKYRIE_JOB_ID", "no"}};
  setenv("LEAK", "this", 1);
  const Outcome outcome = run(request);
  const std::string work = (options.work_dir / "job_test.1" / "work").string();
  EXPECT_EQ(outcome.out.substr(0, work.size() + 1), work + "\n");
  EXPECT_EQ(outcome.out.find("LEAK"), std::string::npos);
  for (const char* line : {"GREETING=hi there\n", "LANG=C\n", "VALKYRIE_JOB_ID=job_test\n",
                           "VALKYRIE_FENCING_TOKEN=7\n", "VALKYRIE_ATTEMPT=1\n"}) {
    EXPECT_NE(outcome.out.find(line), std::string::npos) << line;
  }
  EXPECT_EQ(outcome.err, "oops\n");
  EXPECT_EQ(outcome.result.state, JobState::failed);
  EXPECT_EQ(outcome.result.reason, EndReason::exit);
  EXPECT_EQ(outcome.result.exit_code, 3);
  EXPECT_EQ(outcome.result.text, "exited with 3");
  EXPECT_EQ(outcome.order.front(), 'S');
  EXPECT_EQ(outcome.order.back(), 'E');
  EXPECT_TRUE(outcome.result.evidence.workspace_removed);
  EXPECT_TRUE(fs::is_empty(options.work_dir));
}

TEST_P(AttemptTest, a_success_carries_usage_duration_and_evidence) {
  const Outcome outcome = run(shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"));
  EXPECT_EQ(outcome.result.state, JobState::succeeded);
  EXPECT_GT(outcome.result.duration_ns, 0u);
  EXPECT_GT(outcome.result.usage.user_ns + outcome.result.usage.system_ns, 0u);
  EXPECT_GT(outcome.result.usage.memory_peak_bytes, 0u);
  EXPECT_TRUE(outcome.result.evidence.init_reaped);
  EXPECT_EQ(outcome.result.evidence.complete, fenced());
  EXPECT_EQ(outcome.result.evidence.method, fenced() ? "namespace" : "process_group");
}

TEST_P(AttemptTest, shell_lines_run_in_order_and_stop_at_the_first_failure) {
  messages::Start request = start({});
  request.spec.commands = {"X=1", "echo $X", "false", "echo never"};
  const Outcome outcome = run(request);
  EXPECT_EQ(outcome.out, "1\n");
  EXPECT_EQ(outcome.result.exit_code, 1);
}

TEST_P(AttemptTest, a_signal_that_ends_the_leader_is_named) {
  const Outcome outcome = run(shell("kill -SEGV $$"));
  EXPECT_EQ(outcome.result.reason, EndReason::signal);
  EXPECT_EQ(outcome.result.signal, static_cast<std::uint32_t>(SIGSEGV));
  EXPECT_EQ(outcome.result.text, "killed by signal 11 (Segmentation fault)");
}

TEST_P(AttemptTest, a_program_that_does_not_exist_never_starts) {
  const Outcome outcome = run(start({"no-such-program", "x"}));
  EXPECT_EQ(outcome.result.state, JobState::failed);
  EXPECT_EQ(outcome.result.reason, EndReason::prepare);
  EXPECT_EQ(outcome.result.text, "cannot execute \"no-such-program\": No such file or directory");
  EXPECT_EQ(outcome.order, "E");
}

TEST_P(AttemptTest, an_unusable_work_folder_never_starts) {
  options.work_dir = "/proc/no/such";
  const Outcome outcome = run(shell("echo"));
  EXPECT_EQ(outcome.result.reason, EndReason::prepare);
  EXPECT_NE(outcome.result.text.find("/proc/no/such"), std::string::npos);
  EXPECT_EQ(outcome.result.evidence.method, "never_started");
}

TEST_P(AttemptTest, the_time_it_was_held_counts_from_when_the_start_came) {
  const auto came = now() - std::chrono::hours(1);
  auto attempt = Attempt::launch(options, shell("true"), came);
  ASSERT_TRUE(attempt.has_value()) << attempt.error();
  const auto an_hour =
      static_cast<std::uint64_t>(protocol::Duration(std::chrono::hours(1)).count());
  EXPECT_GE(run(**attempt).held_ns, an_hour);
}

TEST_P(AttemptTest, a_program_that_is_no_shim_is_an_error_at_launch) {
  options.program = "/no/shim";
  const auto attempt = Attempt::launch(options, shell("true"), now());
  ASSERT_FALSE(attempt.has_value());
  EXPECT_NE(attempt.error().find("/no/shim"), std::string::npos);
}

TEST_P(AttemptTest, a_large_output_arrives_whole) {
  constexpr std::uint64_t kBytes = 100u << 20;
  const auto attempt = launch(shell(fmt::format("yes 0123456789abcde | head -c {}", kBytes)));
  std::uint64_t bytes = 0;
  bool right = true;
  std::uint64_t limit = 256u << 10;
  while (!attempt->over()) {
    turn(*attempt);
    while (const auto message = attempt->poll_message()) {
      const auto* chunk = std::get_if<messages::Chunk>(&*message);
      if (chunk == nullptr) continue;
      for (const char c : chunk->data) right = right && c == "0123456789abcde\n"[bytes++ % 16];
      limit += chunk->data.size() + messages::kChunkCostBytes;
      attempt->open_window(limit);
    }
  }
  EXPECT_TRUE(right);
  EXPECT_EQ(bytes, kBytes);
}

TEST_P(AttemptTest, a_reader_that_stops_stops_the_job_and_nothing_is_lost) {
  const fs::path path = make_fifo();
  messages::Start request =
      shell(fmt::format("exec 9>{}; head -c 1000000 /dev/zero; echo past >&9", path.string()));
  request.output_limit = 64u << 10;
  const auto attempt = launch(request);
  std::uint64_t held = 0;
  // Read until the window is shut: the attempt then watches no pipe.
  while (attempt->watches()[1].read || held == 0) {
    turn(*attempt);
    while (const auto message = attempt->poll_message()) {
      if (const auto* chunk = std::get_if<messages::Chunk>(&*message)) held += chunk->data.size();
    }
  }
  EXPECT_LE(held, 64u << 10);
  pollfd past{.fd = fifo, .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&past, 1, 0), 0) << "the job waits in its write";
  std::uint64_t rest = 0;
  attempt->open_window(16u << 20);
  while (!attempt->over()) {
    turn(*attempt);
    while (const auto message = attempt->poll_message()) {
      if (const auto* chunk = std::get_if<messages::Chunk>(&*message)) rest += chunk->data.size();
    }
  }
  EXPECT_EQ(held + rest, 1'000'000u);
  EXPECT_EQ(read_fifo_to_end(), "past\n");
}

// Three daemons that left session, group and parent, each holding the FIFO; then the leader waits.
std::string daemons(const fs::path& path) {
  return fmt::format(
      "exec 9>{}; for i in 1 2 3; do setsid sh -c 'trap \"\" TERM; sleep 1000 & "
      "sleep 1000' >/dev/null 2>&1 & done; echo ready; ",
      path.string());
}

TEST_P(AttemptTest, a_cancel_leaves_nothing_of_the_whole_tree) {
  const fs::path path = make_fifo();
  const auto attempt = launch(shell("trap '' TERM; " + daemons(path) + "sleep 1000"));
  const Outcome outcome = run(*attempt, [&](const messages::RunnerMessage& message) {
    if (std::holds_alternative<messages::Chunk>(message)) {
      attempt->cancel({.token = 7, .grace_ms = 50, .text = "enough"});
    }
  });
  EXPECT_EQ(read_fifo_to_end(), "") << "returns only when all are dead";
  EXPECT_EQ(outcome.result.state, JobState::cancelled);
  EXPECT_EQ(outcome.result.text, "enough");
  const auto& signals = outcome.result.evidence.signals;
  ASSERT_EQ(signals.size(), 2u);
  EXPECT_EQ(signals[0].signal, static_cast<std::uint32_t>(SIGTERM));
  EXPECT_GE(signals[0].processes, 4u);
  EXPECT_EQ(signals[1].signal, static_cast<std::uint32_t>(SIGKILL));
  EXPECT_TRUE(outcome.result.evidence.survivors.empty());
}

TEST_P(AttemptTest, a_cancel_reaches_what_is_forked_meanwhile) {
  const auto attempt = launch(
      shell("echo ready; i=0; while [ $i -lt 300 ]; do sleep 1000 & i=$((i + 1)); done; wait"));
  const Outcome outcome = run(*attempt, [&](const messages::RunnerMessage& message) {
    if (std::holds_alternative<messages::Chunk>(message)) {
      attempt->cancel({.token = 7, .grace_ms = 60'000, .text = "enough"});
    }
  });
  EXPECT_EQ(outcome.result.signal, static_cast<std::uint32_t>(SIGTERM));
  EXPECT_EQ(outcome.result.evidence.leftovers, 0u);
  for (const messages::SignalSent& sent : outcome.result.evidence.signals) {
    EXPECT_EQ(sent.signal, static_cast<std::uint32_t>(SIGTERM)) << "none had to be killed";
  }
}

TEST_P(AttemptTest, a_cancelled_program_may_end_by_itself_within_the_grace) {
  const auto attempt =
      launch(shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"));
  const Outcome outcome = run(*attempt, [&](const messages::RunnerMessage& message) {
    const auto* chunk = std::get_if<messages::Chunk>(&message);
    if (chunk != nullptr && chunk->offset == 0) {
      attempt->cancel({.token = 7, .grace_ms = 60'000, .text = "enough"});
    }
  });
  EXPECT_EQ(outcome.out, "ready\nbye\n");
  EXPECT_EQ(outcome.result.state, JobState::succeeded) << "success while cancelling wins";
  EXPECT_EQ(outcome.result.evidence.signals.size(), 1u);
}

TEST_P(AttemptTest, a_timeout_stops_the_job) {
  messages::Start request = shell("sleep 1000");
  request.spec.timeout_run_ms = 50;
  const Outcome outcome = run(request);
  EXPECT_EQ(outcome.result.state, JobState::failed);
  EXPECT_EQ(outcome.result.reason, EndReason::timeout_run);
  EXPECT_EQ(outcome.result.text, "ran longer than 50 ms");
}

TEST_P(AttemptTest, what_the_leader_leaves_behind_is_killed_and_counted) {
  const fs::path path = make_fifo();
  const Outcome outcome = run(shell(
      fmt::format("exec 9>{}; (trap '' TERM; sleep 1000; echo never) & echo text", path.string())));
  EXPECT_EQ(read_fifo_to_end(), "");
  EXPECT_EQ(outcome.result.state, JobState::succeeded) << "the leader's end stands";
  EXPECT_GE(outcome.result.evidence.leftovers, 1u);
  EXPECT_EQ(outcome.out, "text\n");
}

TEST_P(AttemptTest, a_background_process_that_ends_soon_loses_no_text) {
  const Outcome outcome = run(shell("(sleep 0.05; echo late) & echo early"));
  EXPECT_EQ(outcome.out, "early\nlate\n");
}

TEST_P(AttemptTest, destroying_an_attempt_kills_it) {
  const fs::path path = make_fifo();
  auto attempt = launch(shell(daemons(path) + "sleep 1000"));
  bool ready = false;
  while (!ready) {
    turn(*attempt);
    while (const auto message = attempt->poll_message()) {
      ready = ready || std::holds_alternative<messages::Chunk>(*message);
    }
  }
  attempt.reset();
  EXPECT_EQ(read_fifo_to_end(), "");
  EXPECT_TRUE(fs::is_empty(options.work_dir));
}

TEST_P(AttemptTest, kill_9_of_the_agent_leaves_no_process) {
  const fs::path path = make_fifo();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  prctl(PR_SET_CHILD_SUBREAPER, 1);  // The orphaned shim comes to us.
  const pid_t agent = fork();
  if (agent == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ready[0]);
    auto attempt = launch(shell(daemons(path) + "sleep 1000"));
    for (;;) {
      turn(*attempt);
      while (const auto message = attempt->poll_message()) {
        if (std::holds_alternative<messages::Chunk>(*message)) (void)!write(ready[1], "x", 1);
      }
    }
  }
  close(ready[1]);
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  kill(agent, SIGKILL);
  EXPECT_EQ(read_fifo_to_end(), "");
  while (waitpid(-1, nullptr, 0) > 0) {
  }
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  EXPECT_TRUE(fs::is_empty(options.work_dir));
}

TEST_P(AttemptTest, kill_9_of_the_shim_kills_what_is_fenced) {
  if (!fenced()) GTEST_SKIP() << "without a fence nothing can promise it";
  const fs::path path = make_fifo();
  const auto attempt = launch(shell(daemons(path) + "sleep 1000"));
  const Outcome outcome = run(*attempt, [](const messages::RunnerMessage& message) {
    if (!std::holds_alternative<messages::Chunk>(message)) return;
    for (const pid_t pid : descendants(getpid())) {
      if (describe_survivor(pid).command == "valkyrie-shim") kill(pid, SIGKILL);
    }
  });
  EXPECT_EQ(read_fifo_to_end(), "");
  EXPECT_EQ(outcome.result.reason, EndReason::runner_lost);
  EXPECT_EQ(outcome.result.text, "the attempt's shim died");
  EXPECT_EQ(outcome.result.evidence.method, "presumed");
}

}  // namespace
}  // namespace valkyrie::runner
