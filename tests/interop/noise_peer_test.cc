// Our channel against a live peer that was written from the specification with other libraries.
#include <algorithm>
#include <csignal>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/noise/channel.h"
#include "tests/conformance/vector_file.h"

namespace valkyrie::protocol::noise {
namespace {

using conformance::hex_of;

class Collector final : public PlainSink {
 public:
  void on_plain(std::span<std::byte> bytes) override {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::string text;
};

// The peer as a process, with a socket for its input.
class Peer {
 public:
  explicit Peer(std::vector<std::string> words) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
    words.insert(words.begin(), VALKYRIE_NOISE_PEER);
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    EXPECT_EQ(::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    fd_ = ends[0];
  }
  ~Peer() {
    ::close(fd_);
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  // Writes what the handshake has to say.
  void send(Channel& channel) { send(channel.take_output()); }
  void send(const std::vector<std::byte>& bytes) {
    ASSERT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // Gives the channel what comes next; false at the end of the peer, or if the channel fails.
  bool receive(Channel& channel, PlainSink& sink) {
    std::array<std::byte, 4096> buffer;
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (got <= 0) return false;
    return channel.receive(std::span(buffer).first(static_cast<std::size_t>(got)), sink)
        .has_value();
  }
  // Lets the peer come to its end and returns its exit status.
  int finish() {
    ::shutdown(fd_, SHUT_WR);
    int status = -1;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  int fd_ = -1;
  pid_t pid_ = -1;
};

std::string hex_of_secret(const KeyPair& key) { return hex_of(key.secret.bytes()); }

class NoisePeer : public testing::TestWithParam<Suite> {
 protected:
  NoisePeer() {
    for (KeyPair* key : {&ours_, &theirs_}) {
      SecretKey secret;
      system_entropy().fill(secret.bytes());
      key->set_secret(secret.bytes());
    }
  }

  [[nodiscard]] ChannelConfig config(HandshakeRole role, std::span<const Suite> suites,
                                     Bytes psk) const {
    const bool pins = role == HandshakeRole::initiator && pattern_of(suites.front()) == Pattern::xk;
    return {.role = role,
            .suites = suites,
            .key = ours_,
            .peer = pins ? std::optional(theirs_.shared) : std::nullopt,
            .psk = psk,
            .entropy = system_entropy()};
  }

  // Opens the channel with the peer, sends it some texts and has them back.
  void talk(HandshakeRole role, Bytes psk) {
    const std::array suites = {GetParam()};
    const bool dials = role == HandshakeRole::initiator;
    const bool peer_pins = !dials && pattern_of(GetParam()) == Pattern::xk;
    Peer peer({dials ? "accept" : "dial", fmt::to_string(static_cast<unsigned>(GetParam())),
               hex_of_secret(theirs_), peer_pins ? hex_of(ours_.shared) : "-", hex_of(psk)});
    Channel channel(config(role, suites, psk));
    Collector collector;
    peer.send(channel);
    while (!channel.open()) {
      ASSERT_TRUE(peer.receive(channel, collector));
      peer.send(channel);
    }
    EXPECT_EQ(channel.peer(), theirs_.shared);
    std::string expected;
    for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, kRecordBytesMax}) {
      const std::string text(size, static_cast<char>('a' + size % 26));
      const std::array pieces = {std::as_bytes(std::span(text))};
      std::vector<std::byte> sealed;
      ASSERT_TRUE(channel.seal(pieces, sealed).has_value());
      peer.send(sealed);
      expected += text;
      while (collector.text.size() < expected.size()) {
        ASSERT_TRUE(peer.receive(channel, collector));
      }
    }
    EXPECT_EQ(collector.text, expected);
    EXPECT_EQ(peer.finish(), 0);
  }

  KeyPair ours_;
  KeyPair theirs_;
};

TEST_P(NoisePeer, takes_our_call_and_sends_back_what_we_say) { talk(HandshakeRole::initiator, {}); }

TEST_P(NoisePeer, calls_us_and_sends_back_what_we_say) { talk(HandshakeRole::responder, {}); }

class HybridNoisePeer : public NoisePeer {};

TEST_P(HybridNoisePeer, mixes_a_provisioned_psk_as_we_do) {
  const std::vector<std::byte> psk(32, std::byte{0x5A});
  talk(HandshakeRole::initiator, psk);
  talk(HandshakeRole::responder, psk);
}

TEST_P(HybridNoisePeer, with_another_psk_does_not_understand_us) {
  const std::vector<std::byte> psk(32, std::byte{0x5A});
  const std::array suites = {GetParam()};
  Peer peer({"accept", fmt::to_string(static_cast<unsigned>(GetParam())), hex_of_secret(theirs_),
             "-", hex_of(psk)});
  Channel channel(config(HandshakeRole::initiator, suites, {}));
  Collector collector;
  peer.send(channel);
  while (!channel.open() && peer.receive(channel, collector)) {
  }
  peer.send(channel);
  EXPECT_NE(peer.finish(), 0);
}

std::vector<Suite> hybrid_suites() {
  std::vector<Suite> suites(kSuites.begin(), kSuites.end());
  std::erase_if(suites, [](Suite suite) { return !is_hybrid(suite); });
  return suites;
}

std::string name_of(const testing::TestParamInfo<Suite>& suite) {
  return std::string(protocol_name(suite.param));
}

INSTANTIATE_TEST_SUITE_P(Suites, NoisePeer, testing::ValuesIn(kSuites), name_of);
INSTANTIATE_TEST_SUITE_P(Suites, HybridNoisePeer, testing::ValuesIn(hybrid_suites()), name_of);

}  // namespace
}  // namespace valkyrie::protocol::noise
