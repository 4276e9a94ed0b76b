// Whom a node lets in through Noise, and how, over real connections.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include "protocol/messages/registry.h"
#include "server/ops/noise_door.h"
#include "server/ops/testing/server_process.h"
#include "server/ops/testing/test_client.h"

namespace valkyrie::server {
namespace {

namespace noise = protocol::noise;
using protocol::CloseCode;
using testing::RunningNode;
using testing::TestClient;

constexpr std::array kHybrid = {noise::Suite::xk_mlkem_aes_gcm, noise::Suite::xk_mlkem_chacha_poly};
constexpr std::array kClassical = {noise::Suite::xk_aes_gcm};

// A client of its own key.
struct Peer {
  Peer() { noise::make_key(noise::system_entropy(), key); }

  [[nodiscard]] std::string digits() const { return noise::key_text(key.shared); }

  noise::KeyPair key;
  std::vector<std::byte> psk{};
  std::vector<noise::Suite> suites{kHybrid.begin(), kHybrid.end()};
};

class ServerNoise : public ::testing::Test {
 protected:
  ServerNoise() {
    auto made = transport::Reactor::create();
    if (made) reactor_ = std::move(*made);
  }

  // Writes a file that only this user may read; its path.
  std::string write(const std::string& name, const std::string& text) {
    std::string path = scratch_.path() + '/' + name;
    std::ofstream(path) << text;
    std::filesystem::permissions(path, std::filesystem::perms(0600));
    return path;
  }
  void start(std::vector<std::string> more) {
    more.insert(more.begin(), {"--listen", "noise://127.0.0.1:0"});
    node_.emplace(more);
    const std::size_t begin = node_->doors.find("noise://");
    ASSERT_NE(begin, std::string::npos);
    url_ = node_->doors.substr(begin, node_->doors.find('"', begin) - begin);
  }
  std::unique_ptr<protocol::Channel> channel(const Peer& peer) {
    return std::make_unique<noise::Channel>(
        noise::ChannelConfig{.role = noise::HandshakeRole::initiator,
                             .suites = peer.suites,
                             .key = peer.key,
                             .peer = noise::public_key_of(url_.substr(url_.find("?key=") + 5)),
                             .psk = peer.psk,
                             .entropy = noise::system_entropy()});
  }
  std::unique_ptr<TestClient> dial(const Peer& peer) {
    return std::make_unique<TestClient>(*reactor_, url_, protocol::SessionConfig{}, channel(peer));
  }
  // One of the node's numbers, as who is on the Unix socket sees it.
  std::uint64_t count(std::string_view name) {
    TestClient client(*reactor_, node_->unix_url);
    EXPECT_TRUE(client.wait_ready());
    const std::string payload = client.call("valkyrie.Node", "Info", "").payload;
    const auto info = messages::decode<messages::NodeInfoReply>(std::as_bytes(std::span(payload)));
    if (!info) return 0;
    const auto found = std::ranges::find(info->counts, name, &messages::NamedNumber::first);
    return found == info->counts.end() ? 0 : found->second;
  }
  // Waits until it is that: a shard tells its numbers in intervals.
  void wait_count(std::string_view name, std::uint64_t value) {
    while (count(name) != value) {
    }
  }
  // Whom a service is told that this client is.
  std::string seen_as(TestClient& client) {
    TestClient service(*reactor_, node_->unix_url);
    EXPECT_TRUE(service.wait_ready() && service.serve("test.Who"));
    static_cast<void>(client.start_call("test.Who", "Run", "x"));
    EXPECT_TRUE(service.turn_until([&] { return !service.requests.empty(); }));
    service.answer("");
    return service.caller;
  }

