// Credentials on a connection that runs, and a policy that is read again under it.
#include <chrono>
#include <csignal>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "protocol/frame_body.h"
#include "server/ops/testing/policy_files.h"
#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"

namespace valkyrie::server {
namespace {

using protocol::CloseCode;
using protocol::StatusCode;
using testing::PolicyFiles;
using testing::RunningNode;
using testing::TestClient;

constexpr std::string_view kPolicy = R"(
provider robots api_key keys=keys
provider idp token issuer=test audience=node keys=secrets secrets=accept skew=0s
role robot
  allow call:valkyrie.Node/*
role reader
  allow watch:*
bind api_key subject ci robot
bind token group devs robot
bind token group readers reader
)";

policy::WallTime in(std::chrono::seconds time) {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + time;
}

class ServerCredential : public ::testing::Test {
 protected:
  ServerCredential() {
    auto made = transport::Reactor::create();
    if (made) reactor = std::move(*made);
  }

  std::unique_ptr<TestClient> dial(const RunningNode& node, const std::string& credential) {
    protocol::SessionConfig config;
    config.token = credential;
    return std::make_unique<TestClient>(*reactor, node.tcp_url, config);
  }
  static StatusCode echo(TestClient& client) {
    return client.call("valkyrie.Node", "Echo", "x").code;
  }
  // Reads the files again; the line that says how it went.
  static std::string reload(RunningNode& node) {
    node.process.signal(SIGHUP);
    return node.process.log.find("reload").value_or("");
  }

  PolicyFiles files{kPolicy};
  std::unique_ptr<transport::Reactor> reactor;
};

TEST_F(ServerCredential, credential_of_the_hello_is_answered_with_the_time_it_has) {
  const std::string key = files.add_key({.subject = "ci"});
  const std::string ending = files.add_key({.subject = "ci"}, in(std::chrono::hours(1)));
  const RunningNode node(files.arguments());
  const auto first = dial(node, key);
  ASSERT_TRUE(first->turn_until([&] { return first->seconds_left.has_value(); }));
  EXPECT_EQ(first->seconds_left, protocol::AuthOkBody::kNoEnd);
  const auto second = dial(node, ending);
  ASSERT_TRUE(second->turn_until([&] { return second->seconds_left.has_value(); }));
  EXPECT_LE(*second->seconds_left, 3600U);
  EXPECT_GT(*second->seconds_left, 0U);
}

TEST_F(ServerCredential, session_is_renewed_and_may_do_what_the_new_credential_may) {
  const RunningNode node(files.arguments());
  const auto client = dial(node, files.token("ann", in(std::chrono::hours(1)), "readers"));
  ASSERT_TRUE(client->wait_ready());
  EXPECT_EQ(echo(*client), StatusCode::permission_denied);
  EXPECT_TRUE(client->show(files.token("ann", in(std::chrono::hours(2)), "devs")).has_value());
  EXPECT_EQ(echo(*client), StatusCode::ok);
  EXPECT_TRUE(client->show(files.token("ann", in(std::chrono::hours(2)), "readers")).has_value());
  EXPECT_EQ(echo(*client), StatusCode::permission_denied);
}

TEST_F(ServerCredential, session_ends_with_its_credential_unless_it_is_renewed_before) {
  const RunningNode node(files.arguments());
  const std::string brief = files.token("ann", in(std::chrono::seconds(3)), "devs");
  const auto left_alone = dial(node, brief);
  const auto renewed = dial(node, brief);
  ASSERT_TRUE(left_alone->wait_ready());
  ASSERT_TRUE(renewed->wait_ready());
  ASSERT_TRUE(renewed->show(files.token("ann", in(std::chrono::hours(1)), "devs")).has_value());
  const auto reason = left_alone->wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->code, CloseCode::auth_expired);
  EXPECT_EQ(echo(*renewed), StatusCode::ok);
}

TEST_F(ServerCredential, credential_of_another_or_of_nobody_ends_the_session) {
  const std::string key = files.add_key({.subject = "ci"});
  const std::string other = files.add_key({.subject = "cd"});
  const RunningNode node(files.arguments());
  for (const std::string& wrong :
       {other, key + "x", std::string("nonsense"),
        files.token("ci", in(std::chrono::hours(1)), "devs"), files.token("ci", in({}))}) {
    const auto client = dial(node, key);
    ASSERT_TRUE(client->wait_ready());
    EXPECT_FALSE(client->show(wrong).has_value());
    const auto reason = client->wait_closed();
    ASSERT_TRUE(reason.has_value());
    EXPECT_EQ(reason->code, CloseCode::unauthenticated);
  }
}

TEST_F(ServerCredential, node_without_a_policy_takes_none) {
  const RunningNode node;
  const auto client = dial(node, "");
  ASSERT_TRUE(client->wait_ready());
  EXPECT_FALSE(client->show("vk_something").has_value());
  EXPECT_EQ(client->wait_closed()->code, CloseCode::unauthenticated);
}

TEST_F(ServerCredential, revoked_key_ends_its_sessions_and_no_others) {
  const std::string kept = files.add_key({.subject = "ci"});
  const std::string lost = files.add_key({.subject = "ci"});
  RunningNode node(files.arguments());
  const auto first = dial(node, kept);
  const auto second = dial(node, lost);
  ASSERT_TRUE(first->wait_ready());
  ASSERT_TRUE(second->wait_ready());
  files.revoke(lost);
  EXPECT_NE(reload(node).find("reloaded"), std::string::npos);
  const auto reason = second->wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->code, CloseCode::auth_expired);
  EXPECT_EQ(echo(*first), StatusCode::ok);
  EXPECT_EQ(dial(node, lost)->wait_closed()->code, CloseCode::unauthenticated);
}

TEST_F(ServerCredential, tightened_role_holds_on_streams_that_are_open) {
  const std::string key = files.add_key({.subject = "ci"});
  RunningNode node(files.arguments());
  const auto client = dial(node, key);
  ASSERT_TRUE(client->wait_ready());
  const std::uint32_t stream = client->start_call("valkyrie.Node", "Echo", "x");
  ASSERT_TRUE(client->turn_until([&] { return client->answers.size() == 1; }));
  EXPECT_EQ(client->answers.front().code, StatusCode::ok);
  files.write(fmt::format(
      "{}\nrole tight\n  deny call:valkyrie.Node/Echo\nbind api_key subject ci tight", kPolicy));
  EXPECT_NE(reload(node).find("reloaded"), std::string::npos);
  client->start_call(stream, "x");
  ASSERT_TRUE(client->turn_until([&] { return client->answers.size() == 2; }));
  EXPECT_EQ(client->answers.back().code, StatusCode::permission_denied);
}

TEST_F(ServerCredential, faulty_file_leaves_the_policy_as_it_was_and_says_why) {
  const std::string key = files.add_key({.subject = "ci"});
  RunningNode node(files.arguments());
  const auto client = dial(node, key);
  ASSERT_TRUE(client->wait_ready());
  files.write("role a\nallow call");
  const std::string line = reload(node);
  EXPECT_NE(line.find("stays as it was"), std::string::npos) << line;
  EXPECT_NE(line.find("line 2: \"call\""), std::string::npos) << line;
  EXPECT_EQ(echo(*client), StatusCode::ok);
  EXPECT_TRUE(dial(node, key)->wait_ready());
}

}  // namespace
}  // namespace valkyrie::server
