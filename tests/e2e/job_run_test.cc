// What a job run from the command line gives back: output, exit code, and nothing left behind.
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sstream>

#include "tests/e2e/json.h"
#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

class JobRun : public ::testing::Test {
 protected:
  // Runs a shell script as a job, without remarks.
  Ran shell(const std::string& script) {
    return cli(node, {"-q", "job", "run", "--", "sh", "-c", script});
  }

  RunningNode node{{"--shards", "3"}};
  Runner runner{node, "builder", {}, {.environment = {{"SECRET_OF_THE_RUNNER", "secret-1"}}}};
};

// Lines of seq(1) in 10 MB.
constexpr int kLast = 1'400'000;

TEST_F(JobRun, ten_megabytes_on_both_outputs_arrive_whole_and_in_order) {
  const Ran ran = shell("seq 1 1400000 & seq 1 1400000 >&2; wait");
  EXPECT_EQ(ran.exit, 0);
  const std::string expected = counted_lines(kLast);
  EXPECT_GT(expected.size(), 10'000'000u);
  EXPECT_TRUE(ran.out == expected) << ran.out.size() << " of " << expected.size();
  EXPECT_TRUE(ran.err == expected) << ran.err.size() << " of " << expected.size();
}

TEST_F(JobRun, bytes_that_are_no_text_pass_unchanged) {
  const Ran ran = shell("printf '\\000\\377\\n\\001no newline'");
  EXPECT_EQ(ran.out, std::string("\0\377\n\1no newline", 14));
}

TEST_F(JobRun, the_exit_code_is_the_commands) {
  EXPECT_EQ(shell("exit 0").exit, 0);
  EXPECT_EQ(shell("exit 7").exit, 7);
  EXPECT_EQ(shell("exit 255").exit, 255);
}

TEST_F(JobRun, a_failing_command_is_reported_with_its_exit_code) {
  const Ran ran = cli(node, {"job", "run", "--", "sh", "-c", "echo why >&2; exit 3"});
  EXPECT_EQ(ran.exit, 3);
  EXPECT_EQ(ran.out, "");
  EXPECT_TRUE(says(ran.err, "why\n"));
  EXPECT_TRUE(says(ran.err, "failed (exit), exit 3"));
}

TEST_F(JobRun, a_command_killed_by_a_signal_exits_125_and_names_it) {
  const Ran ran = cli(node, {"job", "run", "--", "sh", "-c", "kill -9 $$"});
  EXPECT_EQ(ran.exit, 125);
  EXPECT_TRUE(says(ran.err, "failed (signal): killed by signal 9 (Killed)"));
}

TEST_F(JobRun, a_command_that_does_not_exist_is_named_with_the_cause) {
  const Ran ran = cli(node, {"job", "run", "--", "no-such-program", "argument"});
  EXPECT_EQ(ran.exit, 125);
  EXPECT_TRUE(says(ran.err, "cannot execute \"no-such-program\": No such file or directory"));
}

TEST_F(JobRun, standard_input_is_at_its_end) {
  const Ran ran = shell("cat; echo over");
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out, "over\n");
}

TEST_F(JobRun, the_environment_has_what_was_asked_for_and_nothing_of_callers_or_runners) {
  const Ran ran = cli(node, {"-q", "job", "run", "--env", "GREETING=a b=c", "--", "env"},
                      {.environment = {{"SECRET_OF_THE_CALLER", "secret-2"}}});
  ASSERT_EQ(ran.exit, 0) << ran.err;
  EXPECT_TRUE(says(ran.out, "GREETING=a b=c\n"));
  const std::set<std::string> expected{"PATH",
                                       "HOME",
                                       "TMPDIR",
                                       "SHELL",
                                       "LANG",
                                       "VALKYRIE_JOB_ID",
                                       "VALKYRIE_ATTEMPT",
                                       "VALKYRIE_FENCING_TOKEN",
                                       "GREETING",
                                       "VALKYRIE_WORKSPACE"};
  std::set<std::string> names;
  std::istringstream lines(ran.out);
  for (std::string line; std::getline(lines, line);) names.insert(line.substr(0, line.find('=')));
  EXPECT_EQ(names, expected);
}

TEST_F(JobRun, the_workspace_is_empty_at_first_and_removed_at_the_end) {
  const Ran ran = shell(
      "pwd; ls -A; mkdir -p deep/er; echo kept > deep/er/file; chmod 000 deep/er; "
      "echo x > \"$TMPDIR/file\"");
  ASSERT_EQ(ran.exit, 0) << ran.err;
  const std::string folder = ran.out.substr(0, ran.out.find('\n'));
  EXPECT_EQ(ran.out, folder + "\n") << "empty at first";
  EXPECT_TRUE(folder.starts_with(runner.work_dir())) << folder;
  EXPECT_FALSE(std::filesystem::exists(folder)) << folder;
}

