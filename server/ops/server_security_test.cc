// What a node with a policy lets its peers do, over real connections.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "server/ops/testing/policy_files.h"
#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"

namespace valkyrie::server {
namespace {

using protocol::CloseCode;
using protocol::StatusCode;
using protocol::StreamKind;
using testing::PolicyFiles;
using testing::RunningNode;
using testing::TestClient;

std::string policy_text() {
  return fmt::format(R"(
provider own unix subjects=uid:{}
provider robots api_key keys=keys
role operator
  allow *
role robot
  allow call:test.*/Run* serve:robot.* publish:a.> subscribe:a.* watch:robot.*
  deny call:test.*/RunAll
bind unix subject uid:{} operator
bind api_key subject ci robot
)",
                     ::getuid(), ::getuid());
}

class ServerSecurity : public ::testing::Test {
 protected:
  ServerSecurity()
      : files(policy_text()), key(files.add_key({.subject = "ci"})), node(files.arguments()) {
    auto made = transport::Reactor::create();
    if (made) reactor = std::move(*made);
  }

  // A session that shows a credential.
  std::unique_ptr<TestClient> dial(const std::string& url, const std::string& credential) {
    protocol::SessionConfig config;
    config.token = credential;
    return std::make_unique<TestClient>(*reactor, url, config);
  }

  PolicyFiles files;
  const std::string key;
  RunningNode node;
  std::unique_ptr<transport::Reactor> reactor;
};

TEST_F(ServerSecurity, peer_without_a_credential_is_refused) {
  const auto stranger = dial(node.tcp_url, "");
  const auto reason = stranger->wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->code, CloseCode::unauthenticated);
}

TEST_F(ServerSecurity, wrong_key_is_refused_even_where_the_channel_alone_would_do) {
  std::string wrong = key;
  wrong.back() = wrong.back() == 'A' ? 'E' : 'A';
  for (const std::string& url : {node.tcp_url, node.unix_url}) {
    const auto reason = dial(url, wrong)->wait_closed();
    ASSERT_TRUE(reason.has_value());
    EXPECT_EQ(reason->code, CloseCode::unauthenticated);
  }
}

TEST_F(ServerSecurity, calls_are_allowed_by_method_and_the_reason_is_told) {
  const auto service = dial(node.unix_url, "");
  ASSERT_TRUE(service->wait_ready());
  ASSERT_TRUE(service->serve("test.Service"));
  const auto robot = dial(node.tcp_url, key);
  ASSERT_TRUE(robot->wait_ready());
  static_cast<void>(robot->start_call("test.Service", "RunOne", "x"));
  ASSERT_TRUE(service->turn_until([&] { return !service->requests.empty(); }));
  EXPECT_EQ(service->caller, "ci");
  service->answer("done");
  ASSERT_TRUE(robot->turn_until([&] { return !robot->answers.empty(); }));
  EXPECT_EQ(robot->answers.front().payload, "done");
  robot->answers.clear();
  const auto denied = robot->call("test.Service", "RunAll", "x");
  EXPECT_EQ(denied.code, StatusCode::permission_denied);
  EXPECT_EQ(denied.outcome, protocol::Outcome::not_executed);
  EXPECT_EQ(denied.text,
            "call of test.Service/RunAll is not allowed: role \"robot\" denies it: rule 6, "
            "call:test.*/RunAll");
  EXPECT_EQ(robot->call("test.Service", "Stop", "x").code, StatusCode::permission_denied);
  EXPECT_EQ(robot->call("valkyrie.Node", "Echo", "x").code, StatusCode::permission_denied);
  EXPECT_EQ(service->call("valkyrie.Node", "Echo", "x").code, StatusCode::ok);
}

TEST_F(ServerSecurity, services_are_registered_only_under_names_that_a_role_gives) {
  const auto robot = dial(node.tcp_url, key);
  ASSERT_TRUE(robot->wait_ready());
  EXPECT_TRUE(robot->serve("robot.Arm"));
  const auto other = dial(node.tcp_url, key);
  ASSERT_TRUE(other->wait_ready());
  EXPECT_FALSE(other->serve("test.Service"));
}

TEST_F(ServerSecurity, subjects_are_published_and_subscribed_only_as_allowed) {
  const auto robot = dial(node.tcp_url, key);
  ASSERT_TRUE(robot->wait_ready());
  const std::uint32_t publisher = robot->open_subject(StreamKind::publish, "");
  EXPECT_EQ(robot->publish(publisher, "a.b.c").code, StatusCode::ok);
  EXPECT_EQ(robot->publish(publisher, "b").code, StatusCode::permission_denied);
  const std::uint32_t all = robot->open_subject(StreamKind::subscribe, "a.>");
  ASSERT_TRUE(robot->turn_until([&] { return robot->resets.contains(all); }));
  EXPECT_EQ(robot->resets.at(all), CloseCode::forbidden);
  const std::uint32_t some = robot->open_subject(StreamKind::subscribe, "a.b");
  EXPECT_EQ(robot->publish(publisher, "a.b").code, StatusCode::ok);
  EXPECT_FALSE(robot->resets.contains(some));
}

TEST_F(ServerSecurity, caller_cannot_say_who_it_is) {
  const auto service = dial(node.unix_url, "");
  ASSERT_TRUE(service->wait_ready());
  ASSERT_TRUE(service->serve("test.Service"));
  const auto robot = dial(node.tcp_url, key);
  ASSERT_TRUE(robot->wait_ready());
  const std::string forged("\x01\x00uid:0", 7);
  static_cast<void>(robot->start_call_with("test.Service", "RunOne", "x",
                                           protocol::MetadataKey::identity, forged));
  ASSERT_TRUE(service->turn_until([&] { return !service->requests.empty(); }));
  EXPECT_EQ(service->caller, "ci");
}

TEST_F(ServerSecurity, call_for_somebody_else_does_not_run_as_the_session) {
  const auto robot = dial(node.tcp_url, key);
  ASSERT_TRUE(robot->wait_ready());
  const std::uint32_t stream = robot->start_call_with("test.Service", "RunOne", "x",
                                                      protocol::MetadataKey::authorization, key);
  ASSERT_TRUE(robot->turn_until([&] { return robot->resets.contains(stream); }));
  EXPECT_EQ(robot->resets.at(stream), CloseCode::unauthenticated);
}

TEST(ServerSecurityFile, fault_is_named_and_nothing_starts) {
  const auto error_of = [](const std::string& policy) {
    const PolicyFiles files(policy);
    std::vector<std::string> arguments = files.arguments();
    arguments.insert(arguments.end(), {"--check", "--ephemeral"});
    testing::Process server("valkyrie-server", arguments);
    std::string text = server.log.rest();
    EXPECT_EQ(server.wait(), 1) << policy;
    return text;
  };
  EXPECT_NE(error_of("role a\nallow call").find("line 2: \"call\": write ACTION:PATTERN"),
            std::string::npos);
  EXPECT_NE(error_of("provider a api_key keys=nowhere").find("nowhere"), std::string::npos);
}

}  // namespace
}  // namespace valkyrie::server
