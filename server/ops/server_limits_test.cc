// Who fails too often, or connects too fast, is kept out at the door, and nobody else is.
#include <csignal>
#include <gtest/gtest.h>

#include "protocol/messages/bans.h"
#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"

namespace valkyrie::server {
namespace {

using protocol::StatusCode;
using testing::dial;
using testing::read_until_closed;
using testing::RunningNode;
using testing::send_bytes;
using testing::TestClient;
using transport::Socket;

void fail(const std::string& url) {
  const Socket peer = dial(url);
  send_bytes(peer, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(read_until_closed(peer), "");
}

TEST(DoorLimits, a_peer_that_fails_too_often_is_closed_before_it_says_a_word) {
  RunningNode node({"--set", "limits.loopback=on", "--set", "limits.ban_after=2"});
  for (int i = 0; i < 3; ++i) fail(node.tcp_url);
  ASSERT_TRUE(node.process.log.find("banned 127.0.0.1 for 10s"));
  const Socket banned = dial(node.tcp_url);
  EXPECT_EQ(read_until_closed(banned), "") << "it has sent nothing, and is not waited for";
  const Socket other = dial(node.unix_url);
  send_bytes(other, std::string_view("VK\x63\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
  EXPECT_NE(read_until_closed(other).value_or("").find("VK"), std::string::npos)
      << "the Unix socket answers";
}

TEST(DoorLimits, peers_of_this_machine_are_not_held_to_them_by_themselves) {
  RunningNode node({"--set", "limits.ban_after=2"});
  for (int i = 0; i < 5; ++i) fail(node.tcp_url);
  node.process.signal(SIGTERM);
  EXPECT_EQ(node.process.log.rest().find("banned"), std::string::npos);
}

TEST(DoorLimits, an_address_has_so_many_half_open_connections) {
  RunningNode node({"--set", "limits.loopback=on", "--set", "limits.half_open_per_address=2"});
  const Socket first = dial(node.tcp_url);
  const Socket second = dial(node.tcp_url);
  const Socket third = dial(node.tcp_url);
  EXPECT_EQ(read_until_closed(third), "");
  EXPECT_TRUE(node.process.log.find("refused 127.0.0.1: address_half_open"));
}

TEST(DoorLimits, a_ban_outlives_the_node_where_that_is_set) {
  const testing::ScratchDirectory scratch;
  const std::vector<std::string> arguments{
      "--state",      scratch.path(),           "--set",    "limits.keep_bans=on",
      "--set",        "limits.loopback=on",     "--set",    "limits.ban_after=0",
      "--listen",     "valkyrie://127.0.0.1:0", "--shards", "1",
      "--print-doors"};
  std::vector<std::string> strict = arguments;
  strict[7] = "limits.ban_after=1";
  {
    testing::ServerProcess node(strict);
    const std::string url = testing::json_text(node.wait_doors(), "url");
    for (int i = 0; i < 2; ++i) fail(url);
    ASSERT_TRUE(node.log.find("banned 127.0.0.1"));
    node.signal(SIGTERM);
    EXPECT_EQ(node.wait(), 0);
  }
  testing::ServerProcess node(arguments);
  const Socket banned = dial(testing::json_text(node.wait_doors(), "url"));
  EXPECT_EQ(read_until_closed(banned), "");
}

TEST(Bans, are_listed_and_lifted_by_the_nodes_user_on_its_socket) {
  const auto reactor = transport::Reactor::create();
  ASSERT_TRUE(reactor);
  RunningNode node({"--set", "limits.loopback=on", "--set", "limits.ban_after=1"});
  for (int i = 0; i < 2; ++i) fail(node.tcp_url);
  ASSERT_TRUE(node.process.log.find("banned 127.0.0.1"));
  TestClient client(**reactor, node.unix_url);
  ASSERT_TRUE(client.wait_ready());
  const auto bans = [&] {
    const std::string payload = client.call("valkyrie.Bans", "List", "").payload;
    return messages::decode<messages::ListBansReply>(std::as_bytes(std::span(payload)));
  };
  auto before = bans();
  ASSERT_TRUE(before);
  ASSERT_EQ(before->bans.size(), 1u);
  EXPECT_EQ(before->bans[0].peer, "127.0.0.1");
  EXPECT_EQ(before->bans[0].count, 1u);
  EXPECT_GT(before->bans[0].left_ns, 0u);
  const std::string lift = messages::encode(messages::LiftBanRequest{.peer = "127.0.0.1"});
  EXPECT_EQ(client.call("valkyrie.Bans", "Lift", lift).code, StatusCode::ok);
  EXPECT_EQ(client.call("valkyrie.Bans", "Lift", lift).code, StatusCode::not_found);
  EXPECT_EQ(client.call("valkyrie.Bans", "Lift", "\xff").code, StatusCode::invalid_argument);
  EXPECT_TRUE(bans()->bans.empty());
  TestClient again(**reactor, node.tcp_url);
  EXPECT_TRUE(again.wait_ready());
}

TEST(Bans, are_nobody_elses_business) {
  const auto reactor = transport::Reactor::create();
  ASSERT_TRUE(reactor);
  RunningNode node;
  TestClient client(**reactor, node.tcp_url);
  ASSERT_TRUE(client.wait_ready());
  EXPECT_EQ(client.call("valkyrie.Bans", "List", "").code, StatusCode::permission_denied);
}

}  // namespace
}  // namespace valkyrie::server
