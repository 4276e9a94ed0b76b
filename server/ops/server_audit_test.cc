// What a node writes down, and that it goes on with it after a crash.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <sys/resource.h>

#include "protocol/hex_text.h"
#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"
#include "server/policy/audit_verifier.h"

namespace valkyrie::server {
namespace {

using testing::dial;
using testing::read_until_closed;
using testing::RunningNode;
using testing::send_bytes;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Audited : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> arguments() const {
    return {"--audit-log", directory_.path() + "/log", "--set", "audit.checkpoint_interval=1h"};
  }
  [[nodiscard]] std::string path() const { return directory_.path() + "/log/audit-000001.jsonl"; }
  // The key in the line "audit log in DIR, key KEY".
  static protocol::crypto::Ed25519Key key_of(RunningNode& node) {
    const std::string line = node.process.log.find("audit log in").value_or("");
    protocol::crypto::Ed25519Key key{};
    EXPECT_TRUE(protocol::read_hex_text(line.substr(line.rfind(' ') + 1), key)) << line;
    return key;
  }
  [[nodiscard]] policy::AuditReport verify(
      const std::vector<protocol::crypto::Ed25519Key>& keys) const {
    policy::AuditVerifier verifier({.keys = keys, .complete = true});
    verifier.begin_file(path());
    std::ifstream file(path());
    for (std::string line; std::getline(file, line);) verifier.on_line(line);
    return verifier.finish();
  }
  static void stop(RunningNode& node) {
    node.process.signal(SIGTERM);
    EXPECT_EQ(node.process.wait(), 0);
  }

  const testing::ScratchDirectory directory_;
};

TEST_F(Audited, starts_refusals_and_stops_are_in_a_whole_log) {
  RunningNode node(arguments());
  const auto key = key_of(node);
  const transport::Socket peer = dial(node.tcp_url);
  send_bytes(peer, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(read_until_closed(peer), "");
  stop(node);
  const std::string text = text_of(path());
  for (const std::string_view part :
       {R"("action":"node.start")", R"("action":"door.refused","what":"","from":"127.0.0.1:)",
        R"("decision":"refused","reason":"http_bytes")", R"("action":"node.stop")"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  const policy::AuditReport report = verify({key});
  EXPECT_TRUE(report.findings.empty()) << report.findings.front().text;
  EXPECT_TRUE(report.closed);
}

TEST_F(Audited, a_killed_node_and_a_torn_line_leave_a_log_that_goes_on) {
  RunningNode killed(arguments());
  const auto first_key = key_of(killed);
  killed.process.signal(SIGKILL);
  killed.process.wait();
  std::ofstream(path(), std::ios::app) << R"({"seq":3,"ti)";
  RunningNode next(arguments());
  const auto second_key = key_of(next);
  stop(next);
  EXPECT_NE(text_of(path()).find(R"("action":"log.recovered")"), std::string::npos);
  const policy::AuditReport report = verify({first_key, second_key});
  EXPECT_TRUE(report.findings.empty()) << report.findings.front().text;
}

TEST_F(Audited, a_node_does_not_go_on_with_a_log_that_was_altered) {
  {
    RunningNode node(arguments());
    stop(node);
  }
  std::string text = text_of(path());
  text.replace(text.find("node.start"), 10, "node.stars");
  std::ofstream(path()) << text;
  std::vector<std::string> more = arguments();
  more.insert(more.end(), {"--ephemeral", "--listen", "valkyrie://127.0.0.1:0"});
  testing::ServerProcess refused(more);
  EXPECT_TRUE(refused.log.find("not what a node wrote"));
  EXPECT_EQ(refused.wait(), 1);
}

TEST_F(Audited, sessions_are_refused_while_they_cannot_be_written_down) {
  std::vector<std::string> more = arguments();
  more.insert(more.end(), {"--set", "audit.on_failure=refuse"});
  RunningNode node(more);
  auto reactor = transport::Reactor::create();
  ASSERT_TRUE(reactor.has_value());
  // The disk is full from here on.
  rlimit before{};
  const rlimit full{.rlim_cur = std::filesystem::file_size(path()), .rlim_max = RLIM_INFINITY};
  ASSERT_EQ(::prlimit(node.process.pid(), RLIMIT_FSIZE, &full, &before), 0);
  testing::TestClient refused(**reactor, node.tcp_url);
  const auto reason = refused.wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->code, protocol::CloseCode::refused);
  EXPECT_TRUE(node.process.log.find("AUDIT LOG: cannot write to"));
  ASSERT_EQ(::prlimit(node.process.pid(), RLIMIT_FSIZE, &before, nullptr), 0);
  testing::TestClient taken(**reactor, node.tcp_url);
  EXPECT_TRUE(taken.wait_ready());
  EXPECT_EQ(taken.call("valkyrie.Node", "Echo", "x").code, protocol::StatusCode::ok);
  EXPECT_NE(text_of(path()).find(R"("action":"log.gap")"), std::string::npos);
}

}  // namespace
}  // namespace valkyrie::server
