#include "transport/listener.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "transport/scarcity.h"

namespace valkyrie::transport {
namespace {

namespace fs = std::filesystem;

// A directory of its own for each test.
class Listening : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "valkyrie-listener-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override {
    fs::permissions(directory_, fs::perms::owner_all);
    fs::remove_all(directory_);
  }
  Address socket_at(const std::string& name) const {
    return {.kind = AddressKind::unix_path, .host = {}, .port = 0, .path = directory_ / name};
  }
  fs::path directory_;
};

Address loopback(std::uint16_t port = 0) {
  return {.kind = AddressKind::tcp, .host = "127.0.0.1", .port = port, .path = {}};
}

// Whether somebody takes a connection there.
bool connects(const Address& address) {
  const SocketAddress target = resolve(address)->front();
  const Socket socket(::socket(target.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(socket.fd(), target.get(), target.size) == 0;
}

mode_t mode_of(const fs::path& path) {
  struct stat found{};
  EXPECT_EQ(::stat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777;
}

TEST(TcpListener, port_zero_takes_a_free_port_and_tells_it) {
  const auto listener = Listener::listen(loopback());
  ASSERT_TRUE(listener.has_value());
  EXPECT_NE(listener->address().port, 0);
  EXPECT_FALSE(listener->shared());
  EXPECT_TRUE(connects(listener->address()));
}

TEST(TcpListener, each_shard_has_a_socket_on_the_same_port) {
  const auto listener = Listener::listen(loopback(), {.shards = 4});
  ASSERT_TRUE(listener.has_value()) << listener.error().message;
  for (std::size_t shard = 0; shard < 4; ++shard) {
    int listening = 0;
    socklen_t size = sizeof listening;
    ::getsockopt(listener->fd(shard), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
    EXPECT_EQ(listening, 1);
    EXPECT_NE(::fcntl(listener->fd(shard), F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_NE(listener->fd(0), listener->fd(1));
}

TEST(TcpListener, a_port_in_use_is_named_even_if_its_user_shares_it) {
  const auto first = Listener::listen(loopback(), {.shards = 2});
  ASSERT_TRUE(first.has_value());
  const auto second = Listener::listen(first->address(), {.shards = 2});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, TransportErrorKind::in_use);
  EXPECT_NE(second.error().message.find(to_string(first->address())), std::string::npos);
  EXPECT_NE(second.error().message.find("--listen"), std::string::npos);
}

TEST(TcpListener, a_port_is_free_again_when_the_listener_is_gone) {
  Address address;
  {
    const auto listener = Listener::listen(loopback(), {.shards = 2});
    ASSERT_TRUE(listener.has_value());
    address = listener->address();
    EXPECT_TRUE(connects(address));
  }
  EXPECT_TRUE(Listener::listen(address, {.shards = 2}).has_value());
}

TEST(TcpListener, a_port_below_1024_needs_privileges) {
  const testing::OrdinaryUser user;
  const auto listener = Listener::listen(loopback(1));
  if (listener) GTEST_SKIP() << "this system lets everybody listen on low ports";
  EXPECT_EQ(listener.error().kind, TransportErrorKind::permission);
  EXPECT_NE(listener.error().message.find("1024"), std::string::npos);
}

TEST(TcpListener, an_address_of_another_machine_or_a_name_is_refused) {
  Address elsewhere = loopback();
  elsewhere.host = "192.0.2.1";
  const auto foreign = Listener::listen(elsewhere);
  ASSERT_FALSE(foreign.has_value());
  EXPECT_EQ(foreign.error().kind, TransportErrorKind::unreachable);
  elsewhere.host = "node.example";
  const auto name = Listener::listen(elsewhere);
  ASSERT_FALSE(name.has_value());
  EXPECT_EQ(name.error().kind, TransportErrorKind::bad_address);
}

TEST_F(Listening, a_socket_gets_its_mode_whatever_the_umask_and_its_directory_is_private) {
  const mode_t before = ::umask(0077);
  const Address open = socket_at("new/open.sock");
  const auto listener = Listener::listen(open, {.shards = 2, .unix_mode = 0666});
  ::umask(0);
  const Address closed = socket_at("new/closed.sock");
  const auto strict = Listener::listen(closed);
  ::umask(before);
  ASSERT_TRUE(listener.has_value()) << listener.error().message;
  ASSERT_TRUE(strict.has_value());
  EXPECT_EQ(mode_of(open.path), 0666u);
  EXPECT_EQ(mode_of(closed.path), 0600u);
  EXPECT_EQ(mode_of(directory_ / "new"), 0700u);
  EXPECT_TRUE(listener->shared());
  EXPECT_TRUE(connects(open));
}

TEST_F(Listening, closing_leaves_no_file_behind) {
  {
    ASSERT_TRUE(Listener::listen(socket_at("node.sock")).has_value());
  }
  EXPECT_TRUE(fs::is_empty(directory_));
}

TEST_F(Listening, a_socket_of_a_running_node_is_in_use_and_stays) {
  const Address address = socket_at("node.sock");
  const auto running = Listener::listen(address);
  ASSERT_TRUE(running.has_value());
  const auto second = Listener::listen(address);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, TransportErrorKind::in_use);
  EXPECT_NE(second.error().message.find(address.path), std::string::npos);
  EXPECT_NE(second.error().message.find("running node"), std::string::npos);
  EXPECT_TRUE(connects(address));
}

TEST_F(Listening, a_socket_of_a_program_without_a_lock_is_in_use_too) {
  const Address address = socket_at("node.sock");
  const SocketAddress target = resolve(address)->front();
  const Socket foreign(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(foreign.fd(), target.get(), target.size), 0);
  ASSERT_EQ(::listen(foreign.fd(), 1), 0);
  const auto second = Listener::listen(address);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, TransportErrorKind::in_use);
  EXPECT_TRUE(connects(address));
  EXPECT_FALSE(fs::exists(address.path + ".lock"));
}

TEST_F(Listening, a_stale_socket_and_a_stale_lock_are_replaced) {
  const Address address = socket_at("node.sock");
  const SocketAddress target = resolve(address)->front();
  {
    const Socket dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(dead.fd(), target.get(), target.size), 0);
  }
  std::ofstream(address.path + ".lock") << "left by a node that was killed";
  ASSERT_FALSE(connects(address));
  const auto listener = Listener::listen(address);
  ASSERT_TRUE(listener.has_value()) << listener.error().message;
  EXPECT_TRUE(connects(address));
}

TEST_F(Listening, a_file_that_is_no_socket_is_not_removed) {
  const Address address = socket_at("precious");
  std::ofstream(address.path) << "data";
  const auto listener = Listener::listen(address);
  ASSERT_FALSE(listener.has_value());
  EXPECT_NE(listener.error().message.find("no socket"), std::string::npos);
  EXPECT_EQ(fs::file_size(address.path), 4u);
}

TEST_F(Listening, missing_directories_beyond_the_last_are_an_error) {
  const auto listener = Listener::listen(socket_at("a/b/node.sock"));
  ASSERT_FALSE(listener.has_value());
  EXPECT_EQ(listener.error().kind, TransportErrorKind::no_path);
  EXPECT_NE(listener.error().message.find((directory_ / "a/b").string()), std::string::npos);
}

TEST_F(Listening, an_unwritable_directory_is_named_with_its_permissions) {
  fs::permissions(directory_, fs::perms(0555));
  const testing::OrdinaryUser user;
  for (const char* name : {"node.sock", "new/node.sock"}) {
    const auto listener = Listener::listen(socket_at(name));
    ASSERT_FALSE(listener.has_value());
    EXPECT_EQ(listener.error().kind, TransportErrorKind::permission);
    EXPECT_NE(listener.error().message.find(directory_.string()), std::string::npos);
    EXPECT_NE(listener.error().message.find("--listen"), std::string::npos);
  }
  EXPECT_NE(Listener::listen(socket_at("node.sock")).error().message.find("0555"),
            std::string::npos);
}

TEST_F(Listening, too_long_a_path_is_refused_before_anything_is_made) {
  const auto listener = Listener::listen(socket_at(std::string(100, 'n')));
  ASSERT_FALSE(listener.has_value());
  EXPECT_EQ(listener.error().kind, TransportErrorKind::bad_address);
  EXPECT_TRUE(fs::is_empty(directory_));
}

// Every step that needs a descriptor fails once.
TEST_F(Listening, without_descriptors_the_error_is_clean_and_nothing_stays_behind) {
  for (const Address& address : {socket_at("node.sock"), loopback()}) {
    unsigned left = 0;
    for (;; ++left) {
      ASSERT_LT(left, 10u);
      const auto listener = [&] {
        const testing::DescriptorsLeft scarce(left);
        return Listener::listen(address, {.shards = 3});
      }();
      if (listener) break;
      EXPECT_EQ(listener.error().kind, TransportErrorKind::out_of_resources) << left;
      EXPECT_TRUE(fs::is_empty(directory_)) << left;
    }
    EXPECT_GE(left, 3u);
  }
}

TEST_F(Listening, of_starters_at_the_same_time_exactly_one_wins) {
  const Address address = socket_at("node.sock");
  constexpr std::size_t kStarters = 8;
  std::array<std::optional<Listener>, kStarters> winners;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kStarters; ++i) {
    threads.emplace_back([&, i] {
      auto listener = Listener::listen(address);
      if (listener) winners[i] = std::move(*listener);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::ranges::count_if(winners, [](const auto& each) { return each.has_value(); }), 1);
  EXPECT_TRUE(connects(address));
}

TEST(AbstractListener, a_name_is_in_use_until_its_listener_is_gone) {
  const Address address{.kind = AddressKind::unix_abstract,
                        .host = {},
                        .port = 0,
                        .path = "valkyrie-test-" + std::to_string(::getpid())};
  {
    const auto first = Listener::listen(address, {.shards = 3});
    ASSERT_TRUE(first.has_value());
    EXPECT_TRUE(connects(address));
    const auto second = Listener::listen(address);
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().kind, TransportErrorKind::in_use);
  }
  EXPECT_TRUE(Listener::listen(address).has_value());
}

}  // namespace
}  // namespace valkyrie::transport