  const testing::ScratchDirectory scratch_;
  std::unique_ptr<transport::Reactor> reactor_;
  std::optional<RunningNode> node_;
  std::string url_;
};

TEST_F(ServerNoise, without_a_list_a_peer_is_called_by_its_key) {
  start({});
  const Peer peer;
  const auto client = dial(peer);
  ASSERT_TRUE(client->wait_ready());
  EXPECT_EQ(seen_as(*client), "key:" + peer.digits());
}

TEST_F(ServerNoise, a_key_on_the_list_comes_in_under_its_name) {
  const Peer robot;
  start({"--set", "noise.keys=" + write("keys", robot.digits() + " robot\n")});
  const auto client = dial(robot);
  ASSERT_TRUE(client->wait_ready());
  EXPECT_EQ(seen_as(*client), "robot");
}

TEST_F(ServerNoise, a_key_that_is_not_on_the_list_is_refused_and_counts_as_a_failure) {
  const Peer robot;
  const Peer stranger;
  start({"--set", "noise.keys=" + write("keys", robot.digits() + " robot\n"), "--set",
         "limits.loopback=on", "--set", "limits.ban_after=1", "--audit-log",
         scratch_.path() + "/audit"});
  for (int i = 0; i < 2; ++i) {
    const auto reason = dial(stranger)->wait_closed();
    ASSERT_TRUE(reason.has_value());
    EXPECT_EQ(reason->code, CloseCode::unauthenticated);
  }
  EXPECT_TRUE(node_->process.log.find("key:" + stranger.digits() + " is not on the node's list"))
      << "so that it can be put there";
  EXPECT_TRUE(node_->process.log.find("banned 127.0.0.1"));
  wait_count("unauthenticated", 2);
  node_->process.signal(SIGTERM);
  EXPECT_EQ(node_->process.wait(), 0);
  std::ifstream log(scratch_.path() + "/audit/audit-000001.jsonl");
  const std::string text{std::istreambuf_iterator<char>(log), {}};
  EXPECT_NE(text.find("key:" + stranger.digits() + " is not on the node's list of keys"),
            std::string::npos);
}

TEST_F(ServerNoise, roles_are_given_to_names) {
  const Peer robot;
  const Peer idle;
  const std::string policy = write("policy", fmt::format(R"(
provider own unix subjects=uid:{}
provider keys noise subjects=robot*
role operator
  allow *
role robot
  allow call:test.Who
bind unix subject uid:{} operator
bind noise subject robot-1 robot
)",
                                                         ::getuid(), ::getuid()));
  start({"--security", policy, "--set",
         "noise.keys=" +
             write("keys", robot.digits() + " robot-1\n" + idle.digits() + " someone\n")});
  const auto client = dial(robot);
  ASSERT_TRUE(client->wait_ready());
  EXPECT_EQ(client->call("test.Other", "Run", "x").code, protocol::StatusCode::permission_denied);
  EXPECT_EQ(seen_as(*client), "robot-1");
  const auto reason = dial(idle)->wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->code, CloseCode::unauthenticated) << "on the list, but no provider takes it";
}

TEST_F(ServerNoise, a_list_that_is_read_again_is_for_new_sessions) {
  const Peer first;
  const Peer second;
  start({"--set", "noise.keys=" + write("keys", first.digits() + " first\n")});
  const auto client = dial(first);
  ASSERT_TRUE(client->wait_ready());
  const auto reload = [&](const std::string& text, std::string_view said) {
    write("keys", text);
    node_->process.signal(SIGHUP);
    EXPECT_TRUE(node_->process.log.find(said));
  };
  reload("what is this\n", "reload failed");
  EXPECT_TRUE(dial(first)->wait_ready()) << "a bad list changes nothing";
  reload(second.digits() + " second\n", "reloaded");
  const auto other = dial(second);
  EXPECT_TRUE(other->wait_ready());
  EXPECT_EQ(dial(first)->wait_closed()->code, CloseCode::unauthenticated);
  EXPECT_EQ(seen_as(*client), "first") << "its session goes on";
}

