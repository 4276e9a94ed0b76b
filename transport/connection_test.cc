#include "transport/connection.h"

#include <algorithm>
#include <array>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "protocol/buffer_pool.h"
#include "protocol/frame.h"
#include "protocol/metadata.h"
#include "transport/listener.h"

namespace valkyrie::transport {
namespace {

using protocol::CloseCode;
using protocol::Duration;
using protocol::Event;
using protocol::EventType;
using protocol::Instant;
using protocol::Role;
using std::chrono::milliseconds;
using std::chrono::seconds;

Instant virtual_now{seconds{100}};
// What happens after the kernel has said what is ready, and before the turn looks at the clock.
std::function<void()> before_clock;
Instant virtual_clock() {
  if (before_clock) std::exchange(before_clock, nullptr)();
  return virtual_now;
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

struct SocketPair {
  SocketPair() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    a = Socket(fds[0]);
    b = Socket(fds[1]);
    tune_stream(a.fd(), {});
    tune_stream(b.fd(), {});
  }
  Socket a;
  Socket b;
};

// Remembers what happened to a connection.
struct Log final : ConnectionHandler {
  std::vector<EventType> events;
  std::vector<std::string> responses;
  std::optional<CloseReason> reason;
  int closed = 0;
  std::function<void(Connection&, const Event&)> on = [](Connection&, const Event&) {};
  std::function<void()> on_end = [] {};

