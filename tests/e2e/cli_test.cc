// The command line against a node: exit codes, texts, forms of output.
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/e2e/json.h"
#include "tests/e2e/programs.h"

namespace valkyrie::tests {
namespace {

constexpr int kUnavailable = 64 + 14;
constexpr int kAborted = 64 + 10;

class CommandLine : public ::testing::Test {
 protected:
  // The value of a command that prints one JSON text.
  json::value json_of(std::vector<std::string> arguments, int exit = 0) {
    arguments.insert(arguments.begin(), {"-o", "json"});
    const Ran ran = cli(node, arguments);
    EXPECT_EQ(ran.exit, exit) << ran.err;
    return parse_json(ran.out);
  }

  RunningNode node{{"--shards", "3"}};
};

// Without a node.

TEST(CommandLineAlone, a_misspelt_command_is_a_usage_error_with_a_suggestion) {
  const Ran ran = cli({"serivces", "ls"});
  EXPECT_EQ(ran.exit, 2);
  EXPECT_EQ(ran.out, "");
  EXPECT_TRUE(says(ran.err, "no command \"serivces\"; did you mean \"services\"?"));
  const Ran below = cli({"job", "rnu"});
  EXPECT_EQ(below.exit, 2);
  EXPECT_TRUE(says(below.err, "no command \"job rnu\"; did you mean \"run\"?"));
  const Ran behind_options = cli({"--node", "unix:@x", "-o", "json", "pnig"});
  EXPECT_TRUE(says(behind_options.err, "\"pnig\"; did you mean \"ping\"?"));
}

TEST(CommandLineAlone, a_bad_flag_is_a_usage_error_that_names_it) {
  const Ran flag = cli({"call", "a.B/C", "--no-such-flag"});
  EXPECT_EQ(flag.exit, 2);
  EXPECT_TRUE(says(flag.err, "--no-such-flag"));
  EXPECT_TRUE(says(flag.err, "--help"));
  const Ran duration = cli({"call", "a.B/C", "--deadline", "30"});
  EXPECT_EQ(duration.exit, 2);
  EXPECT_TRUE(says(duration.err, "--deadline"));
  EXPECT_TRUE(says(duration.err, "unit"));
  const Ran label = cli({"job", "run", "--label", "linux", "--", "true"});
  EXPECT_EQ(label.exit, 2);
  EXPECT_TRUE(says(label.err, "\"linux\" is not k=v"));
  EXPECT_EQ(cli({"job", "run"}).exit, 2);
  const Ran behind = cli({"job", "run", "ls", "-la"});
  EXPECT_EQ(behind.exit, 2);
  EXPECT_TRUE(says(behind.err, "-la; the job's command goes behind --"));
  const Ran empty = cli({"job", "run", "--", ""});
  EXPECT_EQ(empty.exit, 2);
  EXPECT_TRUE(says(empty.err, "command is empty"));
  EXPECT_EQ(cli({}).exit, 2);
}

TEST(CommandLineAlone, a_bad_url_is_a_usage_error_that_says_what_is_wrong) {
  for (const std::string url : {"http://localhost", "valkyrie://host:99999", "unix:"}) {
    const Ran ran = cli({"--node", url, "services", "ls"});
    EXPECT_EQ(ran.exit, 2) << url << ": " << ran.err;
    EXPECT_TRUE(says(ran.err, url));
  }
}

TEST(CommandLineAlone, without_a_node_it_names_the_addresses_and_the_next_step) {
  const ScratchDirectory scratch;
  const std::string url = "unix://" + scratch.path() + "/none.sock";
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"call", "a.B/C"},
                                             {"ping"},
                                             {"services", "ls"},
                                             {"services", "show", "a.B"},
                                             {"services", "watch"},
                                             {"bench", "call", "a.B/C"},
                                             {"job", "run", "--", "true"},
                                             {"job", "ls"},
                                             {"job", "show", "job_0"},
                                             {"job", "cancel", "job_0"},
                                             {"runner", "ls"},
                                             {"serve", "a.B", "--echo"}}) {
    std::vector<std::string> arguments{"--node", url};
    arguments.insert(arguments.end(), command.begin(), command.end());
    const Ran ran = cli(arguments);
    EXPECT_EQ(ran.exit, 3) << command.front();
    EXPECT_TRUE(says(ran.err, "no node at " + url));
    EXPECT_TRUE(says(ran.err, "start valkyrie-server or set VALKYRIE_NODE"));
  }
}

