// How valkyrie-server starts, says so, and says why it does not.
#include <array>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"

namespace valkyrie::server {
namespace {

using testing::json_text;
using testing::ProcessOptions;
using testing::RunningNode;
using testing::ScratchDirectory;
using testing::ServerProcess;
using testing::TestClient;

// A start that must fail: its exit code and what it wrote to stderr.
struct Failure {
  int code = 0;
  std::string text;
};

Failure fail_to_start(const std::vector<std::string>& arguments) {
  ServerProcess process(arguments);
  std::string text = process.log.rest();
  return {process.wait(), std::move(text)};
}

void expect_part(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
}

TEST(Start, says_in_one_line_where_its_doors_are) {
  const ScratchDirectory scratch;
  ServerProcess process({"--listen", "unix://" + scratch.path() + "/n.sock", "--listen",
                         "valkyrie://127.0.0.1:0", "--state", scratch.path() + "/state"});
  const auto line = process.out.next();
  ASSERT_TRUE(line.has_value()) << process.log.rest();
  EXPECT_TRUE(line->starts_with("node n-")) << *line;
  expect_part(*line, " ready in ");
  expect_part(*line, " unix://" + scratch.path() + "/n.sock valkyrie://127.0.0.1:");
  EXPECT_EQ(line->find(":0 "), std::string::npos) << "it is the port that the system chose";
  EXPECT_TRUE(line->ends_with("  state " + scratch.path() + "/state")) << *line;
}

TEST(Start, without_a_policy_says_once_to_whom_it_is_open) {
  const ScratchDirectory scratch;
  const std::string socket = "unix://" + scratch.path() + "/n.sock";
  ServerProcess local({"--ephemeral", "--listen", "valkyrie://127.0.0.1:0", "--listen", socket});
  const auto line = local.log.find("open to");
  ASSERT_TRUE(line.has_value());
  expect_part(*line, " info open to users of this machine (valkyrie://127.0.0.1:");
  expect_part(*line, ", this user (" + socket + "): each may do everything; --security FILE");
  local.signal(SIGTERM);
  EXPECT_EQ(local.log.rest().find("open to"), std::string::npos);
  EXPECT_EQ(local.out.rest().find("open to"), std::string::npos);
}

TEST(Start, warns_of_doors_that_are_open_beyond_this_machine) {
  ServerProcess wide({"--ephemeral", "--insecure", "--listen", "valkyrie://0.0.0.0:0"});
  const auto line = wide.log.find("open to");
  ASSERT_TRUE(line.has_value());
  expect_part(*line, " warn open to anybody (valkyrie://0.0.0.0:");
}

TEST(Start, with_a_policy_or_a_log_for_machines_says_nothing_of_that) {
  const ScratchDirectory scratch;
  std::ofstream(scratch.path() + "/policy") << "provider anybody none\n";
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--security", scratch.path() + "/policy"},
        std::vector<std::string>{"-o", "json"}}) {
    std::vector<std::string> arguments{"--ephemeral", "--listen", "valkyrie://127.0.0.1:0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ServerProcess process(arguments);
    ASSERT_TRUE(process.out.next().has_value());
    process.signal(SIGTERM);
    EXPECT_EQ(process.log.rest().find("open to"), std::string::npos);
  }
}

TEST(Start, describes_its_doors_to_scripts) {
  const RunningNode node({"--shards", "3"});
  EXPECT_TRUE(node.doors.starts_with("{") && node.doors.ends_with("}")) << node.doors;
  EXPECT_TRUE(json_text(node.doors, "node").starts_with("n-"));
  expect_part(node.doors,
              fmt::format("\"pid\":{},\"shards\":3,\"state\":null", node.process.pid()));
  expect_part(node.doors, R"("protocols":["native"])");
  EXPECT_TRUE(node.tcp_url.starts_with("valkyrie://127.0.0.1:")) << node.tcp_url;
}

TEST(Start, tells_its_supervisor) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  testing::LineReader notices{transport::Socket(ends[0])};
  const RunningNode node({"--ready-fd", "3"}, ProcessOptions{.keep_fd = ends[1]});
  ASSERT_EQ(::close(ends[1]), 0);
  EXPECT_EQ(notices.next(), "READY=1");
  EXPECT_EQ(notices.next(), std::nullopt) << "the descriptor is closed";
}

TEST(Start, keeps_its_id_unless_ephemeral) {
  const ScratchDirectory scratch;
  const auto id_with = [&](const std::vector<std::string>& state) {
    std::vector<std::string> arguments{"--listen", "valkyrie://127.0.0.1:0", "--print-doors"};
    arguments.insert(arguments.end(), state.begin(), state.end());
    ServerProcess process(arguments);
    return json_text(process.wait_doors(), "node");
  };
  const std::string first = id_with({"--state", scratch.path()});
  EXPECT_TRUE(first.starts_with("n-"));
  EXPECT_EQ(id_with({"--state", scratch.path()}), first);
  EXPECT_NE(id_with({"--ephemeral"}), first);
}

TEST(Start, check_opens_nothing) {
  const ScratchDirectory scratch;
  const std::string state = scratch.path() + "/state";
  ServerProcess process(
      {"--check", "--state", state, "--listen", "unix://" + scratch.path() + "/n.sock"});
  expect_part(process.out.rest(), "door unix://" + scratch.path() + "/n.sock");
  EXPECT_EQ(process.wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(state));
  EXPECT_EQ(fail_to_start({"--check", "--listen", "nonsense://x"}).code, 2);
}