  void on_event(Connection& connection, const Event& event) override {
    EXPECT_EQ(closed, 0) << "on_closed() is the last call";
    events.push_back(event.type);
    if (event.type == EventType::response) {
      responses.emplace_back(reinterpret_cast<const char*>(event.payload.data()),
                             event.payload.size());
    }
    on(connection, event);
  }
  void on_closed(Connection&, const CloseReason& why) override {
    ++closed;
    reason = why;
    on_end();
  }
  [[nodiscard]] std::size_t count(EventType type) const {
    return static_cast<std::size_t>(std::ranges::count(events, type));
  }
};

// One reactor on a virtual clock, with the things connections need.
struct World {
  std::unique_ptr<Connection> connect(Socket socket, Role role, Log& log,
                                      HalfOpenConnections* half_open = nullptr) {
    auto made = std::make_unique<Connection>(*reactor, std::move(socket), role, config, pool, log,
                                             ConnectionOptions{}, half_open);
    EXPECT_TRUE(made->start().has_value());
    return made;
  }
  void turn(int turns = 20) {
    for (int i = 0; i < turns; ++i) reactor->turn(Duration{0});
  }
  void advance(Duration by) {
    virtual_now += by;
    turn();
  }
  protocol::BufferPool pool;
  protocol::SessionConfig config;
  std::unique_ptr<Reactor> reactor = std::move(Reactor::create(virtual_clock).value());
};

// A dialer and an acceptor on one reactor, greeted; the acceptor echoes.
struct Greeted : World {
  Greeted() {
    SocketPair pair;
    dialer_fd = pair.a.fd();
    dialer = connect(std::move(pair.a), Role::dialer, dialer_log);
    acceptor = connect(std::move(pair.b), Role::acceptor, acceptor_log);
    acceptor_log.on = [](Connection& connection, const Event& event) {
      if (event.type != EventType::request) return;
      auto& session = connection.session();
      EXPECT_TRUE(
          session.send_response(event.stream, event.correlation, {.payload = event.payload}));
      session.consume(event.stream, event.cost);
    };
    turn();
    EXPECT_EQ(dialer_log.count(EventType::ready), 1u);
    EXPECT_EQ(acceptor_log.count(EventType::ready), 1u);
  }
  std::uint32_t open_call() {
    std::array<std::byte, 64> buffer;
    protocol::MetadataWriter writer(buffer);
    writer.service("test.Echo");
    return dialer->session()
        .open_stream(protocol::StreamKind::call, 0, {.metadata = *writer.finish()}, 0)
        .value();
  }
  int dialer_fd = -1;
  Log dialer_log;
  Log acceptor_log;
  std::unique_ptr<Connection> dialer;
  std::unique_ptr<Connection> acceptor;
};

// An accepted connection and the bare socket of its peer.
struct Accepted : World {
  Accepted() {
    SocketPair pair;
    peer = std::move(pair.a);
    connection = connect(std::move(pair.b), Role::acceptor, log);
    turn();
  }
  void put(std::string_view text) {
    ASSERT_EQ(::write(peer.fd(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    turn();
  }
  // What the connection sent, or nullopt when it neither sent nor closed.
  std::optional<std::string> take() {
    std::string text(4096, '\0');
    const ssize_t got = ::read(peer.fd(), text.data(), text.size());
    if (got < 0) return std::nullopt;
    text.resize(static_cast<std::size_t>(got));
    return text;
  }
  Log log;
  Socket peer;
  std::unique_ptr<Connection> connection;
};

// What a dialer says, caught on its way.
struct Spoken {
  Spoken() {
    World world;
    Log log;
    SocketPair pair;
    const auto dialer = world.connect(std::move(pair.a), Role::dialer, log);
    world.turn();
    hello = read_all(pair.b);
    dialer->session().close(CloseCode::forbidden);
    world.turn();
    goaway = read_all(pair.b);
  }
  static std::string read_all(const Socket& socket) {
    std::string text(4096, '\0');
    const ssize_t got = ::read(socket.fd(), text.data(), text.size());
    EXPECT_GT(got, 20);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }
  std::string hello;
  std::string goaway;
};

TEST(Connection, a_call_goes_through_and_comes_back) {
  Greeted world;
  const std::uint32_t stream = world.open_call();
  ASSERT_TRUE(world.dialer->session().send_request(stream, {.payload = bytes_of("hello")}));
  world.turn();
  EXPECT_EQ(world.dialer_log.responses, std::vector<std::string>{"hello"});
}

TEST(Connection, many_large_calls_pass_a_socket_that_takes_a_little_at_a_time) {
  Greeted world;
  const std::uint32_t stream = world.open_call();
  const std::string payload(200'000, 'p');
  constexpr std::size_t kCalls = 20;
  world.dialer_log.on = [](Connection& connection, const Event& event) {
    if (event.type == EventType::response) connection.session().consume(event.stream, event.cost);
  };
  std::size_t sent = 0;
  while (world.dialer_log.responses.size() < kCalls) {
    while (sent < kCalls &&
           world.dialer->session().send_request(stream, {.payload = bytes_of(payload)})) {
      ++sent;
    }
    world.turn(1);
  }
  for (const std::string& response : world.dialer_log.responses) EXPECT_TRUE(response == payload);
}

TEST(Connection, a_unix_peer_is_known_by_its_credentials) {
  Accepted world;
  ASSERT_TRUE(world.connection->peer_credentials().has_value());
  EXPECT_EQ(world.connection->peer_credentials()->uid, ::geteuid());
  EXPECT_NE(world.connection->peer_name().find("uid"), std::string::npos);
}

TEST(Connection, bytes_of_another_protocol_close_in_silence_with_their_name) {
  const std::vector<std::pair<std::string_view, std::string_view>> cases{
      {"GET / HTTP/1.1\r\n\r\n", "http_bytes"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http_bytes"},
      {"\x16\x03\x01\x02", "tls_bytes"},
      {"VN\x01\x01", "noise_bytes"},
      {"\xde\xad\xbe\xef", "garbage"},
      {"SSH-2.0-x", "http_bytes"},
      {"ssh", "garbage"}};
  for (const auto& [bytes, word] : cases) {
    Accepted world;
    world.put(bytes);
    ASSERT_EQ(world.log.closed, 1) << word;
    EXPECT_EQ(to_string(*world.log.reason), word);
    EXPECT_TRUE(world.log.reason->local);
    EXPECT_NE(world.take().value_or("").substr(0, 2), "VK") << "nothing is said to a stranger";
    EXPECT_EQ(world.log.count(EventType::ready), 0u);
  }
}

TEST(Connection, the_door_is_found_from_single_bytes) {
  Accepted world;
  world.put("V");
  EXPECT_EQ(world.log.closed, 0);
  world.put("N");
  ASSERT_EQ(world.log.closed, 1);
  EXPECT_EQ(world.log.reason->cause, CloseCause::noise_bytes);
}

TEST(Connection, a_hello_in_single_bytes_is_understood) {
  const Spoken spoken;
  Accepted world;
  for (const char byte : spoken.hello) world.put(std::string_view(&byte, 1));
  EXPECT_EQ(world.log.count(EventType::ready), 1u);
}

TEST(Connection, a_silent_peer_is_closed_when_the_door_stays_undecided_for_five_seconds) {
  for (const std::string_view bytes : {"", "V", "\x16"}) {
    Accepted world;
    if (!bytes.empty()) world.put(bytes);
    world.advance(milliseconds{4999});
    EXPECT_EQ(world.log.closed, 0);
    world.advance(milliseconds{1});
    ASSERT_EQ(world.log.closed, 1);
    EXPECT_EQ(world.log.reason->cause, CloseCause::door_timeout);
    EXPECT_EQ(world.take(), "");
  }
}

TEST(Connection, a_hello_that_never_ends_is_a_handshake_timeout_that_is_said) {
  Accepted world;
  world.put("VK");
  world.advance(milliseconds{9999});
  EXPECT_EQ(world.log.closed, 0);
  world.advance(milliseconds{1});
  const std::string said = world.take().value_or("");
  ASSERT_GE(said.size(), 26u);
  EXPECT_EQ(said.substr(0, 2), "VK");
  EXPECT_EQ(said[3], static_cast<char>(protocol::FrameType::goaway));
  EXPECT_EQ(world.take(), "") << "the last byte is followed by the end";
  world.peer.close();
  world.turn();
  ASSERT_EQ(world.log.closed, 1);
  EXPECT_EQ(to_string(*world.log.reason), "handshake_timeout");
}

TEST(Connection, too_many_silent_peers_cost_the_oldest_its_place) {
  World world;
  HalfOpenConnections half_open(3);
  std::array<Log, 5> logs;
  std::vector<Socket> peers;
  std::vector<std::unique_ptr<Connection>> connections;
  for (Log& log : logs) {
    SocketPair pair;
    peers.push_back(std::move(pair.a));
    connections.push_back(world.connect(std::move(pair.b), Role::acceptor, log, &half_open));
    world.turn(1);
  }
  EXPECT_EQ(half_open.size(), 3u);
  EXPECT_EQ(half_open.evicted(), 2u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(logs[i].closed, i < 2 ? 1 : 0) << i;
  EXPECT_EQ(to_string(*logs[0].reason), "half_open_limit");

  Log dialer_log;  // A greeted connection leaves the crowd.
  const auto dialer = world.connect(std::move(peers[2]), Role::dialer, dialer_log);
  world.turn();
  EXPECT_EQ(logs[2].count(EventType::ready), 1u);
  EXPECT_EQ(half_open.size(), 2u);
  connections.clear();
  EXPECT_EQ(half_open.size(), 0u);
}

TEST(Connection, a_peer_that_vanishes_ends_its_calls_and_then_the_connection) {
  Greeted world;
  const std::uint32_t stream = world.open_call();
  ASSERT_TRUE(world.dialer->session().send_request(stream, {.payload = bytes_of("x")}));
  world.acceptor_log.on = [](Connection&, const Event&) {};  // Never answers.
  world.turn();
  world.acceptor.reset();
  world.turn();
  EXPECT_EQ(world.dialer_log.count(EventType::request_failed), 1u);
  ASSERT_EQ(world.dialer_log.closed, 1);
  EXPECT_EQ(world.dialer_log.events.back(), EventType::closed);
  EXPECT_EQ(to_string(*world.dialer_log.reason), "eof");
}

TEST(Connection, the_reason_of_a_close_reaches_a_peer_that_is_still_sending) {
  Greeted world;
  const std::uint32_t stream = world.open_call();
  const std::string bulk(150'000, 'b');
  for (int i = 0; i < 4; ++i) {
    static_cast<void>(world.dialer->session().send_request(stream, {.payload = bytes_of(bulk)}));
  }
  world.acceptor->session().close(CloseCode::forbidden, "not you");
  world.turn();
  ASSERT_EQ(world.dialer_log.closed, 1);
  EXPECT_EQ(to_string(*world.dialer_log.reason), "forbidden");
  EXPECT_FALSE(world.dialer_log.reason->local);
  ASSERT_EQ(world.acceptor_log.closed, 1);
  EXPECT_EQ(to_string(*world.acceptor_log.reason), "forbidden");
  EXPECT_TRUE(world.acceptor_log.reason->local);
}

TEST(Connection, a_peer_that_never_ends_gets_the_lingering_time_and_no_more) {
  World world;
  SocketPair pair;
  Log log;
  const auto stuck = world.connect(std::move(pair.a), Role::dialer, log);
  world.turn();
  stuck->session().close(CloseCode::none);
  world.turn();
  world.advance(milliseconds{1999});
  EXPECT_EQ(log.closed, 0);
  world.advance(milliseconds{1});
  EXPECT_EQ(log.closed, 1);
}

TEST(Connection, an_aborted_connection_ends_its_session_and_says_nothing) {
  Greeted world;
  world.dialer->abort();
  world.dialer->abort();
  EXPECT_EQ(world.dialer_log.closed, 0) << "never inside the call";
  world.turn(1);
  ASSERT_EQ(world.dialer_log.closed, 1);
  EXPECT_EQ(to_string(*world.dialer_log.reason), "aborted");
  EXPECT_EQ(world.dialer_log.events.back(), EventType::closed);
  world.turn();
  EXPECT_EQ(to_string(*world.acceptor_log.reason), "eof");
}

TEST(Connection, a_handler_may_abort_inside_an_event) {
  Greeted world;
  world.acceptor_log.on = [](Connection& connection, const Event& event) {
    if (event.type == EventType::request) connection.abort();
  };
  const std::uint32_t stream = world.open_call();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(world.dialer->session().send_request(stream, {.payload = bytes_of("x")}));
  }
  world.turn();
  EXPECT_EQ(world.acceptor_log.closed, 1);
  EXPECT_EQ(world.dialer_log.closed, 1);
  EXPECT_EQ(world.dialer_log.count(EventType::request_failed), 3u);
}

TEST(Connection, a_handler_may_destroy_the_connection_in_its_last_call) {
  Greeted world;
  world.dialer_log.on_end = [&] { world.dialer.reset(); };
  world.acceptor_log.on_end = [&] { world.acceptor.reset(); };
  world.dialer->session().close(CloseCode::none);
  world.turn();
  EXPECT_EQ(world.dialer, nullptr);
  EXPECT_EQ(world.acceptor, nullptr);
}

TEST(Connection, a_destroyed_connection_calls_nothing_more) {
  Greeted world;
  static_cast<void>(world.dialer->session());
  world.dialer.reset();
  const std::size_t events = world.dialer_log.events.size();
  world.turn();
  EXPECT_EQ(world.dialer_log.events.size(), events);
  EXPECT_EQ(world.dialer_log.closed, 0);
}

TEST(Connection, an_orderly_drain_closes_both_sides) {
  Greeted world;
  world.acceptor->session().drain(seconds{5}, virtual_now);
  world.turn();
  EXPECT_EQ(world.dialer_log.count(EventType::goaway), 1u);
  EXPECT_EQ(world.acceptor_log.closed, 1);
  EXPECT_EQ(world.dialer_log.closed, 1);
  EXPECT_EQ(to_string(*world.dialer_log.reason), "draining");
}

TEST(Connection, an_idle_connection_is_kept_alive_and_owns_no_output_memory) {
  Greeted world;
  for (int i = 0; i < 10; ++i) world.advance(seconds{30});
  EXPECT_EQ(world.dialer_log.closed, 0);
  EXPECT_EQ(world.acceptor_log.closed, 0);
  EXPECT_EQ(world.pool.in_use(), 0u);
}

TEST(Connection, a_peer_that_is_silent_for_three_keepalive_intervals_is_dead) {
  World here;
  World there;  // Turned for the hello, and then never again.
  Log log;
  Log other;
  SocketPair pair;
  const auto connection = here.connect(std::move(pair.a), Role::acceptor, log);
  const auto peer = there.connect(std::move(pair.b), Role::dialer, other);
  for (int i = 0; i < 3; ++i) {
    there.turn(1);
    here.turn(1);
  }
  ASSERT_EQ(log.count(EventType::ready), 1u);
  here.advance(seconds{60});
  here.advance(seconds{29});
  EXPECT_EQ(log.count(EventType::closed), 0u);
  here.advance(seconds{1});
  EXPECT_EQ(log.count(EventType::closed), 1u) << "told at once, not after the lingering";
  here.advance(seconds{2});
  ASSERT_EQ(log.closed, 1);
  EXPECT_EQ(to_string(*log.reason), "keepalive_timeout");
}

TEST(Connection, a_peer_is_not_blamed_for_a_pause_of_this_process) {
  Greeted world;
  // The dialer's PING comes, and this process is stopped for an hour before it has seen it.
  virtual_now += seconds{30};
  before_clock = [&] {
    world.dialer->session().ping(7);
    std::array<std::span<const std::byte>, 4> pieces;
    auto& session = world.dialer->session();
    ASSERT_EQ(session.gather(pieces, 1), 1u);
    ASSERT_GT(::write(world.dialer_fd, pieces[0].data(), pieces[0].size()), 0);
    session.written(pieces[0].size(), virtual_now);
    virtual_now += std::chrono::hours{1};
  };
  world.turn();
  EXPECT_EQ(world.acceptor_log.closed, 0);
  world.advance(seconds{30});
  EXPECT_EQ(world.acceptor_log.closed, 0) << "and the session lives on";
  EXPECT_EQ(world.dialer_log.closed, 0);
}

TEST(Connection, a_hello_that_waited_during_a_pause_is_in_time) {
  Accepted world;
  const Spoken spoken;
  before_clock = [&] {
    ASSERT_GT(::write(world.peer.fd(), spoken.hello.data(), spoken.hello.size()), 0);
    virtual_now += seconds{60};
  };
  world.turn();
  EXPECT_EQ(world.log.count(EventType::ready), 1u);
  EXPECT_EQ(world.log.closed, 0);
}

TEST(Connection, a_reader_that_went_on_during_a_pause_is_not_slow) {
  Accepted world;
  const Spoken spoken;
  world.put(spoken.hello);
  ASSERT_EQ(world.log.count(EventType::ready), 1u);
  std::string drain(1 << 20, '\0');
  // Answers to PINGs, more than the socket takes.
  std::array<std::byte, protocol::kHeaderBytes + 8> ping{};
  protocol::encode_header({.type = protocol::FrameType::ping, .body_bytes = 8},
                          std::span(ping).first<protocol::kHeaderBytes>());
  const std::string_view bytes(reinterpret_cast<const char*>(ping.data()), ping.size());
  while (!world.connection->session().has_output() || world.log.closed > 0) {
    for (int i = 0; i < 500; ++i) world.put(bytes);
    world.advance(seconds{2});
    ASSERT_EQ(world.log.closed, 0);
  }
  virtual_now += seconds{20};
  before_clock = [&] {
    while (::read(world.peer.fd(), drain.data(), drain.size()) > 0) {
    }
    ASSERT_EQ(::write(world.peer.fd(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
    virtual_now += seconds{3600};
  };
  world.turn();
  EXPECT_EQ(world.log.closed, 0) << "its end of the socket was empty";
  EXPECT_FALSE(world.connection->session().has_output());
}

TEST(Connection, the_reason_sent_before_a_peer_vanished_is_found_after_a_failed_write) {
  const Spoken spoken;
  Accepted world;
  // The peer is gone between the read and the write of one turn.
  world.log.on = [&](Connection&, const Event& event) {
    if (event.type != EventType::ready) return;
    EXPECT_GT(::write(world.peer.fd(), spoken.goaway.data(), spoken.goaway.size()), 0);
    world.peer.close();
  };
  world.put(spoken.hello);
  ASSERT_EQ(world.log.closed, 1);
  EXPECT_EQ(to_string(*world.log.reason), "forbidden");
}

TEST(Connection, a_peer_that_cannot_be_written_to_is_closed_even_if_it_never_ends) {
  const Spoken spoken;
  Accepted world;
  ::shutdown(world.peer.fd(), SHUT_RD);
  world.put(spoken.hello);
  world.advance(milliseconds{1999});
  EXPECT_EQ(world.log.closed, 0);
  world.advance(milliseconds{1});
  ASSERT_EQ(world.log.closed, 1);
  EXPECT_EQ(world.log.reason->cause, CloseCause::io_error);
  EXPECT_EQ(world.log.reason->error, std::errc::broken_pipe);
}

TEST(Connection, a_broken_connection_is_an_io_error) {
  World world;
  const auto listener = Listener::listen({.kind = AddressKind::tcp, .host = "127.0.0.1"});
  ASSERT_TRUE(listener.has_value());
  const SocketAddress target = resolve(listener->address())->front();
  Socket peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(peer.fd(), target.get(), target.size), 0);
  Log log;
  const auto connection = world.connect(
      Socket(::accept4(listener->fd(0), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)),
      Role::acceptor, log);
  EXPECT_FALSE(connection->peer_credentials().has_value());
  EXPECT_EQ(connection->peer_name().substr(0, 10), "127.0.0.1:");
  // Closing with lingering off sends a reset instead of an end.
  const linger reset{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(peer.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  peer.close();
  world.turn();
  ASSERT_EQ(log.closed, 1);
  EXPECT_EQ(to_string(*log.reason), "io_error");
  EXPECT_EQ(log.reason->error, std::errc::connection_reset);
}

TEST(Connection, a_drain_before_the_door_closes_in_silence) {
  Accepted world;
  world.connection->session().close(CloseCode::draining);
  world.turn();
  ASSERT_EQ(world.log.closed, 1);
  EXPECT_EQ(to_string(*world.log.reason), "draining");
  EXPECT_EQ(world.take(), "");
}

}  // namespace
}  // namespace valkyrie::transport
