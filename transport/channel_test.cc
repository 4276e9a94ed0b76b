// Connections whose bytes go through a channel.
#include "protocol/noise/channel.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "protocol/buffer_pool.h"
#include "protocol/metadata.h"
#include "protocol/tls/testing/pair.h"
#include "transport/connection.h"

namespace valkyrie::transport {
namespace {

namespace noise = protocol::noise;
using protocol::Event;
using protocol::EventType;

// A door that speaks Noise, with one key, and TLS.
class Door final : public protocol::ChannelSource {
 public:
  Door() {
    world_.make();
    noise::SecretKey secret;
    noise::system_entropy().fill(secret.bytes());
    key_.set_secret(secret.bytes());
  }
  std::unique_ptr<protocol::Channel> accept_noise() override {
    return std::make_unique<noise::Channel>(
        noise::ChannelConfig{.role = noise::HandshakeRole::responder,
                             .suites = suites_,
                             .key = key_,
                             .entropy = noise::system_entropy()});
  }
  std::unique_ptr<protocol::Channel> accept_tls() override { return world_.acceptor->accept(); }
  [[nodiscard]] bool allows_plain() const override { return plain; }
  // The other sides of it.
  std::unique_ptr<protocol::Channel> dial_tls() { return world_.dialer->dial("localhost"); }
  std::unique_ptr<protocol::Channel> dial() {
    return std::make_unique<noise::Channel>(
        noise::ChannelConfig{.role = noise::HandshakeRole::initiator,
                             .suites = dialed,
                             .key = key_,
                             .entropy = noise::system_entropy()});
  }

  bool plain = true;
  std::vector<noise::Suite> dialed{noise::Suite::xx_mlkem_aes_gcm};

 private:
  std::vector<noise::Suite> suites_{noise::Suite::xx_mlkem_aes_gcm};
  noise::KeyPair key_;
  protocol::tls::testing::World world_;
};

// Remembers what happened; echoes requests.
struct Log final : ConnectionHandler {
  void on_event(Connection& connection, const Event& event) override {
    if (event.type == EventType::ready) ready = true;
    if (event.type == EventType::request) {
      EXPECT_TRUE(connection.session().send_response(event.stream, event.correlation,
                                                     {.payload = event.payload}));
    }
    if (event.type == EventType::response) {
      responses.emplace_back(reinterpret_cast<const char*>(event.payload.data()),
                             event.payload.size());
    }
    if (event.cost > 0) connection.session().consume(event.stream, event.cost);
  }
  void on_closed(Connection&, const CloseReason& why) override { reason = why; }

