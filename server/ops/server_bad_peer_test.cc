// What peers do wrong ends their own connection, with a reason in the log, and nobody else's.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"

namespace valkyrie::server {
namespace {

using protocol::StatusCode;
using testing::dial;
using testing::ProcessOptions;
using testing::read_until_closed;
using testing::RunningNode;
using testing::send_bytes;
using testing::TestClient;
using transport::Socket;

std::unique_ptr<transport::Reactor> make_reactor() {
  auto reactor = transport::Reactor::create();
  return reactor ? std::move(*reactor) : nullptr;
}

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

// Stops the node and returns what it logged.
std::string log_of(RunningNode& node) {
  node.process.signal(SIGTERM);
  return node.process.log.rest();
}

TEST(BadPeer, is_told_apart_by_its_first_bytes) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http_bytes; this door speaks valkyrie, not HTTP"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http_bytes"},
      {std::string_view("\x16\x03\x01\x02\x00\x01", 6), "tls_bytes; this door does not speak TLS"},
      {std::string_view("VN\x01\x01", 4), "noise_bytes; this door does not speak Noise"},
      {"\xff\xfe\xfd garbage", "garbage; its first bytes are of no known protocol"},
  };
  for (const auto& [bytes, reason] : cases) {
    RunningNode node;
    const Socket peer = dial(node.tcp_url);
    send_bytes(peer, bytes);
    EXPECT_EQ(read_until_closed(peer), "") << "nobody is known to understand an answer";
    const auto line = node.process.log.find("closed 127.0.0.1:");
    ASSERT_TRUE(line.has_value()) << reason;
    EXPECT_NE(line->find(reason), std::string::npos) << *line;
  }
}

TEST(BadPeer, gets_the_code_of_its_mistake_once_it_speaks_frames) {
  RunningNode node;
  Socket peer = dial(node.unix_url);
  send_bytes(peer, std::string_view("VK\x63\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
  EXPECT_NE(read_until_closed(peer).value_or("").find("VK"), std::string::npos) << "a GOAWAY";
  peer.close();
  const auto line = node.process.log.find("closed unix pid");
  ASSERT_TRUE(line.has_value());
  EXPECT_NE(line->find("version"), std::string::npos) << *line;
}

TEST(BadPeer, fills_no_log) {
  RunningNode node;
  for (int i = 0; i < 50; ++i) {
    const Socket peer = dial(node.tcp_url);
    send_bytes(peer, "GET / HTTP/1.1\r\n\r\n");
    EXPECT_EQ(read_until_closed(peer), "");
  }
  EXPECT_EQ(count_of(log_of(node), "http_bytes"), 1U);
}

TEST(BadPeer, that_says_nothing_is_closed) {
  RunningNode node({"--handshake-timeout", "100ms"});
  const Socket silent = dial(node.tcp_url);
  EXPECT_EQ(read_until_closed(silent), "");
  EXPECT_TRUE(node.process.log.find("door_timeout").has_value());
}

TEST(BadPeer, that_drips_its_hello_is_closed) {
  RunningNode node({"--handshake-timeout", "100ms"});
  Socket slow = dial(node.unix_url);
  // A good header of a HELLO whose body never comes.
  send_bytes(slow, std::string_view("VK\x02\x01\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0", 20));
  EXPECT_TRUE(read_until_closed(slow).has_value());
  slow.close();
  EXPECT_TRUE(node.process.log.find("handshake_timeout").has_value());
}

TEST(BadPeer, over_its_calls_in_flight_is_refused) {
  const auto reactor = make_reactor();
  RunningNode node({"--in-flight", "1"});
  TestClient service(*reactor, node.unix_url);
  ASSERT_TRUE(service.wait_ready());
  ASSERT_TRUE(service.serve("test.Slow"));
  TestClient client(*reactor, node.unix_url);
  ASSERT_TRUE(client.wait_ready());
  client.start_call("test.Slow", "Do", "1");
  client.start_call("test.Slow", "Do", "2");
  ASSERT_TRUE(client.turn_until([&] { return !client.answers.empty(); }));
  EXPECT_EQ(client.answers.front().outcome, protocol::Outcome::not_executed);
  ASSERT_TRUE(client.turn_until([&] { return !service.requests.empty(); }));
  service.answer("done");
  ASSERT_TRUE(client.turn_until([&] { return client.answers.size() == 2; }));
  EXPECT_EQ(client.answers.back().code, StatusCode::ok);
}

TEST(Crowd, of_silent_peers_makes_room_for_the_next) {
  const auto reactor = make_reactor();
  RunningNode node({"--half-open", "4"});
  std::vector<Socket> silent;
  for (int i = 0; i < 5; ++i) silent.push_back(dial(node.unix_url));
  EXPECT_EQ(read_until_closed(silent.front()), "") << "the oldest of five, where four may wait";
  EXPECT_TRUE(node.process.log.find("half_open_limit").has_value());
  TestClient client(*reactor, node.unix_url);
  EXPECT_TRUE(client.wait_ready());
}

TEST(Crowd, of_descriptors_pauses_accepting_until_some_close) {
  const auto reactor = make_reactor();
  RunningNode node({}, ProcessOptions{.files_max = 64});
  TestClient client(*reactor, node.unix_url);
  ASSERT_TRUE(client.wait_ready()) << node.doors;
  std::vector<Socket> crowd;
  for (int i = 0; i < 80; ++i) crowd.push_back(dial(node.unix_url));
  ASSERT_TRUE(node.process.log.find("accepting pauses").has_value());
  EXPECT_EQ(client.call("valkyrie.Node", "Echo", "still here").payload, "still here");
  crowd.clear();
  TestClient late(*reactor, node.unix_url);
  EXPECT_TRUE(late.wait_ready());
  EXPECT_TRUE(node.process.log.find("accepting connections again").has_value());
}

TEST(Crowd, of_ten_thousand_half_open_connections_disturbs_nobody) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const std::size_t size = std::min<std::size_t>(10'000, limit.rlim_max - 256);
  const auto reactor = make_reactor();
  RunningNode node({"--half-open", "16384", "--handshake-timeout", "30s"});
  TestClient client(*reactor, node.unix_url);
  ASSERT_TRUE(client.wait_ready());
  std::vector<Socket> crowd;
  for (std::size_t i = 0; i < size; ++i) {
    crowd.push_back(dial(i % 2 == 0 ? node.unix_url : node.tcp_url));
    ASSERT_TRUE(crowd.back()) << i;
    if (i % 1000 == 0) {
      EXPECT_EQ(client.call("valkyrie.Node", "Echo", "a").payload, "a") << i;
    }
  }
  // Each door accepts in order: whoever comes last is served after all others were accepted.
  for (const std::string& url : {node.unix_url, node.tcp_url}) {
    TestClient last(*reactor, url);
    ASSERT_TRUE(last.wait_ready());
  }
  EXPECT_EQ(client.call("valkyrie.Node", "Echo", "b").payload, "b");
  const auto files =
      std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", node.process.pid()));
  EXPECT_GE(static_cast<std::size_t>(std::distance(begin(files), end(files))), size);
}

}  // namespace
}  // namespace valkyrie::server