TEST(CommandLineAlone, every_help_has_examples) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{},
                                             {"call"},
                                             {"stream"},
                                             {"serve"},
                                             {"services"},
                                             {"services", "ls"},
                                             {"services", "show"},
                                             {"services", "watch"},
                                             {"ping"},
                                             {"bench"},
                                             {"bench", "call"},
                                             {"job"},
                                             {"job", "run"},
                                             {"job", "ls"},
                                             {"job", "show"},
                                             {"job", "cancel"},
                                             {"runner"},
                                             {"runner", "ls"},
                                             {"doctor"},
                                             {"version"},
                                             {"completion"}}) {
    std::vector<std::string> arguments = command;
    arguments.emplace_back("--help");
    const Ran ran = cli(arguments);
    EXPECT_EQ(ran.exit, 0);
    EXPECT_EQ(ran.err, "");
    EXPECT_TRUE(says(ran.out, "Examples:\n  valkyrie "))
        << (command.empty() ? "" : command.front() + " " + command.back());
  }
}

TEST(CommandLineAlone, completion_scripts_can_be_read_by_their_shells) {
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const Ran script = cli({"completion", shell});
    EXPECT_EQ(script.exit, 0);
    EXPECT_TRUE(says(script.out, "services"));
    const ScratchDirectory scratch;
    const std::string path = scratch.path() + "/script";
    std::ofstream(path) << script.out;
    if (std::system(fmt::format("command -v {} >/dev/null", shell).c_str()) != 0) continue;
    EXPECT_EQ(std::system(fmt::format("{} -n {}", shell, path).c_str()), 0) << script.out;
  }
  EXPECT_EQ(cli({"completion", "tcsh"}).exit, 2);
}

TEST(CommandLineAlone, bash_completes_commands_and_flags) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/script";
  std::ofstream(path) << cli({"completion", "bash"}).out;
  const auto completes = [&](const std::string& words, int count, const std::string& expected) {
    const std::string check = fmt::format(
        "bash -c '. {}; COMP_WORDS=({}); COMP_CWORD={}; _valkyrie; "
        "[ \"${{COMPREPLY[*]}}\" = \"{}\" ]'",
        path, words, count, expected);
    return std::system(check.c_str()) == 0;
  };
  EXPECT_TRUE(completes("valkyrie serv", 1, "serve services"));
  EXPECT_TRUE(completes("valkyrie job r", 2, "run"));
  EXPECT_TRUE(completes("valkyrie job run --lab", 3, "--label"));
}

TEST(CommandLineAlone, version_and_doctor_tell_programs) {
  const Ran version = cli({"-o", "json", "version"});
  EXPECT_EQ(version.exit, 0);
  EXPECT_TRUE(parse_json(version.out).as_object().contains("version"));
  const ScratchDirectory scratch;
  const Ran doctor = cli({"-o", "json", "--node", "unix://" + scratch.path() + "/x", "doctor"});
  EXPECT_EQ(doctor.exit, 1) << "there is no node";
  const json::value findings = parse_json(doctor.out);
  EXPECT_EQ(findings.as_array().front().at("check").as_string(), "node");
  EXPECT_FALSE(findings.as_array().front().at("good").as_bool());
}

// Calls.

TEST_F(CommandLine, a_body_is_text_a_file_or_standard_input) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/body";
  std::ofstream(path) << "from a file";
  const std::vector<std::string> call{"-o", "raw", "call", "valkyrie.Node/Echo"};
  const auto with = [&](const std::string& body, int in_fd = -1) {
    std::vector<std::string> arguments = call;
    arguments.push_back(body);
    return cli(node, arguments, {.in_fd = in_fd});
  };
  EXPECT_EQ(with("plain text").out, "plain text");
  EXPECT_EQ(with("@" + path).out, "from a file");
  const int input = input_of(std::string("from\0input", 10));
  EXPECT_EQ(with("-", input).out, std::string("from\0input", 10));
  ::close(input);
  const Ran missing = with("@" + path + ".missing");
  EXPECT_EQ(missing.exit, 2);
  EXPECT_TRUE(says(missing.err, path + ".missing: No such file or directory"));
  const Ran folder = with("@" + scratch.path());
  EXPECT_EQ(folder.exit, 2) << folder.err;
}

