#include "transport/connector.h"

#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "transport/listener.h"
#include "transport/scarcity.h"

namespace valkyrie::transport {
namespace {

using protocol::Duration;
using protocol::Instant;

Instant virtual_now{};
Instant virtual_clock() { return virtual_now; }

struct Outcome final : ConnectHandler {
  Socket socket;
  std::optional<TransportError> error;
  int calls = 0;
  std::function<void()> then = [] {};
  void on_connected(Socket connected) override {
    ++calls;
    socket = std::move(connected);
    then();
  }
  void on_connect_failed(const TransportError& why) override {
    ++calls;
    error = why;
    then();
  }
};

struct World {
  std::unique_ptr<Reactor> reactor = std::move(Reactor::create().value());
  Outcome outcome;
  std::optional<Connector> connector;
  void dial(const Address& address) {
    connector.emplace(*reactor, outcome);
    connector->start(address);
    EXPECT_EQ(outcome.calls, 0) << "the outcome never comes inside start()";
    while (outcome.calls == 0) reactor->turn(Duration{-1});
  }
};

Address tcp(std::string host, std::uint16_t port = 0) {
  return {.kind = AddressKind::tcp, .host = std::move(host), .port = port, .path = {}};
}

Address abstract(const std::string& name) {
  return {.kind = AddressKind::unix_abstract,
          .host = {},
          .port = 0,
          .path = name + std::to_string(::getpid())};
}

TEST(Connector, tcp_and_unix_connect_and_come_tuned) {
  for (const Address& address : {tcp("127.0.0.1"), abstract("valkyrie-dial-")}) {
    const Listener listener = Listener::listen(address).value();
    World world;
    world.dial(listener.address());
    ASSERT_TRUE(world.outcome.socket) << to_string(address);
    EXPECT_NE(::fcntl(world.outcome.socket.fd(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(world.outcome.socket.fd(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST(Connector, the_second_address_of_a_host_is_tried_when_the_first_refuses) {
  const auto listener = Listener::listen(tcp("::1"));
  if (!listener) GTEST_SKIP() << "no IPv6 on this machine";
  World world;
  world.dial(tcp("localhost", listener->address().port));  // 127.0.0.1 first, which refuses.
  EXPECT_TRUE(world.outcome.socket);
}

TEST(Connector, refusal_names_the_address_and_the_next_step) {
  Address address;
  {
    address = Listener::listen(tcp("127.0.0.1"))->address();
  }
  World world;
  world.dial(address);
  ASSERT_TRUE(world.outcome.error.has_value());
  EXPECT_EQ(world.outcome.error->kind, TransportErrorKind::refused);
  EXPECT_NE(world.outcome.error->message.find(to_string(address)), std::string::npos);
  EXPECT_NE(world.outcome.error->message.find("valkyrie-server"), std::string::npos);
}

TEST(Connector, a_missing_unix_socket_is_told_apart) {
  World world;
  world.dial({.kind = AddressKind::unix_path, .host = {}, .port = 0, .path = "/nowhere/node.sock"});
  ASSERT_TRUE(world.outcome.error.has_value());
  EXPECT_EQ(world.outcome.error->kind, TransportErrorKind::no_path);
}

TEST(Connector, an_unwritable_unix_socket_is_named_with_its_permissions) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("valkyrie-mode-" + std::to_string(::getpid()));
  const Address address{.kind = AddressKind::unix_path, .host = {}, .port = 0, .path = path};
  const auto listener = Listener::listen(address, {.unix_mode = 0400});
  ASSERT_TRUE(listener.has_value()) << listener.error().message;
  const testing::OrdinaryUser user;
  World world;
  world.dial(address);
  ASSERT_TRUE(world.outcome.error.has_value());
  EXPECT_EQ(world.outcome.error->kind, TransportErrorKind::permission);
  EXPECT_NE(world.outcome.error->message.find("0400"), std::string::npos);
}

TEST(Connector, without_descriptors_the_dial_fails) {
  const auto listener = Listener::listen(tcp("127.0.0.1"));
  ASSERT_TRUE(listener.has_value());
  World world;
  const testing::DescriptorsLeft scarce(0);
  world.dial(listener->address());
  ASSERT_TRUE(world.outcome.error.has_value());
  EXPECT_EQ(world.outcome.error->kind, TransportErrorKind::out_of_resources);
}

TEST(Connector, a_full_unix_queue_is_told_apart) {
  const auto listener = Listener::listen(abstract("valkyrie-full-"), {.backlog = 0});
  ASSERT_TRUE(listener.has_value());
  World first;
  first.dial(listener->address());
  World second;
  second.dial(listener->address());
  ASSERT_TRUE(second.outcome.error.has_value());
  EXPECT_EQ(second.outcome.error->kind, TransportErrorKind::out_of_resources);
  EXPECT_NE(second.outcome.error->message.find("full"), std::string::npos);
}

TEST(Connector, an_unknown_host_fails_without_blocking_the_reactor) {
  World world;
  world.dial(tcp("no-such-host.invalid", 1));
  ASSERT_TRUE(world.outcome.error.has_value());
  EXPECT_EQ(world.outcome.error->kind, TransportErrorKind::not_found);
}

TEST(Connector, giving_up_while_the_resolver_works_is_safe) {
  const auto reactor = std::move(Reactor::create().value());
  Outcome outcome;
  {
    Connector connector(*reactor, outcome);
    connector.start(tcp("no-such-host.invalid", 1));
  }
  reactor->turn(Duration{0});
  EXPECT_EQ(outcome.calls, 0);
}

TEST(Connector, a_listener_that_never_answers_times_out) {
  // A full queue of one: the kernel ignores further SYNs.
  const Listener listener = Listener::listen(tcp("127.0.0.1"), {.backlog = 0}).value();
  const SocketAddress target = resolve(listener.address())->front();
  std::vector<Socket> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    static_cast<void>(::connect(fillers.back().fd(), target.get(), target.size));
  }
  virtual_now = Instant{std::chrono::seconds{1}};
  const auto reactor = std::move(Reactor::create(virtual_clock).value());
  Outcome outcome;
  Connector connector(*reactor, outcome);
  connector.start(listener.address());
  reactor->turn(Duration{0});
  EXPECT_EQ(outcome.calls, 0);
  virtual_now += std::chrono::milliseconds{4999};
  reactor->turn(Duration{0});
  EXPECT_EQ(outcome.calls, 0);
  virtual_now += std::chrono::milliseconds{1};
  reactor->turn(Duration{0});
  ASSERT_TRUE(outcome.error.has_value());
  EXPECT_EQ(outcome.error->kind, TransportErrorKind::timed_out);
}

TEST(Connector, the_handler_may_destroy_the_connector) {
  const Listener listener = Listener::listen(tcp("127.0.0.1")).value();
  World world;
  world.outcome.then = [&] { world.connector.reset(); };
  world.dial(listener.address());
  EXPECT_FALSE(world.connector.has_value());
  world.reactor->turn(Duration{0});
}

}  // namespace
}  // namespace valkyrie::transport
