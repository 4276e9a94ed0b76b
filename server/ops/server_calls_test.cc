// Calls through a running valkyrie-server.
#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "protocol/messages/registry.h"
#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"

namespace valkyrie::server {
namespace {

using protocol::StatusCode;
using testing::RunningNode;
using testing::TestClient;

std::unique_ptr<transport::Reactor> make_reactor() {
  auto reactor = transport::Reactor::create();
  return reactor ? std::move(*reactor) : nullptr;
}

TEST(Server, echoes_over_tcp_and_unix) {
  const auto reactor = make_reactor();
  RunningNode node;
  for (const std::string& url : {node.tcp_url, node.unix_url}) {
    TestClient client(*reactor, url);
    ASSERT_TRUE(client.wait_ready()) << url << " of " << node.doors;
    const auto answer = client.call("valkyrie.Node", "Echo", "hello");
    EXPECT_EQ(answer.code, StatusCode::ok) << answer.text;
    EXPECT_EQ(answer.payload, "hello");
  }
}

TEST(Server, says_who_it_is) {
  const auto reactor = make_reactor();
  RunningNode node({"--in-flight", "17"});
  TestClient client(*reactor, node.unix_url);
  ASSERT_TRUE(client.wait_ready());
  const auto answer = client.call("valkyrie.Node", "Info", "");
  ASSERT_EQ(answer.code, StatusCode::ok) << answer.text;
  const auto info =
      messages::decode<messages::NodeInfoReply>(std::as_bytes(std::span(answer.payload)));
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->node, testing::json_text(node.doors, "node"));
  ASSERT_EQ(info->doors.size(), 2U);
  EXPECT_EQ(info->doors[1].url, node.tcp_url);
  EXPECT_NE(std::ranges::find(info->limits, messages::NamedNumber("requests_in_flight", 17)),
            info->limits.end());
}

TEST(Server, carries_calls_to_a_service_on_every_shard) {
  const auto reactor = make_reactor();
  RunningNode node({"--shards", "3"});
  TestClient service(*reactor, node.tcp_url);
  ASSERT_TRUE(service.wait_ready());
  ASSERT_TRUE(service.serve("test.Shout"));
  // The kernel spreads connections over the shards: with this many, each has some.
  for (int i = 0; i < 24; ++i) {
    TestClient client(*reactor, i % 2 == 0 ? node.tcp_url : node.unix_url);
    ASSERT_TRUE(client.wait_ready());
    client.start_call("test.Shout", "Up", "abc");
    ASSERT_TRUE(client.turn_until([&] { return !service.requests.empty(); }));
    EXPECT_EQ(service.requests.front().payload, "abc");
    service.answer("ABC");
    ASSERT_TRUE(client.turn_until([&] { return !client.answers.empty(); }));
    EXPECT_EQ(client.answers.front().code, StatusCode::ok) << client.answers.front().text;
    EXPECT_EQ(client.answers.front().payload, "ABC");
  }
}

TEST(Server, has_the_services_of_the_job_plane) {
  const auto reactor = make_reactor();
  RunningNode node({"--shards", "2"});
  for (const std::string& url : {node.tcp_url, node.unix_url}) {
    TestClient client(*reactor, url);
    ASSERT_TRUE(client.wait_ready());
    for (const char* service : {"valkyrie.Jobs", "valkyrie.Runners"}) {
      const auto answer = client.call(service, "List", "");
      EXPECT_EQ(answer.code, StatusCode::ok) << service << ": " << answer.text;
    }
  }
}

TEST(Server, refuses_a_service_that_is_not_there) {
  const auto reactor = make_reactor();
  RunningNode node;
  TestClient client(*reactor, node.unix_url);
  ASSERT_TRUE(client.wait_ready());
  const auto answer = client.call("test.Nobody", "Do", "");
  EXPECT_EQ(answer.code, StatusCode::unavailable);
  EXPECT_EQ(answer.outcome, protocol::Outcome::not_executed);
}

TEST(Server, tells_a_service_who_calls_where_it_knows) {
  const auto reactor = make_reactor();
  RunningNode node;
  TestClient service(*reactor, node.unix_url);
  ASSERT_TRUE(service.wait_ready());
  ASSERT_TRUE(service.serve("test.Who"));
  for (const std::string& url : {node.unix_url, node.tcp_url}) {
    TestClient client(*reactor, url);
    ASSERT_TRUE(client.wait_ready());
    client.start_call("test.Who", "Am", "I");
    ASSERT_TRUE(client.turn_until([&] { return !service.requests.empty(); }));
    service.requests.clear();
    EXPECT_EQ(service.caller,
              url == node.unix_url ? fmt::format("uid:{}", ::geteuid()) : std::string());
  }
}

TEST(Server, forgets_a_service_whose_connection_is_cut) {
  const auto reactor = make_reactor();
  RunningNode node({"--shards", "2"});
  TestClient client(*reactor, node.unix_url);
  ASSERT_TRUE(client.wait_ready());
  auto service = std::make_unique<TestClient>(*reactor, node.tcp_url);
  ASSERT_TRUE(service->wait_ready());
  ASSERT_TRUE(service->serve("test.Mortal"));
  client.start_call("test.Mortal", "Do", "x");
  ASSERT_TRUE(client.turn_until([&] { return !service->requests.empty(); }));
  service.reset();
  ASSERT_TRUE(client.turn_until([&] { return !client.answers.empty(); }));
  EXPECT_EQ(client.answers.front().code, StatusCode::unavailable);
  EXPECT_EQ(client.answers.front().outcome, protocol::Outcome::maybe_executed);
  client.answers.clear();
  EXPECT_EQ(client.call("test.Mortal", "Do", "x").outcome, protocol::Outcome::not_executed);
}

}  // namespace
}  // namespace valkyrie::server