TEST_F(CommandLine, a_reply_as_json_has_its_size_and_time) {
  const json::value reply = json_of({"call", "valkyrie.Node/Echo", "hello"});
  EXPECT_EQ(reply.at("reply").as_string(), "hello");
  EXPECT_EQ(reply.at("bytes").as_int64(), 5);
  EXPECT_GT(reply.at("round_trip_us").as_double(), 0);
  const int input = input_of("\xff\xfe");
  const Ran binary = cli(node, {"-o", "json", "call", "valkyrie.Node/Echo", "-"}, {.in_fd = input});
  ::close(input);
  EXPECT_EQ(parse_json(binary.out).at("reply").at("base64").as_string(), "//4=");
}

TEST_F(CommandLine, unknown_services_and_methods_are_named) {
  const Ran service = cli(node, {"call", "no.Such/Thing", "x"});
  EXPECT_EQ(service.exit, kUnavailable);
  EXPECT_EQ(service.out, "");
  EXPECT_TRUE(says(service.err, "no.Such"));
  EXPECT_TRUE(says(service.err, "not executed, safe to retry"));
  const Ran method = cli(node, {"call", "valkyrie.Node/Sing", "x"});
  EXPECT_EQ(method.exit, 64 + 12);
  EXPECT_TRUE(says(method.err, "Sing"));
  const Ran target = cli(node, {"call", "no-slash", "x"});
  EXPECT_EQ(target.exit, 64 + 3);
  EXPECT_TRUE(says(target.err, "no-slash"));
  const Ran shown = cli(node, {"services", "show", "no.Such"});
  EXPECT_EQ(shown.exit, 1);
  EXPECT_TRUE(says(shown.err, "no service \"no.Such\""));
}

TEST_F(CommandLine, a_program_is_a_service) {
  Cli serve(node, {"serve", "text.Upper", "--exec", "tr a-z A-Z", "--label", "zone=a"});
  ASSERT_TRUE(serve.log.find("serving text.Upper/Run").has_value());
  EXPECT_EQ(cli(node, {"call", "text.Upper/Run", "ada"}).out, "ADA\n");
  EXPECT_EQ(cli(node, {"-o", "raw", "call", "text.Upper/Run", "ada"}).out, "ADA");
  const json::value shown = json_of({"services", "show", "text.Upper"});
  EXPECT_EQ(shown.at("name").as_string(), "text.Upper");
  const json::object& instance = shown.at("instances").as_array().front().as_object();
  EXPECT_EQ(instance.at("calls").as_int64(), 2);
  EXPECT_EQ(instance.at("labels").at("zone").as_string(), "a");
  EXPECT_EQ(instance.at("methods").as_array().front().at("name").as_string(), "Run");
  const Ran wrong = cli(node, {"call", "text.Upper/Walk", "ada"});
  EXPECT_EQ(wrong.exit, 64 + 12) << wrong.err;
  EXPECT_TRUE(says(wrong.err, "Walk"));
  const Ran table = cli(node, {"services", "ls"});
  EXPECT_TRUE(says(table.out, "text.Upper"));
  serve.signal(SIGINT);
  EXPECT_EQ(serve.wait(), 0);
}

