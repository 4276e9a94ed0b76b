// Handshakes that the threads of workers compute.
#include "transport/handshake_workers.h"

#include <array>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "protocol/buffer_pool.h"
#include "protocol/tls/testing/pair.h"
#include "transport/connection.h"

namespace valkyrie::transport {
namespace {

using protocol::ChannelError;

// When a test lets a handshake go on, and where that happened.
struct Gate {
  std::binary_semaphore entered{0};
  std::binary_semaphore pass{0};
  std::thread::id thread{};
  std::vector<std::byte> received{};
  std::expected<void, ChannelError> outcome{};
};

// A channel whose handshake waits for the test, and is never over.
class HeldChannel final : public protocol::Channel {
 public:
  explicit HeldChannel(Gate& gate) : gate_(gate) {}

  std::expected<void, ChannelError> receive(std::span<std::byte> bytes,
                                            protocol::PlainSink&) override {
    gate_.thread = std::this_thread::get_id();
    gate_.received.insert(gate_.received.end(), bytes.begin(), bytes.end());
    gate_.entered.release();
    gate_.pass.acquire();
    return gate_.outcome;
  }
  std::expected<void, ChannelError> seal(std::span<const std::span<const std::byte>>,
                                         std::vector<std::byte>&) override {
    return {};
  }
  std::vector<std::byte> take_output() override { return {}; }
  bool open() const override { return false; }
  std::string subject() const override { return {}; }
  protocol::Proof proof() const override { return protocol::Proof::none; }
  bool hybrid() const override { return true; }

 private:
  Gate& gate_;
};

class Door final : public protocol::ChannelSource {
 public:
  Door() { world.make(); }
  std::unique_ptr<protocol::Channel> accept_noise() override {
    return std::make_unique<HeldChannel>(gate);
  }
  std::unique_ptr<protocol::Channel> accept_tls() override { return world.acceptor->accept(); }
  [[nodiscard]] bool allows_plain() const override { return false; }

  Gate gate;
  protocol::tls::testing::World world;
};

struct Log final : ConnectionHandler {
  void on_event(Connection& connection, const protocol::Event& event) override {
    if (event.type != protocol::EventType::ready) return;
    ready = true;
    if (connection.channel() != nullptr) subject = connection.channel()->subject();
  }
  void on_closed(Connection&, const CloseReason& why) override { reason = why; }

  bool ready = false;
  std::string subject;
  std::optional<CloseReason> reason;
};

class HandshakeWorkersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> fds{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    peer_ = Socket(fds[0]);
    ConnectionOptions options;
    options.channels = &door_;
    options.handshakes = workers_.get();
    acceptor_ = std::make_unique<Connection>(*reactor_, Socket(fds[1]), protocol::Role::acceptor,
                                             config_, pool_, log_, options);
    ASSERT_TRUE(acceptor_->start());
  }
  void turn_until(const std::function<bool()>& condition) {
    for (int turns = 0; !condition(); ++turns) {
      ASSERT_LT(turns, 10'000);
      reactor_->turn(std::chrono::seconds{10});
    }
  }
  void say(std::string_view bytes) const {
    ASSERT_EQ(::write(peer_.fd(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  // Says it, and lets the acceptor read it.
  void say_and_turn(std::string_view bytes) {
    say(bytes);
    reactor_->turn(std::chrono::seconds{10});
  }

  protocol::BufferPool pool_;
  protocol::SessionConfig config_;
  std::unique_ptr<Reactor> reactor_ = std::move(Reactor::create().value());
  Door door_;
  std::unique_ptr<HandshakeWorkers> workers_ = std::make_unique<HandshakeWorkers>(1);
  Log log_;
  Socket peer_;
  std::unique_ptr<Connection> acceptor_;
};

TEST_F(HandshakeWorkersTest, open_a_session_as_the_reactor_itself_does) {
  Log dialer_log;
  Connection dialer(*reactor_, std::move(peer_), protocol::Role::dialer, config_, pool_, dialer_log,
                    {}, nullptr, door_.world.dialer->dial("localhost"));
  ASSERT_TRUE(dialer.start());
  turn_until([&] { return dialer_log.ready; });
  EXPECT_TRUE(log_.ready);
  EXPECT_EQ(log_.subject, "spiffe://valkyrie.test/client");
  EXPECT_FALSE(acceptor_->in_handshake());
}

TEST_F(HandshakeWorkersTest, leave_the_reactor_to_others_meanwhile) {
  say_and_turn("VN1");
  door_.gate.entered.acquire();
  EXPECT_NE(door_.gate.thread, std::this_thread::get_id());
  EXPECT_EQ(acceptor_->channel(), nullptr);
  EXPECT_TRUE(acceptor_->in_handshake());
  say_and_turn("2");
  say_and_turn("3");
  door_.gate.pass.release();
  turn_until([&] { return door_.gate.entered.try_acquire(); });
  EXPECT_EQ(door_.gate.received.size(), 5U) << "what came meanwhile is next, and all of it";
  door_.gate.outcome = std::unexpected(ChannelError::not_authentic);
  door_.gate.pass.release();
  turn_until([&] { return log_.reason.has_value(); });
  EXPECT_EQ(to_string(*log_.reason), "not_authentic");
}

TEST_F(HandshakeWorkersTest, tell_why_a_peer_is_refused_who_went_before_he_heard_it) {
  say_and_turn("VN1");
  peer_.close();
  reactor_->turn(std::chrono::seconds{10});
  EXPECT_FALSE(log_.reason.has_value());
  door_.gate.outcome = std::unexpected(ChannelError::not_authentic);
  door_.gate.pass.release();
  turn_until([&] { return log_.reason.has_value(); });
  EXPECT_EQ(to_string(*log_.reason), "not_authentic");
}

TEST_F(HandshakeWorkersTest, let_a_peer_go_who_has_done_no_wrong) {
  say_and_turn("VN1");
  peer_.close();
  door_.gate.pass.release();
  turn_until([&] { return log_.reason.has_value(); });
  EXPECT_EQ(to_string(*log_.reason), "eof");
}

TEST_F(HandshakeWorkersTest, bound_what_a_peer_may_say_meanwhile) {
  say_and_turn("VN1");
  for (std::size_t said = 0; said < Connection::kHandshakeBytesMax; said += 1 << 10) {
    EXPECT_FALSE(log_.reason.has_value());
    say_and_turn(std::string(1 << 10, 'x'));
  }
  EXPECT_FALSE(log_.reason.has_value());
  say_and_turn("x");
  turn_until([&] { return log_.reason.has_value(); });
  EXPECT_EQ(to_string(*log_.reason), "bad_length");
  door_.gate.pass.release();
}

TEST_F(HandshakeWorkersTest, may_come_back_to_a_connection_that_is_gone) {
  say_and_turn("VN1");
  door_.gate.entered.acquire();
  acceptor_.reset();
  door_.gate.pass.release();
  workers_.reset();  // Waits for the step.
  reactor_->turn(protocol::Duration{0});
  EXPECT_FALSE(log_.reason.has_value());
}

}  // namespace
}  // namespace valkyrie::transport
