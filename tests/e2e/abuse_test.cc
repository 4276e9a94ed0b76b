// One address that fails ten thousand times, while everybody else goes on as if it were not there.
#include <arpa/inet.h>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "protocol/buffer_pool.h"
#include "protocol/noise/channel.h"
#include "protocol/noise/key_text.h"
#include "protocol/session.h"
#include "server/ops/testing/test_client.h"
#include "tests/e2e/programs.h"
#include "tests/e2e/subjects.h"
#include "valkyrie/client.h"

namespace valkyrie::tests {
namespace {

namespace noise = protocol::noise;
using server::testing::read_until_closed;
using server::testing::send_bytes;
using transport::Socket;

constexpr int kFailures = 10'000;
constexpr const char* kAttacker = "127.0.0.2";

// The door of this scheme among those that a node has printed.
std::string url_of(const std::string& doors, std::string_view scheme) {
  const std::size_t begin = doors.find(scheme);
  return begin == std::string::npos ? "" : doors.substr(begin, doors.find('"', begin) - begin);
}

// A connection to a door of 127.0.0.1 that comes from another address of this machine.
Socket dial_from(const char* address, const std::string& url) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in own{};
  own.sin_family = AF_INET;
  ::inet_pton(AF_INET, address, &own.sin_addr);
  sockaddr_in door = own;
  ::inet_pton(AF_INET, "127.0.0.1", &door.sin_addr);
  const std::size_t colon = url.find(':', url.find("//"));
  door.sin_port = htons(static_cast<std::uint16_t>(std::strtoul(&url[colon + 1], nullptr, 10)));
  const auto* from = reinterpret_cast<const sockaddr*>(&own);
  const auto* to = reinterpret_cast<const sockaddr*>(&door);
  EXPECT_EQ(::bind(socket.fd(), from, sizeof own), 0);
  EXPECT_EQ(::connect(socket.fd(), to, sizeof door), 0);
  return socket;
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A hello with a key that the node never gave out.
std::string failing_login() {
  protocol::BufferPool pool;
  protocol::SessionConfig config;
  config.token = "vk_abcdefgh_" + std::string(43, 'A');
  protocol::Session session(protocol::Role::dialer, config, pool, protocol::Instant());
  std::array<std::span<const std::byte>, 16> pieces;
  std::string text;
  for (const auto piece : std::span(pieces).first(session.gather(pieces, 1U << 16U))) {
    text += text_of(piece);
  }
  return text;
}

// The first bytes of a Noise channel to the node behind the URL.
std::string first_message(const std::string& url) {
  noise::KeyPair key;
  noise::make_key(noise::system_entropy(), key);
  constexpr std::array kSuites = {noise::Suite::xk_mlkem_aes_gcm};
  noise::Channel channel({.role = noise::HandshakeRole::initiator,
                          .suites = kSuites,
                          .key = key,
                          .peer = noise::public_key_of(url.substr(url.find("?key=") + 5)),
                          .entropy = noise::system_entropy()});
  return text_of(channel.take_output());
}

// The same with its last byte wrong.
std::string failing_handshake(const std::string& url) {
  std::string text = first_message(url);
  text.back() = static_cast<char>(text.back() ^ 1);
  return text;
}

// Who calls all the time, and is answered each time.
class Caller {
 public:
  Caller(const std::string& url, ClientOptions options)
      : client_(Client::connect(url, std::move(options))),
        thread_([this](const std::stop_token& stop) { run(stop); }) {}

  // Ends it; how many calls were answered, and how many were not.
  std::pair<int, int> finish() {
    thread_.request_stop();
    thread_.join();
    return {answered_, failed_};
  }
  // Waits until one more call was answered since.
  void wait_call() const {
    const int before = answered_;
    while (answered_ == before && failed_ == 0) std::this_thread::yield();
  }

 private:
  void run(const std::stop_token& stop) {
    if (!client_) failed_ = 1;
    while (client_ && !stop.stop_requested()) {
      const auto reply = client_->call("valkyrie.Node/Echo", "hello").wait();
      ++(reply.has_value() ? answered_ : failed_);
    }
  }

  std::atomic<int> answered_ = 0;
  std::atomic<int> failed_ = 0;
  Result<Client> client_;
  std::jthread thread_;
};

class Abuse : public ::testing::Test {
 protected:
  Abuse() {
    noise::make_key(noise::system_entropy(), key_);
    write("key", noise::key_text(key_.secret));
    write("keys", noise::key_text(key_.shared) + " friend\n");
    write("api-keys", "");
    write("policy",
          "provider own unix\nprovider friends noise\nprovider robots api_key keys=api-keys\n"
          "role all\n  allow *\nbind unix subject * all\nbind noise subject friend all\n");
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    return scratch_.path() + '/' + name;
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name)) << text << '\n';
    ASSERT_EQ(::chmod(file(name).c_str(), 0600), 0);
  }
  [[nodiscard]] std::vector<std::string> arguments(std::vector<std::string> settings = {}) const {
    std::vector<std::string> result{"--security", file("policy"), "--listen",
                                    "noise://127.0.0.1:0"};
    settings.insert(settings.end(), {"noise.keys=" + file("keys"), "limits.loopback=on"});
    for (const std::string& setting : settings) {
      result.insert(result.end(), {"--set", setting});
    }
    return result;
  }
  [[nodiscard]] ClientOptions friendly() const { return {.noise_key_file = file("key")}; }

