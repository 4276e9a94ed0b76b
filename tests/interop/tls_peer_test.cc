// Our TLS channel against that of Go's standard library, with certificates on both sides.
#include <array>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <spawn.h>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/tls/testing/pair.h"

namespace valkyrie::protocol::tls {
namespace {

using testing::End;
using testing::kDay;
using testing::Wish;

// Go reads the clock of the system.
Wish now(Wish wish) {
  const std::int64_t time = std::time(nullptr);
  wish.not_before = time - kDay;
  wish.not_after = time + kDay;
  return wish;
}

class TlsPeer : public ::testing::Test {
 protected:
  TlsPeer() : authority_("root", std::time(nullptr) - kDay, std::time(nullptr) + kDay) {
    std::string name = "/tmp/valkyrie-tls-peer-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    node_ = authority_.issue(now(testing::node_wish()));
    client_ = authority_.issue(now(testing::client_wish()));
    write("ca", authority_.root());
  }
  ~TlsPeer() override {
    ::close(fd_);
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
  }

  // Starts the peer, in this role and with this certificate.
  void start(const std::string& role, const Credentials& own, const std::string& exchange) {
    write("certificate", own.certificate);
    write("key", own.key);
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
    std::vector<std::string> words{VALKYRIE_TLS_PEER, role,
                                   folder_ + "/ca",   folder_ + "/certificate",
                                   folder_ + "/key",  exchange};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    ASSERT_EQ(::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    fd_ = ends[0];
  }

  // Carries bytes between the peer and our end, until that has received `text` or failed, or the
  // peer has ended.
  void carry(End& end, std::string_view text) {
    while (!end.error && end.received.text().find(text) == std::string::npos) {
      end.collect();
      if (!end.way.empty()) send(std::exchange(end.way, {}));
      std::vector<std::byte> bytes(100'000);
      const ssize_t got = ::read(fd_, bytes.data(), bytes.size());
      if (got <= 0) return;
      bytes.resize(static_cast<std::size_t>(got));
      end.take(bytes, bytes.size());
    }
  }
  // Text of several records, which the peer cuts as it likes and sends back.
  void echo(End& end) {
    const std::string text = std::string(100'000, 'x') + "end";
    end.seal(text);
    carry(end, "xend");
    EXPECT_FALSE(end.error.has_value());
    EXPECT_TRUE(end.received.text().ends_with("\n" + text));
  }
  void send(const std::vector<std::byte>& bytes) const {
    ASSERT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  std::unique_ptr<Acceptor> acceptor(bool require_pq) {
    auto made = Acceptor::make({.own = node_,
                                .client_roots = authority_.root(),
                                .client = ClientCertificate::required,
                                .require_pq = require_pq,
                                .clock = [] { return std::time(nullptr); }});
    EXPECT_TRUE(made.has_value());
    return std::move(*made);
  }
  std::unique_ptr<Dialer> dialer() {
    auto made = Dialer::make(
        {.roots = authority_.root(), .own = client_, .clock = [] { return std::time(nullptr); }});
    EXPECT_TRUE(made.has_value());
    return std::move(*made);
  }

  testing::Authority authority_;
  Credentials node_;
  Credentials client_;
  std::string folder_;
  pid_t pid_ = -1;
  int fd_ = -1;
};

TEST_F(TlsPeer, of_go_dials_us_by_the_hybrid_exchange) {
  const auto ours = acceptor(/*require_pq=*/true);
  End end{.channel = ours->accept()};
  start("dialer", client_, "hybrid");
  carry(end, "\n");
  ASSERT_TRUE(end.open());
  EXPECT_TRUE(end.tls().hybrid());
  EXPECT_EQ(end.channel->subject(), "spiffe://valkyrie.test/client");
  EXPECT_EQ(end.received.text(), "TLS 1.3 X25519MLKEM768 valkyrie/2 [localhost][]\n");
  echo(end);
}

TEST_F(TlsPeer, of_go_is_dialed_by_us_by_the_hybrid_exchange) {
  const auto ours = dialer();
  End end{.channel = ours->dial("localhost")};
  start("acceptor", node_, "hybrid");
  carry(end, "\n");
  ASSERT_TRUE(end.open());
  EXPECT_TRUE(end.tls().hybrid());
  EXPECT_EQ(end.channel->subject(), "dns:localhost");
  EXPECT_EQ(end.received.text(),
            "TLS 1.3 X25519MLKEM768 valkyrie/2 [][spiffe://valkyrie.test/client]\n");
  echo(end);
}

TEST_F(TlsPeer, that_is_classical_is_taken_where_it_may_be) {
  const auto ours = acceptor(/*require_pq=*/false);
  End end{.channel = ours->accept()};
  start("dialer", client_, "classical");
  carry(end, "\n");
  ASSERT_TRUE(end.open());
  EXPECT_FALSE(end.tls().hybrid());
}

TEST_F(TlsPeer, that_is_classical_is_refused_where_it_may_not_be) {
  const auto ours = acceptor(/*require_pq=*/true);
  End end{.channel = ours->accept()};
  start("dialer", client_, "classical");
  carry(end, "\n");
  EXPECT_EQ(end.error, ChannelError::pq_required);
}

TEST_F(TlsPeer, that_says_goodbye_has_ended_without_an_error) {
  const auto ours = dialer();
  End end{.channel = ours->dial("localhost")};
  start("acceptor", node_, "hybrid");
  carry(end, "\n");
  ASSERT_TRUE(end.open());
  ::shutdown(fd_, SHUT_WR);  // It closes, with close_notify.
  carry(end, "never said");
  EXPECT_FALSE(end.error.has_value());
}

}  // namespace
}  // namespace valkyrie::protocol::tls
