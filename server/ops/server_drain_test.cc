// How valkyrie-server ends.
#include <csignal>
#include <filesystem>
#include <gtest/gtest.h>

#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"

namespace valkyrie::server {
namespace {

using protocol::Outcome;
using protocol::StatusCode;
using testing::RunningNode;
using testing::ScratchDirectory;
using testing::ServerProcess;
using testing::TestClient;

// A node with a service, and a call to it that has reached the service and waits there.
class Drain : public ::testing::Test {
 protected:
  void start(const std::vector<std::string>& arguments) {
    auto made = transport::Reactor::create();
    ASSERT_TRUE(made.has_value());
    reactor = std::move(*made);
    node.emplace(arguments);
    service = std::make_unique<TestClient>(*reactor, node->unix_url);
    client = std::make_unique<TestClient>(*reactor, node->tcp_url);
    ASSERT_TRUE(service->wait_ready() && client->wait_ready());
    ASSERT_TRUE(service->serve("test.Slow"));
    client->start_call("test.Slow", "Do", "work");
    ASSERT_TRUE(client->turn_until([&] { return service->requests.size() == 1; }));
  }

  // Sends TERM and waits until both peers know.
  void begin_drain() {
    node->process.signal(SIGTERM);
    ASSERT_TRUE(client->turn_until([&] { return client->goaway && service->goaway; }));
  }

  std::unique_ptr<transport::Reactor> reactor;
  std::optional<RunningNode> node;
  std::unique_ptr<TestClient> service;
  std::unique_ptr<TestClient> client;
};

TEST_F(Drain, lets_a_call_in_flight_finish) {
  start({"--shards", "2"});
  begin_drain();
  service->answer("done");
  ASSERT_TRUE(client->turn_until([&] { return !client->answers.empty(); }));
  EXPECT_EQ(client->answers.front().code, StatusCode::ok) << client->answers.front().text;
  EXPECT_EQ(client->answers.front().payload, "done");
  client->end_streams();
  service->end_streams();
  EXPECT_TRUE(client->wait_closed().has_value());
  EXPECT_TRUE(service->wait_closed().has_value());
  EXPECT_EQ(node->process.wait(), 0);
}

TEST_F(Drain, refuses_new_calls_and_connections) {
  start({});
  begin_drain();
  client->start_call("valkyrie.Node", "Echo", "new");
  ASSERT_TRUE(client->turn_until([&] { return !client->answers.empty(); }));
  EXPECT_EQ(client->answers.front().code, StatusCode::unavailable);
  EXPECT_EQ(client->answers.front().outcome, Outcome::not_executed);
  ASSERT_TRUE(node->process.log.find("draining").has_value());
  TestClient late(*reactor, node->tcp_url);
  EXPECT_FALSE(late.wait_ready());
}

TEST_F(Drain, is_over_when_the_grace_is_over) {
  start({"--drain-grace", "200ms"});
  begin_drain();
  ASSERT_TRUE(client->turn_until([&] { return !client->answers.empty(); }));
  EXPECT_EQ(client->answers.front().code, StatusCode::unavailable);
  EXPECT_EQ(client->answers.front().outcome, Outcome::maybe_executed);
  EXPECT_TRUE(client->wait_closed().has_value());
  EXPECT_TRUE(service->wait_closed().has_value());
  EXPECT_EQ(node->process.wait(), 0);
}

TEST_F(Drain, is_cut_short_by_a_second_signal) {
  start({"--drain-grace", "10m"});
  begin_drain();
  node->process.signal(SIGTERM);
  EXPECT_EQ(node->process.wait(), 1);
  EXPECT_TRUE(node->process.log.find("2 connections were cut").has_value());
  EXPECT_TRUE(client->wait_closed().has_value());
}

TEST(Stop, of_an_idle_node_is_orderly_and_leaves_no_file) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const ScratchDirectory scratch;
    const std::string path = scratch.path() + "/n.sock";
    ServerProcess process({"--ephemeral", "--print-doors", "--listen", "unix://" + path});
    ASSERT_NE(process.wait_doors(), "");
    ASSERT_TRUE(std::filesystem::exists(path));
    process.signal(signal);
    EXPECT_EQ(process.wait(), 0);
    EXPECT_FALSE(std::filesystem::exists(path));
  }
}

TEST(Stop, tells_idle_clients_and_half_open_ones) {
  auto reactor = transport::Reactor::create();
  ASSERT_TRUE(reactor.has_value());
  RunningNode node({"--shards", "2"});
  TestClient idle(**reactor, node.unix_url);
  ASSERT_TRUE(idle.wait_ready());
  const transport::Socket silent = testing::dial(node.unix_url);
  transport::Socket half = testing::dial(node.unix_url);
  testing::send_bytes(half, std::string_view("VK\x02\x01\0\0\0\0\0\0", 10));
  node.process.signal(SIGTERM);
  const auto reason = idle.wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(transport::to_string(*reason), "draining");
  EXPECT_TRUE(testing::read_until_closed(silent).has_value());
  EXPECT_TRUE(testing::read_until_closed(half).has_value());
  half.close();
  EXPECT_EQ(node.process.wait(), 0);
}

}  // namespace
}  // namespace valkyrie::server