  const ScratchDirectory scratch_;
  noise::KeyPair key_;
};

TEST_F(Abuse, ten_thousand_failures_from_one_address_cost_nobody_else_a_call) {
  RunningNode node(arguments());
  const std::string noise_url = url_of(node.doors, "noise://");
  Caller near(node.unix_url, {});
  Caller far(noise_url, friendly());
  const std::string login = failing_login();
  const std::string handshake = failing_handshake(noise_url);
  for (int i = 0; i < kFailures; ++i) {
    const bool logs_in = i % 2 == 0;
    const Socket peer = dial_from(kAttacker, logs_in ? node.tcp_url : noise_url);
    send_bytes(peer, logs_in ? login : handshake);
    ASSERT_TRUE(read_until_closed(peer).has_value());
    // Others come in meanwhile, too, from an address of their own.
    if (i % 1000 == 0) {
      const auto late = Client::connect(noise_url, friendly());
      EXPECT_TRUE(late.has_value());
    }
  }
  near.wait_call();
  far.wait_call();
  for (Caller* caller : {&near, &far}) {
    const auto [answered, failed] = caller->finish();
    EXPECT_GT(answered, 0);
    EXPECT_EQ(failed, 0);
  }
  EXPECT_TRUE(node.process.log.find(fmt::format("banned {}", kAttacker)).has_value());
  auto client = Client::connect(node.unix_url);
  ASSERT_TRUE(client.has_value());
  // Most of it was refused before a byte was read: no key was agreed on, no credential looked up.
  const auto seen = [&client] {
    return node_count(*client, "refused_unread") + node_count(*client, "handshakes_failed") +
           node_count(*client, "unauthenticated");
  };
  while (seen() != kFailures) {
  }
  EXPECT_GT(node_count(*client, "refused_unread"), kFailures * 9 / 10);
}

TEST_F(Abuse, who_fails_too_often_is_listed_and_stays_out_over_a_restart) {
  std::vector<std::string> all = arguments({"limits.keep_bans=on", "limits.ban_after=5"});
  all.insert(all.end(), {"--state", file("state"), "--listen", "unix://" + file("node.sock"),
                         "--print-doors"});
  const std::string own = "unix://" + file("node.sock");
  const auto listed = [&own] {
    const Ran ran = cli({"ban", "ls", "--node", own});
    EXPECT_EQ(ran.exit, 0) << ran.err;
    return ran.out.find(kAttacker) != std::string::npos;
  };
  {
    ServerProcess node(all);
    const std::string url = url_of(node.wait_doors(), "noise://");
    EXPECT_FALSE(listed());
    for (int i = 0; i < 6; ++i) {
      const Socket peer = dial_from(kAttacker, url);
      send_bytes(peer, failing_handshake(url));
      ASSERT_TRUE(read_until_closed(peer).has_value());
    }
    EXPECT_TRUE(node.log.find(fmt::format("banned {}", kAttacker)).has_value());
    EXPECT_TRUE(listed());
    node.signal(SIGTERM);
    EXPECT_EQ(node.wait(), 0);
  }
  ServerProcess node(all);
  const std::string url = url_of(node.wait_doors(), "noise://");
  EXPECT_TRUE(listed());
  EXPECT_EQ(read_until_closed(dial_from(kAttacker, url)), "") << "it has not said a word";
  EXPECT_TRUE(Client::connect(url, friendly()).has_value());
  const Ran lifted = cli({"ban", "lift", kAttacker, "--node", own});
  EXPECT_EQ(lifted.exit, 0) << lifted.err;
  EXPECT_FALSE(listed());
}

TEST_F(Abuse, half_open_handshakes_of_an_address_have_a_limit_of_their_own) {
  constexpr std::size_t kHalfOpen = 8;
  RunningNode node(arguments({fmt::format("limits.half_open_per_address={}", kHalfOpen)}));
  const std::string url = url_of(node.doors, "noise://");
  const auto begin = [&] {
    Socket peer = dial_from(kAttacker, url);
    send_bytes(peer, first_message(url));
    return peer;
  };
  // Whether the node has answered the first message, and waits for the last.
  const auto answered = [](const Socket& peer) {
    char byte = 0;
    return ::recv(peer.fd(), &byte, 1, MSG_PEEK) == 1;
  };
  std::vector<Socket> peers;
  for (std::size_t i = 0; i < kHalfOpen; ++i) {
    peers.push_back(begin());
    EXPECT_TRUE(answered(peers.back()));
  }
  EXPECT_FALSE(answered(begin())) << "one more";
  EXPECT_TRUE(Client::connect(url, friendly()).has_value()) << "of another address";
  peers.pop_back();
  // Its place is free once the node has seen its end.
  while (!answered(peers.emplace_back(begin()))) peers.pop_back();
}

}  // namespace
}  // namespace valkyrie::tests