TEST(Start, help_goes_to_stdout) {
  ServerProcess process({"--help"});
  expect_part(process.out.rest(), "Examples:");
  EXPECT_EQ(process.wait(), 0);
}

TEST(Start, wrong_usage_is_exit_2) {
  const Failure failure = fail_to_start({"--ephemral"});
  EXPECT_EQ(failure.code, 2);
  expect_part(failure.text, "error: unknown option --ephemral; did you mean --ephemeral?");
}

TEST(Start, names_a_port_that_is_in_use) {
  const RunningNode node;
  const Failure failure = fail_to_start({"--ephemeral", "--listen", node.tcp_url});
  EXPECT_EQ(failure.code, 1);
  expect_part(failure.text, "error: ");
  expect_part(failure.text, node.tcp_url.substr(node.tcp_url.rfind(':')));
  expect_part(failure.text, "in use");
}

TEST(Start, refuses_a_socket_that_lives) {
  const ScratchDirectory scratch;
  const std::string url = "unix://" + scratch.path() + "/n.sock";
  ServerProcess first({"--ephemeral", "--print-doors", "--listen", url});
  ASSERT_NE(first.wait_doors(), "");
  const Failure failure = fail_to_start({"--ephemeral", "--listen", url});
  EXPECT_EQ(failure.code, 1);
  expect_part(failure.text, url);
  const auto reactor = transport::Reactor::create();
  TestClient client(**reactor, url);
  EXPECT_TRUE(client.wait_ready()) << "the first node was not disturbed";
}

TEST(Start, reuses_a_socket_whose_node_was_killed) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/n.sock";
  ServerProcess killed({"--ephemeral", "--print-doors", "--listen", "unix://" + path});
  ASSERT_NE(killed.wait_doors(), "");
  killed.signal(SIGKILL);
  killed.wait();
  ASSERT_TRUE(std::filesystem::exists(path));
  ServerProcess next({"--ephemeral", "--print-doors", "--listen", "unix://" + path});
  EXPECT_NE(next.wait_doors(), "");
  const auto reactor = transport::Reactor::create();
  TestClient client(**reactor, "unix://" + path);
  EXPECT_TRUE(client.wait_ready());
}

TEST(Start, names_a_socket_path_that_cannot_be_written) {
  const Failure failure = fail_to_start({"--ephemeral", "--listen", "unix:///proc/no/n.sock"});
  EXPECT_EQ(failure.code, 1);
  expect_part(failure.text, "/proc/no");
}

TEST(Start, names_a_state_directory_that_cannot_be_written) {
  const ScratchDirectory scratch;
  std::ofstream(scratch.path() + "/file") << "x";
  const Failure failure =
      fail_to_start({"--state", scratch.path() + "/file", "--listen", "valkyrie://127.0.0.1:0"});
  EXPECT_EQ(failure.code, 1);
  expect_part(failure.text, scratch.path() + "/file");
  expect_part(failure.text, "--state DIR");
}

TEST(Start, refuses_a_second_node_on_the_same_state) {
  const ScratchDirectory scratch;
  ServerProcess first(
      {"--state", scratch.path(), "--print-doors", "--listen", "valkyrie://127.0.0.1:0"});
  ASSERT_NE(first.wait_doors(), "");
  const Failure failure =
      fail_to_start({"--state", scratch.path(), "--listen", "valkyrie://127.0.0.1:0"});
  EXPECT_EQ(failure.code, 1);
  expect_part(failure.text, "another node that runs uses it");
}

TEST(Start, listens_beyond_loopback_where_told_to) {
  ServerProcess process(
      {"--ephemeral", "--print-doors", "--insecure", "--listen", "valkyrie://0.0.0.0:0"});
  EXPECT_TRUE(json_text(process.wait_doors(), "url").starts_with("valkyrie://0.0.0.0:"));
}

TEST(Start, socket_files_are_for_this_user_only) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/n.sock";
  ServerProcess process({"--ephemeral", "--print-doors", "--listen", "unix://" + path});
  ASSERT_NE(process.wait_doors(), "");
  EXPECT_EQ(std::filesystem::status(path).permissions() & std::filesystem::perms::mask,
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(Log, has_the_form_and_level_that_were_asked_for) {
  RunningNode json({"-o", "json"});
  json.process.signal(SIGTERM);
  const std::string line = json.process.log.next().value_or("");
  EXPECT_TRUE(line.starts_with("{\"time\":\"20")) << line;
  expect_part(line, R"("level":"info","message":"draining)");
  RunningNode quiet({}, ProcessOptions{.environment = {{"VALKYRIE_LOG", "error"}}});
  quiet.process.signal(SIGTERM);
  EXPECT_EQ(quiet.process.log.rest(), "");
  RunningNode loud({"--log-level", "info"},
                   ProcessOptions{.environment = {{"VALKYRIE_LOG", "error"}}});
  loud.process.signal(SIGTERM);
  expect_part(loud.process.log.rest(), " info draining");
}

}  // namespace
}  // namespace valkyrie::server
