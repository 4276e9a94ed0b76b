// What a peer that has proven nothing can make this side hold, of any channel: docs/spec/noise.md
// and tls.md state it.
#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <malloc.h>
#include <memory>
#include <vector>

#include "protocol/big_endian.h"
#include "protocol/noise/channel.h"
#include "protocol/noise/key_text.h"
#include "protocol/tls/testing/pair.h"

namespace valkyrie::simulation {
namespace {

using protocol::Channel;
using protocol::ChannelError;

namespace noise = protocol::noise;

constexpr std::size_t kPeers = 64;
// Of the longest message of a handshake, and of the longest record.
constexpr std::size_t kTlsMessageMax = 16U << 10U;
constexpr std::size_t kTlsRecordMax = (16U << 10U) + 256;
constexpr std::size_t kNoiseBytesMax = 8U << 10U;
constexpr std::size_t kTlsBytesMax = 48U << 10U;

class Nothing final : public protocol::PlainSink {
  void on_plain(std::span<std::byte>) override { ADD_FAILURE() << "plain text of nobody"; }
};

// Bytes of the heap for one peer that has sent these and waits.
template <class Accept>
std::size_t bytes_of_a_peer(const Accept& accept, const std::vector<std::byte>& said) {
  Nothing nothing;
  std::vector<std::unique_ptr<Channel>> channels(kPeers + 1);
  channels[kPeers] = accept();  // What is made once for all.
  const std::size_t before = ::mallinfo2().uordblks;
  std::vector<std::vector<std::byte>> unsent(kPeers);
  for (std::size_t i = 0; i < kPeers; ++i) {
    channels[i] = accept();
    std::vector<std::byte> copy = said;
    EXPECT_TRUE(channels[i]->receive(copy, nothing)) << "it is not to be refused yet";
    EXPECT_FALSE(channels[i]->open());
    unsent[i] = channels[i]->take_output();  // It reads nothing.
  }
  return (::mallinfo2().uordblks - before) / kPeers;
}

// A handshake record of the longest kind that begins a ClientHello of `size` bytes.
std::vector<std::byte> client_hello(std::size_t size, std::size_t sent) {
  constexpr std::size_t kPerRecord = 16U << 10U;
  constexpr std::size_t kHead = 5;
  std::vector<std::byte> bytes;
  for (std::size_t at = 0; at < sent; at += kPerRecord) {
    const std::size_t count = std::min(kPerRecord, sent - at);
    const std::size_t start = bytes.size();
    bytes.resize(start + kHead + count);
    bytes[start] = std::byte{0x16};
    bytes[start + 1] = std::byte{3};
    bytes[start + 2] = std::byte{1};
    protocol::store_big_endian(&bytes[start + 3], static_cast<std::uint16_t>(count));
  }
  // The head of the message: its kind, and 24 bits of length.
  protocol::store_big_endian(&bytes[kHead], static_cast<std::uint32_t>(size));
  bytes[kHead] = std::byte{1};
  return bytes;
}

// Appends so many bytes that mean nothing.
std::vector<std::byte> followed_by(std::vector<std::byte> hello, std::size_t more) {
  hello.resize(hello.size() + more, std::byte{7});
  return hello;
}

class NoiseMemory : public ::testing::Test {
 protected:
  NoiseMemory() {
    noise::make_key(noise::system_entropy(), key_);
    hello_ = make(noise::HandshakeRole::initiator)->take_output();
  }

  std::unique_ptr<Channel> make(noise::HandshakeRole role) {
    return std::make_unique<noise::Channel>(noise::ChannelConfig{
        .role = role, .suites = suites_, .key = key_, .entropy = noise::system_entropy()});
  }
  // Of one that has said its first message, and all but `missing` bytes of a second this long.
  std::vector<std::byte> half_open(std::size_t length, std::size_t missing) {
    std::vector<std::byte> bytes = followed_by(hello_, 2 + length - missing);
    protocol::store_big_endian(bytes.data() + hello_.size(), static_cast<std::uint16_t>(length));
    return bytes;
  }

  const std::vector<noise::Suite> suites_{noise::Suite::xx_mlkem_aes_gcm};
  noise::KeyPair key_;
  std::vector<std::byte> hello_;
};

TEST_F(NoiseMemory, of_a_peer_that_has_proven_nothing_is_bounded) {
  const auto accept = [this] { return make(noise::HandshakeRole::responder); };
  EXPECT_LE(bytes_of_a_peer(accept, {}), kNoiseBytesMax);
  EXPECT_LE(bytes_of_a_peer(accept, hello_), kNoiseBytesMax);
  const std::size_t most = bytes_of_a_peer(accept, half_open(noise::kHandshakeBytesMax, 1));
  EXPECT_LE(most, kNoiseBytesMax);
  EXPECT_GT(most, noise::kHandshakeBytesMax) << "which is what was measured";
}

TEST_F(NoiseMemory, a_longer_message_is_refused_before_it_is_kept) {
  Nothing nothing;
  const auto channel = make(noise::HandshakeRole::responder);
  std::vector<std::byte> bytes = half_open(noise::kHandshakeBytesMax + 1, 1);
  EXPECT_EQ(channel->receive(bytes, nothing).error(), ChannelError::bad_length);
}

class TlsMemory : public ::testing::Test {
 protected:
  TlsMemory() { world_.make(); }

  protocol::tls::testing::World world_;
};

TEST_F(TlsMemory, of_a_peer_that_has_proven_nothing_is_bounded) {
  const auto accept = [this] { return world_.acceptor->accept(); };
  EXPECT_LE(bytes_of_a_peer(accept, {}), kTlsBytesMax);
  const std::size_t most = bytes_of_a_peer(accept, client_hello(kTlsMessageMax, kTlsMessageMax));
  EXPECT_LE(most, kTlsBytesMax);
  EXPECT_GT(most, kTlsMessageMax) << "which is what was measured";
  // One that had its answer, and has sent most of the longest record behind it.
  std::vector<std::byte> hello = world_.dialer->dial("localhost")->take_output();
  const std::size_t at = hello.size();
  hello = followed_by(std::move(hello), 5 + kTlsRecordMax - 1);
  const std::array head = {std::byte{0x17}, std::byte{3}, std::byte{3},
                           static_cast<std::byte>(kTlsRecordMax >> 8),
                           static_cast<std::byte>(kTlsRecordMax & 0xFF)};
  std::ranges::copy(head, hello.begin() + static_cast<std::ptrdiff_t>(at));
  EXPECT_LE(bytes_of_a_peer(accept, hello), kTlsBytesMax);
}

TEST_F(TlsMemory, a_longer_message_is_refused_before_it_is_kept) {
  Nothing nothing;
  const auto channel = world_.acceptor->accept();
  std::vector<std::byte> bytes = client_hello(kTlsMessageMax + 1, 100);
  const auto taken = channel->receive(bytes, nothing);
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error(), ChannelError::bad_length);
}

}  // namespace
}  // namespace valkyrie::simulation
