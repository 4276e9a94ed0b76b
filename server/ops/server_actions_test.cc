// What the policy says about jobs, runners and the node itself, and the limits of roles.
#include <csignal>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>

#include "protocol/messages/bans.h"
#include "protocol/messages/jobs.h"
#include "server/ops/testing/policy_files.h"
#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"

namespace valkyrie::server {
namespace {

using protocol::Outcome;
using protocol::StatusCode;
using testing::PolicyFiles;
using testing::RunningNode;
using testing::TestClient;

constexpr std::string_view kPolicy = R"(
provider robots api_key keys=keys
role operator
  allow *
role ci
  allow submit:build-* cancel:build-1 call:valkyrie.Node/Echo
role watchman
  allow administer:bans
role slow
  allow *
  rate 2/s
role narrow
  allow *
  in_flight 1
bind api_key subject operator operator
bind api_key subject ci ci
bind api_key subject watchman watchman
bind api_key subject slow slow
bind api_key subject narrow narrow
)";

std::string submit_body(std::string_view name) {
  return messages::encode(messages::SubmitRequest{
      .specs = {{.name = std::string(name), .argv = {"true"}}}, .ack = messages::Ack::received});
}

class ServerActions : public ::testing::Test {
 protected:
  ServerActions() {
    auto made = transport::Reactor::create();
    if (made) reactor = std::move(*made);
  }

  // Keys have to be in the file before the node reads it.
  std::string key_of(const std::string& subject) { return files.add_key({.subject = subject}); }
  std::unique_ptr<TestClient> dial(const RunningNode& node, const std::string& key) {
    protocol::SessionConfig config;
    config.token = key;
    auto client = std::make_unique<TestClient>(*reactor, node.tcp_url, config);
    EXPECT_TRUE(client->wait_ready());
    return client;
  }

  PolicyFiles files{kPolicy};
  const std::string ci_key = key_of("ci");
  const std::string operator_key = key_of("operator");
  const std::string watchman_key = key_of("watchman");
  const std::string slow_key = key_of("slow");
  const std::string narrow_key = key_of("narrow");
  std::unique_ptr<transport::Reactor> reactor;
};

TEST_F(ServerActions, jobs_are_submitted_and_cancelled_by_the_names_that_a_role_gives) {
  const RunningNode node(files.arguments());
  const auto ci = dial(node, ci_key);
  const auto first = ci->call(messages::kJobsService, "Submit", submit_body("build-1"));
  ASSERT_EQ(first.code, StatusCode::ok) << first.text;
  const auto second = ci->call(messages::kJobsService, "Submit", submit_body("build-2"));
  ASSERT_EQ(second.code, StatusCode::ok) << second.text;
  for (const std::string_view name : {"deploy", ""}) {
    const auto denied = ci->call(messages::kJobsService, "Submit", submit_body(name));
    EXPECT_EQ(denied.code, StatusCode::permission_denied);
    EXPECT_EQ(denied.outcome, Outcome::not_executed);
  }
  const auto cancel = [&](const testing::Answer& submitted) {
    const auto reply =
        messages::decode<messages::SubmitReply>(std::as_bytes(std::span(submitted.payload)));
    return ci->call(messages::kJobsService, "Cancel",
                    messages::encode(messages::CancelJobRequest{.job = reply->jobs.front()}));
  };
  EXPECT_EQ(cancel(first).code, StatusCode::ok);
  const auto denied = cancel(second);
  EXPECT_EQ(denied.code, StatusCode::permission_denied);
  EXPECT_EQ(denied.text, "cancel of build-2 is not allowed: no rule of its roles allows it");
  EXPECT_EQ(
      ci->call(messages::kJobsService, "List", messages::encode(messages::ListJobsRequest{})).code,
      StatusCode::permission_denied);
}

TEST_F(ServerActions, bans_are_for_whom_the_policy_lets_administer_them_and_that_is_written_down) {
  const testing::ScratchDirectory scratch;
  std::vector<std::string> arguments = files.arguments();
  arguments.insert(arguments.end(), {"--audit-log", scratch.path() + "/log"});
  const std::string body = messages::encode(messages::ListBansRequest{});
  {
    RunningNode node(arguments);
    EXPECT_EQ(dial(node, watchman_key)->call(messages::kBansService, "List", body).code,
              StatusCode::ok);
    EXPECT_EQ(dial(node, operator_key)->call(messages::kBansService, "List", body).code,
              StatusCode::ok);
    EXPECT_EQ(dial(node, ci_key)->call(messages::kBansService, "List", body).code,
              StatusCode::permission_denied);
    node.process.signal(SIGTERM);
    EXPECT_EQ(node.process.wait(), 0);
  }
  std::ifstream file(scratch.path() + "/log/audit-000001.jsonl");
  const std::string log{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(log.find(R"("who":"watchman","action":"administer","what":"bans")"), std::string::npos);
  EXPECT_NE(log.find(R"("who":"ci","action":"administer","what":"bans")"), std::string::npos);
  EXPECT_NE(log.find(R"("decision":"refused","reason":"no rule of its roles allows it")"),
            std::string::npos);
  for (const std::string& key : {ci_key, operator_key, watchman_key}) {
    EXPECT_EQ(log.find(key), std::string::npos);
  }
}

TEST_F(ServerActions, calls_beyond_the_rate_of_a_role_are_refused_over_all_sessions) {
  const RunningNode node(files.arguments());
  const auto first = dial(node, slow_key);
  const auto second = dial(node, slow_key);
  // A bucket of two, that fills meanwhile: of many at once some pass and some do not.
  int passed = 0;
  int refused = 0;
  for (int i = 0; i < 20; ++i) {
    const auto answer = (i % 2 == 0 ? first : second)->call("valkyrie.Node", "Echo", "x");
    if (answer.code == StatusCode::ok) ++passed;
    if (answer.code != StatusCode::resource_exhausted) continue;
    ++refused;
    EXPECT_EQ(answer.outcome, Outcome::not_executed);
    EXPECT_EQ(answer.text, "slow begins more than the 2 calls a second that its roles allow");
  }
  EXPECT_GE(passed, 2);
  EXPECT_EQ(passed + refused, 20);
  const auto free = dial(node, operator_key);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(free->call("valkyrie.Node", "Echo", "x").code, StatusCode::ok);
  }
}

TEST_F(ServerActions, calls_in_flight_are_as_many_as_a_role_says_and_an_answer_makes_room) {
  const RunningNode node(files.arguments());
  const auto service = dial(node, operator_key);
  ASSERT_TRUE(service->serve("test.Service"));
  const auto caller = dial(node, narrow_key);
  static_cast<void>(caller->start_call("test.Service", "Run", "first"));
  ASSERT_TRUE(service->turn_until([&] { return service->requests.size() == 1; }));
  const auto refused = dial(node, narrow_key)->call("test.Service", "Run", "second");
  EXPECT_EQ(refused.code, StatusCode::resource_exhausted);
  EXPECT_EQ(refused.outcome, Outcome::not_executed);
  service->answer("done");
  ASSERT_TRUE(caller->turn_until([&] { return caller->answers.size() == 1; }));
  static_cast<void>(caller->start_call("test.Service", "Run", "third"));
  EXPECT_TRUE(service->turn_until([&] { return service->requests.size() == 1; }));
}

}  // namespace
}  // namespace valkyrie::server
