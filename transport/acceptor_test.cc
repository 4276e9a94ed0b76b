#include "transport/acceptor.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "transport/listener.h"

namespace valkyrie::transport {
namespace {

using protocol::Duration;
using protocol::Instant;
using std::chrono::milliseconds;

Instant virtual_now{};
Instant virtual_clock() { return virtual_now; }

int refused_with = 0;  // errno of the next accepts; 0 accepts.
int refusals = 0;
int accept_or_refuse(int fd, sockaddr* address, socklen_t* size, int flags) {
  if (refused_with == 0) return ::accept4(fd, address, size, flags);
  ++refusals;
  errno = refused_with;
  return -1;
}

struct Door final : AcceptHandler {
  std::vector<Socket> accepted;
  std::size_t limit = 1000;
  int pauses = 0;
  void on_accepted(Socket socket) override { accepted.push_back(std::move(socket)); }
  bool may_accept() override { return accepted.size() < limit; }
  void on_accept_paused(std::error_code) override { ++pauses; }
};

Socket dial(const Address& address) {
  const SocketAddress target = resolve(address)->front();
  Socket socket(::socket(target.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(socket.fd(), target.get(), target.size), 0);
  return socket;
}

class Accepting : public ::testing::Test {
 protected:
  Accepting()
      : reactor_(std::move(Reactor::create(virtual_clock).value())),
        listener_(Listener::listen({.kind = AddressKind::tcp, .host = "127.0.0.1"}).value()),
        acceptor_(*reactor_, listener_.fd(0), /*shared=*/false, door_,
                  {.accept = accept_or_refuse}) {
    refused_with = 0;
    refusals = 0;
    EXPECT_TRUE(acceptor_.start().has_value());
  }
  std::unique_ptr<Reactor> reactor_;
  Listener listener_;
  Door door_;
  Acceptor acceptor_;
};

TEST_F(Accepting, connections_are_tuned_and_close_on_exec) {
  const Socket client = dial(listener_.address());
  reactor_->turn(Duration{-1});
  ASSERT_EQ(door_.accepted.size(), 1u);
  const int fd = door_.accepted[0].fd();
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  int value = 0;
  socklen_t size = sizeof value;
  ::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size);
  EXPECT_NE(value, 0);
  ::getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &value, &size);
  EXPECT_EQ(value, 128 << 10);
  ::getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &size);
  EXPECT_NE(value, 0);
}

TEST_F(Accepting, running_out_of_descriptors_pauses_without_spinning_until_the_timer) {
  const Socket client = dial(listener_.address());
  for (const int cause : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
    refused_with = cause;
    refusals = 0;
    const int pauses = door_.pauses;
    reactor_->turn(Duration{0});
    for (int i = 0; i < 10; ++i) reactor_->turn(Duration{0});
    EXPECT_EQ(refusals, 1) << "a full process must not be asked again and again";
    EXPECT_TRUE(acceptor_.paused());
    EXPECT_EQ(door_.pauses, pauses + 1);
    virtual_now += milliseconds{100};
    reactor_->turn(Duration{0});
    EXPECT_FALSE(acceptor_.paused());
  }
  EXPECT_EQ(acceptor_.stats().pauses, 4u);
  refused_with = 0;
  reactor_->turn(Duration{-1});
  EXPECT_EQ(door_.accepted.size(), 1u);
}

TEST_F(Accepting, a_closed_connection_resumes_at_once) {
  const Socket client = dial(listener_.address());
  refused_with = EMFILE;
  reactor_->turn(Duration{-1});
  ASSERT_TRUE(acceptor_.paused());
  refused_with = 0;
  acceptor_.connection_closed();
  reactor_->turn(Duration{-1});
  EXPECT_EQ(door_.accepted.size(), 1u);
}

TEST_F(Accepting, the_handlers_limit_holds_exactly) {
  door_.limit = 2;
  std::vector<Socket> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(dial(listener_.address()));
  for (int i = 0; i < 5; ++i) reactor_->turn(Duration{0});
  EXPECT_EQ(door_.accepted.size(), 2u);
  EXPECT_TRUE(acceptor_.paused());
  EXPECT_EQ(acceptor_.stats().pauses, 0u) << "a limit is no lack of descriptors";
  door_.accepted.pop_back();
  acceptor_.connection_closed();
  reactor_->turn(Duration{-1});
  EXPECT_EQ(door_.accepted.size(), 2u);
}

TEST_F(Accepting, a_connection_lost_before_it_was_accepted_is_nothing) {
  const Socket client = dial(listener_.address());
  refused_with = ECONNABORTED;
  reactor_->turn(Duration{-1});
  EXPECT_FALSE(acceptor_.paused());
  EXPECT_LE(refusals, Acceptor::kAcceptsPerTurn);
  refused_with = 0;
  reactor_->turn(Duration{-1});
  EXPECT_EQ(door_.accepted.size(), 1u);
}

TEST_F(Accepting, a_stopped_acceptor_accepts_nothing) {
  acceptor_.stop();
  acceptor_.stop();
  const Socket client = dial(listener_.address());
  reactor_->turn(Duration{0});
  acceptor_.connection_closed();
  reactor_->turn(Duration{0});
  EXPECT_TRUE(door_.accepted.empty());
}

TEST(SharedListener, each_of_two_shards_can_accept_from_one_queue) {
  const Address address{.kind = AddressKind::unix_abstract,
                        .host = {},
                        .port = 0,
                        .path = "valkyrie-accept-" + std::to_string(::getpid())};
  Listener listener = Listener::listen(address, {.shards = 2}).value();
  std::array<Door, 2> doors;
  std::vector<std::unique_ptr<Reactor>> reactors;
  std::vector<std::unique_ptr<Acceptor>> acceptors;
  for (std::size_t i = 0; i < 2; ++i) {
    reactors.push_back(std::move(Reactor::create().value()));
    acceptors.push_back(
        std::make_unique<Acceptor>(*reactors[i], listener.fd(i), listener.shared(), doors[i]));
    ASSERT_TRUE(acceptors[i]->start().has_value());
  }
  const Socket first = dial(address);
  const Socket second = dial(address);
  reactors[0]->turn(Duration{0});
  reactors[1]->turn(Duration{0});
  EXPECT_EQ(doors[0].accepted.size(), 1u);
  EXPECT_EQ(doors[1].accepted.size(), 1u);
  acceptors.clear();
}

// The real thing: a process that has used up its descriptors lives, and accepts again when one of
// its connections closes.
int run_out_of_descriptors() {
  const auto reactor = std::move(Reactor::create().value());
  Listener listener = Listener::listen({.kind = AddressKind::tcp, .host = "127.0.0.1"}).value();
  Door door;
  Acceptor acceptor(*reactor, listener.fd(0), false, door);
  if (!acceptor.start()) return 2;
  std::vector<Socket> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(dial(listener.address()));
  const auto highest = static_cast<rlim_t>(clients.back().fd());
  const rlimit limit{.rlim_cur = highest + 3, .rlim_max = highest + 3};  // Room for two more.
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return 3;
  while (!acceptor.paused()) reactor->turn(Duration{-1});
  if (door.accepted.size() != 2) return 4;
  door.accepted.pop_back();
  acceptor.connection_closed();
  reactor->turn(Duration{-1});
  return door.accepted.size() == 2 ? 0 : 5;
}

TEST(Acceptor, a_process_out_of_descriptors_lives_and_accepts_again) {
  EXPECT_EXIT(std::_Exit(run_out_of_descriptors()), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace valkyrie::transport