TEST_F(JobRun, as_json_lines_every_event_is_an_object) {
  const Ran ran = cli(node, {"-o", "jsonl", "job", "run", "--", "sh", "-c", "echo hi; exit 4"});
  EXPECT_EQ(ran.exit, 4);
  EXPECT_EQ(ran.err, "");
  const auto events = parse_json_lines(ran.out);
  std::vector<std::string> names;
  for (const json::value& event : events) {
    names.emplace_back(event.at("event").as_string().c_str());
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"accepted", "assigned", "running", "output", "ended"}));
  EXPECT_EQ(events[3].at("data").as_string(), "hi\n");
  EXPECT_EQ(events[3].at("stream").as_string(), "out");
  const json::object& ended = events[4].as_object();
  EXPECT_EQ(ended.at("state").as_string(), "failed");
  EXPECT_EQ(ended.at("reason").as_string(), "exit");
  EXPECT_EQ(ended.at("exit_code").as_int64(), 4);
  EXPECT_EQ(ended.at("output_bytes").as_int64(), 3);
  EXPECT_GT(ended.at("duration_ms").as_double(), 0);
  EXPECT_TRUE(ended.at("evidence").as_object().contains("complete"));
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

// What the node may grow by while it carries 70 MB. A sanitizer's allocator keeps what was freed.
constexpr std::size_t kGrowthMax = kSanitized ? 512u << 20 : 32u << 20;

TEST_F(JobRun, a_reader_that_stops_slows_nobody_and_loses_nothing) {
  const std::size_t before = resident_bytes(node.process.pid());
  Cli reader(node, {"-q", "job", "run", "--", "seq", "1", "8888888"});
  std::string job;
  while (job.empty()) job = json_text(cli(node, {"-o", "jsonl", "job", "ls"}).out, "job");
  EXPECT_EQ(cli(node, {"-q", "job", "wait", job}).exit, 0) << "while its reader reads nothing";
  EXPECT_LT(resident_bytes(node.process.pid()), before + kGrowthMax);
  const Ran ran = finish(reader);
  EXPECT_EQ(ran.exit, 0) << ran.err;
  const std::string expected = counted_lines(8'888'888);
  EXPECT_GT(expected.size(), 64u << 20);
  EXPECT_TRUE(ran.out == expected) << ran.out.size() << " of " << expected.size();
  EXPECT_LT(resident_bytes(node.process.pid()), before + kGrowthMax);
}

TEST_F(JobRun, lists_and_shows_what_ran) {
  ASSERT_EQ(shell("exit 3").exit, 3);
  const Ran table = cli(node, {"job", "ls"});
  EXPECT_EQ(table.exit, 0);
  EXPECT_TRUE(says(table.out, "JOB"));
  EXPECT_TRUE(says(table.out, "failed"));
  EXPECT_TRUE(says(table.out, "builder"));
  const Ran list = cli(node, {"-o", "json", "job", "ls"});
  const json::array jobs = parse_json(list.out).as_array();
  ASSERT_EQ(jobs.size(), 1u);
  const std::string id(jobs[0].at("job").as_string());
  EXPECT_EQ(jobs[0].at("result").at("exit_code").as_int64(), 3);
  const Ran shown = cli(node, {"-o", "json", "job", "show", id});
  EXPECT_EQ(shown.exit, 0);
  EXPECT_EQ(parse_json(shown.out).at("state").as_string(), "failed");
  const Ran prefix = cli(node, {"job", "show", id.substr(0, 20)});
  EXPECT_EQ(prefix.exit, 0) << prefix.err;
  EXPECT_TRUE(says(prefix.out, id));
  const Ran live = cli(node, {"-o", "json", "job", "ls", "--live"});
  EXPECT_EQ(parse_json(live.out).as_array().size(), 0u);
}

TEST_F(JobRun, a_job_nobody_knows_is_not_found) {
  for (const char* const verb : {"show", "cancel"}) {
    const Ran ran = cli(node, {"job", verb, "job_01234567890123456789012345"});
    EXPECT_EQ(ran.exit, 64 + 5) << ran.err;
    EXPECT_TRUE(says(ran.err, "not_found"));
  }
}

}  // namespace
}  // namespace valkyrie::tests