  bool ready = false;
  std::vector<std::string> responses;
  std::optional<CloseReason> reason;
};

// A dialer and an acceptor on one reactor.
class ChannelConnection : public testing::Test {
 protected:
  // Opens both ends; `channel` is the dialer's.
  void connect(std::unique_ptr<protocol::Channel> channel, bool door_has_channels = true) {
    std::array<int, 2> fds{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    for (const int fd : fds) tune_stream(fd, {});
    ConnectionOptions accepting;
    if (door_has_channels) accepting.channels = &door_;
    dialer_ = std::make_unique<Connection>(*reactor_, Socket(fds[0]), protocol::Role::dialer,
                                           config_, pool_, dialer_log_, ConnectionOptions{},
                                           nullptr, std::move(channel));
    acceptor_ = std::make_unique<Connection>(*reactor_, Socket(fds[1]), protocol::Role::acceptor,
                                             config_, pool_, acceptor_log_, accepting);
    ASSERT_TRUE(dialer_->start() && acceptor_->start());
    turn();
  }
  void turn(int turns = 40) {
    for (int i = 0; i < turns; ++i) reactor_->turn(protocol::Duration{0});
  }
  void call(const std::string& payload) {
    std::array<std::byte, 64> buffer;
    protocol::MetadataWriter writer(buffer);
    writer.service("test.Echo");
    auto& session = dialer_->session();
    if (stream_ == 0) {
      stream_ =
          session.open_stream(protocol::StreamKind::call, 0, {.metadata = *writer.finish()}, 0)
              .value();
    }
    ASSERT_TRUE(session.send_request(stream_, {.payload = std::as_bytes(std::span(payload))}));
  }

  void carry_growing_messages() {
    for (std::size_t size = 1; size <= 3'000'000; size = size * 10 + 7) {
      const std::string payload(size, static_cast<char>('a' + size % 26));
      call(payload);
      turn(400);
      ASSERT_FALSE(dialer_log_.responses.empty()) << size;
      EXPECT_TRUE(dialer_log_.responses.back() == payload) << size;
      dialer_log_.responses.clear();
    }
  }

  protocol::BufferPool pool_;
  protocol::SessionConfig config_;
  std::unique_ptr<Reactor> reactor_ = std::move(Reactor::create().value());
  Door door_;
  Log dialer_log_;
  Log acceptor_log_;
  std::unique_ptr<Connection> dialer_;
  std::unique_ptr<Connection> acceptor_;
  std::uint32_t stream_ = 0;
};

TEST_F(ChannelConnection, carries_calls_through_noise) {
  connect(door_.dial());
  ASSERT_TRUE(dialer_log_.ready && acceptor_log_.ready);
  ASSERT_TRUE(acceptor_->channel() != nullptr && acceptor_->channel()->open());
  call("hello");
  turn();
  EXPECT_EQ(dialer_log_.responses, std::vector<std::string>{"hello"});
}

TEST_F(ChannelConnection, carries_calls_through_tls) {
  connect(door_.dial_tls());
  ASSERT_TRUE(dialer_log_.ready && acceptor_log_.ready);
  EXPECT_EQ(acceptor_->channel()->subject(), "spiffe://valkyrie.test/client");
  carry_growing_messages();
}

TEST_F(ChannelConnection, carries_messages_of_many_records_and_writes) {
  connect(door_.dial());
  carry_growing_messages();
}

TEST_F(ChannelConnection, closes_on_tls_where_the_door_has_none) {
  connect(door_.dial_tls(), /*door_has_channels=*/false);
  ASSERT_TRUE(acceptor_log_.reason.has_value());
  EXPECT_EQ(to_string(*acceptor_log_.reason), "tls_bytes");
}

TEST_F(ChannelConnection, takes_plain_peers_beside_others_where_the_door_allows_it) {
  connect(nullptr);
  EXPECT_TRUE(dialer_log_.ready);
  EXPECT_EQ(acceptor_->channel(), nullptr);
}

TEST_F(ChannelConnection, closes_on_a_plain_peer_where_the_door_demands_a_channel) {
  door_.plain = false;
  connect(nullptr);
  ASSERT_TRUE(acceptor_log_.reason.has_value());
  EXPECT_EQ(to_string(*acceptor_log_.reason), "plain_bytes");
  EXPECT_FALSE(dialer_log_.ready);
}

TEST_F(ChannelConnection, closes_on_noise_where_the_door_has_none) {
  connect(door_.dial(), /*door_has_channels=*/false);
  ASSERT_TRUE(acceptor_log_.reason.has_value());
  EXPECT_EQ(to_string(*acceptor_log_.reason), "noise_bytes");
}

TEST_F(ChannelConnection, tells_a_classical_peer_that_a_hybrid_suite_is_required) {
  door_.dialed = {noise::Suite::xx_aes_gcm};
  connect(door_.dial());
  ASSERT_TRUE(acceptor_log_.reason && dialer_log_.reason);
  EXPECT_EQ(to_string(*acceptor_log_.reason), "pq_required");
  EXPECT_EQ(to_string(*dialer_log_.reason), "pq_required");
}

TEST_F(ChannelConnection, an_altered_record_ends_the_connection) {
  // A peer of our own, who does the handshake well and then sends rubbish.
  std::array<int, 2> fds{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
  ConnectionOptions accepting;
  accepting.channels = &door_;
  acceptor_ = std::make_unique<Connection>(*reactor_, Socket(fds[1]), protocol::Role::acceptor,
                                           config_, pool_, acceptor_log_, accepting);
  ASSERT_TRUE(acceptor_->start());
  class Nothing final : public protocol::PlainSink {
    void on_plain(std::span<std::byte>) override {}
  } nothing;
  const Socket peer(fds[0]);
  const auto channel = door_.dial();
  while (!channel->open()) {
    const std::vector<std::byte> out = channel->take_output();
    ASSERT_EQ(::write(peer.fd(), out.data(), out.size()), static_cast<ssize_t>(out.size()));
    turn();
    std::array<std::byte, 4096> in;
    const ssize_t got = ::read(peer.fd(), in.data(), in.size());
    ASSERT_GT(got, 0);
    ASSERT_TRUE(channel->receive(std::span(in).first(static_cast<std::size_t>(got)), nothing));
  }
  std::vector<std::byte> out = channel->take_output();
  const std::array text = {std::byte{1}};
  const std::array pieces = {std::span<const std::byte>(text)};
  ASSERT_TRUE(channel->seal(pieces, out));
  out.back() ^= std::byte{1};
  ASSERT_EQ(::write(peer.fd(), out.data(), out.size()), static_cast<ssize_t>(out.size()));
  turn();
  ASSERT_TRUE(acceptor_log_.reason.has_value());
  EXPECT_EQ(acceptor_log_.reason->cause, CloseCause::channel);
  EXPECT_EQ(to_string(*acceptor_log_.reason), "not_authentic");
  EXPECT_TRUE(acceptor_log_.reason->local);
}

}  // namespace
}  // namespace valkyrie::transport