TEST_F(ServerNoise, a_key_that_is_gone_from_the_list_ends_sessions_where_a_policy_is_read_again) {
  const Peer first;
  const std::string policy = write("policy", R"(
provider keys noise
provider own unix
role any
  allow *
bind noise subject * any
)");
  start(
      {"--security", policy, "--set", "noise.keys=" + write("keys", first.digits() + " first\n")});
  const auto client = dial(first);
  ASSERT_TRUE(client->wait_ready());
  EXPECT_EQ(client->call("valkyrie.Node", "Echo", "x").code, protocol::StatusCode::ok);
  write("keys", "# nobody\n");
  node_->process.signal(SIGHUP);
  ASSERT_TRUE(node_->process.log.find("everyone is held"));
  static_cast<void>(client->start_call("valkyrie.Node", "Echo", "x"));
  const auto reason = client->wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->code, CloseCode::auth_expired);
}

TEST_F(ServerNoise, a_psk_is_asked_for_beside_the_key) {
  const std::string psk = write("psk", std::string(64, '7') + "\n");
  start({"--set", "noise.psk=" + psk});
  Peer peer;
  peer.psk.assign(32, std::byte{0x77});
  EXPECT_TRUE(dial(peer)->wait_ready());
  for (const std::vector<std::byte>& wrong : {std::vector<std::byte>{}, {32, std::byte{0x78}}}) {
    peer.psk = wrong;
    EXPECT_FALSE(dial(peer)->wait_ready());
  }
  wait_count("handshakes", 1);
  wait_count("handshakes_failed", 2);
}

TEST_F(ServerNoise, a_psk_that_others_may_read_or_that_is_none_starts_nothing) {
  const auto error_of = [&](const std::string& path) {
    testing::ServerProcess server(
        {"--ephemeral", "--listen", "noise://127.0.0.1:0", "--set", "noise.psk=" + path});
    std::string text = server.log.rest();
    EXPECT_NE(server.wait(), 0);
    return text;
  };
  const std::string wide = write("wide", std::string(64, '7'));
  std::filesystem::permissions(wide, std::filesystem::perms(0644));
  EXPECT_NE(error_of(wide).find("other users may read"), std::string::npos);
  EXPECT_NE(error_of(write("short", "777\n")).find("this is no psk"), std::string::npos);
  EXPECT_NE(error_of(scratch_.path() + "/nowhere").find("nowhere"), std::string::npos);
}

TEST_F(ServerNoise, classical_suites_are_taken_only_where_that_is_set) {
  Peer old;
  old.suites.assign(kClassical.begin(), kClassical.end());
  start({});
  auto refused = dial(old);
  const auto reason = refused->wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->channel, protocol::ChannelError::pq_required);
  EXPECT_TRUE(node_->process.log.find("pq_required"));
  wait_count("pq_refused", 1);
  start({"--set", "noise.require_pq=false"});
  EXPECT_TRUE(dial(old)->wait_ready());
  EXPECT_TRUE(dial(Peer())->wait_ready());
  EXPECT_EQ(count("pq_refused"), 0u);
}

TEST_F(ServerNoise, a_role_may_require_a_post_quantum_key_exchange) {
  Peer strict;
  Peer lax;
  const std::string policy = write("policy", fmt::format(R"(
provider keys noise
provider own unix
role operator
  require_pq
  allow *
role guest
  allow call:test.Who
bind unix subject * operator
bind noise subject strict operator
bind noise subject lax guest
)"));
  start({"--set", "noise.require_pq=false", "--security", policy, "--set",
         "noise.keys=" + write("keys", strict.digits() + " strict\n" + lax.digits() + " lax\n")});
  EXPECT_TRUE(dial(strict)->wait_ready());
  for (Peer* peer : {&strict, &lax}) peer->suites.assign(kClassical.begin(), kClassical.end());
  const auto reason = dial(strict)->wait_closed();
  ASSERT_TRUE(reason.has_value());
  EXPECT_EQ(reason->code, CloseCode::pq_required);
  EXPECT_TRUE(dial(lax)->wait_ready()) << "its role does not ask for it";
  wait_count("pq_refused", 1);  // Asked through the Unix socket: what stays inside is exempt.
}

}  // namespace
}  // namespace valkyrie::server