TEST_F(CommandLine, a_program_that_fails_is_answered_with_its_last_words) {
  Cli serve(node, {"serve", "test.Fails", "--exec", "echo bad luck >&2; exit 9"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  const Ran failed = cli(node, {"call", "test.Fails/Run", "x"});
  EXPECT_EQ(failed.exit, kAborted);
  EXPECT_EQ(failed.out, "");
  EXPECT_TRUE(says(failed.err, "exit 9: bad luck"));
  Cli dies(node, {"serve", "test.Dies", "--exec", "kill -9 $$"});
  ASSERT_TRUE(dies.log.find("serving").has_value());
  const Ran killed = cli(node, {"call", "test.Dies/Run", "x"});
  EXPECT_EQ(killed.exit, kAborted);
  EXPECT_TRUE(says(killed.err, "signal 9"));
}

// Lists and measurements.

TEST_F(CommandLine, ping_counts_round_trips_and_ends_on_interrupt) {
  const Ran people = cli(node, {"ping", "--count", "2", "--interval", "1ms"});
  EXPECT_EQ(people.exit, 0);
  EXPECT_TRUE(says(people.out, "2 of 2"));
  const json::value summary = json_of({"ping", "--count", "3", "--interval", "1ms"});
  EXPECT_EQ(summary.at("answered").as_int64(), 3);
  EXPECT_EQ(summary.at("lost").as_int64(), 0);
  EXPECT_GT(summary.at("min_us").as_double(), 0);
  EXPECT_TRUE(summary.as_object().contains("median_us"));
  Cli endless(node, {"ping", "--count", "1000", "--interval", "1h"});
  ASSERT_TRUE(endless.out.find("1 of 1000").has_value());
  endless.signal(SIGINT);
  const Ran ran = finish(endless);
  EXPECT_EQ(ran.exit, 130);
  EXPECT_TRUE(says(ran.out, "1 answered"));
}

TEST_F(CommandLine, a_measurement_has_rate_quantiles_and_histogram) {
  const json::value result =
      json_of({"bench", "call", "valkyrie.Node/Echo", "--time", "0.2", "--depth", "4"});
  for (const char* const field : {"rate_per_s", "p50_us", "p99_us", "p999_us"}) {
    EXPECT_GT(result.at(field).to_number<double>(), 0) << field;
  }
  EXPECT_EQ(result.at("errors").as_int64(), 0);
  const auto calls = result.at("calls").to_number<std::uint64_t>();
  EXPECT_GT(calls, 0u);
  std::uint64_t counted = 0;
  for (const json::value& bucket : result.at("histogram").as_array()) {
    counted += bucket.as_array()[1].to_number<std::uint64_t>();
  }
  EXPECT_EQ(counted, calls);
  const Ran none = cli(node, {"-o", "json", "bench", "call", "no.Such/Thing", "--time", "0.1"});
  EXPECT_EQ(none.exit, kUnavailable);
  EXPECT_EQ(none.out, "") << "there is nothing to measure";
  EXPECT_TRUE(says(none.err, "no service \"no.Such\""));
}

TEST_F(CommandLine, empty_lists_are_empty_arrays) {
  EXPECT_EQ(json_of({"runner", "ls"}).as_array().size(), 0u);
  EXPECT_EQ(json_of({"job", "ls"}).as_array().size(), 0u);
  EXPECT_EQ(cli(node, {"-o", "jsonl", "runner", "ls"}).out, "");
}

TEST_F(CommandLine, runners_are_listed_with_their_labels) {
  const Runner runner(node, "builder", {"--label", "disk=fast", "--slots", "3"});
  const json::value runners = json_of({"runner", "ls"});
  ASSERT_EQ(runners.as_array().size(), 1u);
  const json::object& listed = runners.as_array().front().as_object();
  EXPECT_EQ(listed.at("name").as_string(), "builder");
  EXPECT_EQ(listed.at("slots").as_int64(), 3);
  EXPECT_EQ(listed.at("labels").at("disk").as_string(), "fast");
  EXPECT_FALSE(listed.at("draining").as_bool());
  EXPECT_TRUE(says(cli(node, {"runner", "ls"}).out, "disk=fast"));
}

TEST_F(CommandLine, a_pipe_gets_no_colour_and_no_remark) {
  const ProcessOptions plain{.environment = {{"NO_COLOR", "1"}}};
  for (const ProcessOptions& options : {ProcessOptions{}, plain}) {
    for (const std::vector<std::string>& command :
         std::vector<std::vector<std::string>>{{"services", "ls"},
                                               {"job", "ls"},
                                               {"runner", "ls"},
                                               {"doctor"},
                                               {"call", "valkyrie.Node/Echo", "x"},
                                               {"call", "no.Such/Thing", "x"}}) {
      const Ran ran = cli(node, command, options);
      EXPECT_EQ((ran.out + ran.err).find('\x1b'), std::string::npos) << ran.out << ran.err;
    }
  }
  EXPECT_EQ(cli(node, {"call", "valkyrie.Node/Echo", "x"}).err, "");
}

TEST_F(CommandLine, the_node_may_come_from_the_environment) {
  const ProcessOptions options{.environment = {{"VALKYRIE_NODE", node.tcp_url}}};
  Process process("valkyrie", {"-o", "raw", "call", "valkyrie.Node/Echo", "x"}, options);
  const Ran ran = finish(process);
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(ran.out, "x");
}

}  // namespace
}  // namespace valkyrie::tests
