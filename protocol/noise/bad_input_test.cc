// What a hostile peer may send in a handshake, and what it costs this side to find out.
#include <algorithm>
#include <gtest/gtest.h>
#include <string_view>
#include <vector>

#include "protocol/big_endian.h"
#include "protocol/hex_text.h"
#include "protocol/noise/test_pair.h"

namespace valkyrie::protocol::noise {
namespace {

constexpr std::size_t kPreambleBytes = 5;  // With one suite.
constexpr std::size_t kFirstKey = kPreambleBytes + 2;

PublicKey key_of(std::string_view digits) {
  PublicKey key{};
  EXPECT_TRUE(read_hex_text(digits, key));
  return key;
}

// Points whose multiples by a clamped secret are zero: orders 1, 2, 4 and 8, in canonical form.
std::vector<PublicKey> low_order_keys() {
  return {
      key_of("0000000000000000000000000000000000000000000000000000000000000000"),
      key_of("0100000000000000000000000000000000000000000000000000000000000000"),
      key_of("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
      key_of("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
      key_of("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
  };
}

// The same point by another name: from 2^255-19 on, or with the bit that X25519 ignores.
std::vector<PublicKey> non_canonical_keys() {
  return {
      key_of("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),  // 0
      key_of("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),  // 1
      key_of("f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),  // 9, the base
      key_of("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
      key_of("0900000000000000000000000000000000000000000000000000000000000080"),
      key_of("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
  };
}

// A peer that says these keys.
std::vector<PublicKey> bad_keys() {
  std::vector<PublicKey> keys = low_order_keys();
  const std::vector<PublicKey> more = non_canonical_keys();
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

// Counts what is asked of it.
class CountingEntropy final : public Entropy {
 public:
  void fill(std::span<std::byte> bytes) override {
    ++keys;
    entropy_.fill(bytes);
  }
  bool encapsulate(const EncapsulationKey& key, Encapsulated& out) override {
    ++encapsulations;
    if (!entropy_.encapsulate(key, out)) return false;
    if (alters) out.ciphertext[100] ^= std::byte{1};
    return true;
  }

  int keys = 0;
  int encapsulations = 0;
  bool alters = false;

 private:
  TestEntropy entropy_;
};

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

ChannelError error_at_acceptor(Pair& pair, std::vector<std::byte> bytes) {
  const auto taken = pair.acceptor_->receive(bytes, pair.at_acceptor_);
  return taken ? ChannelError::none : taken.error();
}

// The bytes of a dialer that writes this payload in its first message.
std::vector<std::byte> first_message(Pair& pair, Suite suite, Bytes payload) {
  std::vector<std::byte> bytes = {std::byte{0x56}, std::byte{0x4E}, std::byte{1}, std::byte{1},
                                  static_cast<std::byte>(suite)};
  Handshake handshake({.role = HandshakeRole::initiator,
                       .suite = suite,
                       .prologue = bytes,
                       .key = pair.dialer_key_,
                       .entropy = pair.entropy_});
  std::vector<std::byte> message;
  EXPECT_TRUE(handshake.write(payload, message));
  bytes.resize(bytes.size() + 2);
  store_big_endian(bytes.data() + kPreambleBytes, static_cast<std::uint16_t>(message.size()));
  bytes.insert(bytes.end(), message.begin(), message.end());
  return bytes;
}

TEST(NoiseBadInput, canonical_keys_end_below_the_prime) {
  for (const PublicKey& key : low_order_keys()) EXPECT_TRUE(is_canonical(key));
  for (const PublicKey& key : non_canonical_keys()) EXPECT_FALSE(is_canonical(key));
}

TEST(NoiseBadInput, an_ephemeral_key_of_low_order_or_another_form_is_refused_by_the_acceptor) {
  for (const Suite suite : {Suite::xx_aes_gcm, Suite::xk_chacha_poly}) {
    for (const PublicKey& key : bad_keys()) {
      Pair pair({.dialer = {suite}});
      std::ranges::copy(key, pair.from_dialer().begin() + kFirstKey);
      EXPECT_EQ(pair.carry(), ChannelError::bad_key) << hex_text(key);
      EXPECT_FALSE(pair.acceptor_->open());
    }
  }
}

TEST(NoiseBadInput, an_ephemeral_key_of_low_order_or_another_form_is_refused_by_the_dialer) {
  for (const PublicKey& key : bad_keys()) {
    Pair pair({.dialer = {Suite::xx_aes_gcm}});
    ASSERT_EQ(pair.to_acceptor(), std::nullopt);
    std::ranges::copy(key, pair.from_acceptor().begin() + kFirstKey);
    EXPECT_EQ(pair.to_dialer(), ChannelError::bad_key) << hex_text(key);
    EXPECT_FALSE(pair.dialer_->open());
  }
}

TEST(NoiseBadInput, a_static_key_of_low_order_or_another_form_is_nobodys) {
  for (const Suite suite : kSuites) {
    for (const PublicKey& key : bad_keys()) {
      Pair pair({.dialer = {suite}});
      pair.dialer_key_.shared = key;  // Sealed well, by who wants to have it as a name.
      EXPECT_EQ(pair.carry(), ChannelError::bad_key) << hex_text(key);
      EXPECT_FALSE(pair.acceptor_->open());
    }
  }
}

TEST(NoiseBadInput, a_kem_key_that_is_none_is_refused) {
  const std::vector<std::byte> key(kEncapsulationKeyBytes, std::byte{0xFF});
  CountingEntropy entropy;
  Pair pair({.acceptor_entropy = &entropy});
  EXPECT_EQ(error_at_acceptor(pair, first_message(pair, Suite::xx_mlkem_aes_gcm, key)),
            ChannelError::bad_key);
  EXPECT_EQ(entropy.encapsulations, 1) << "which asked for it and was told";
}

TEST(NoiseBadInput, a_kem_key_of_another_length_costs_no_encapsulation) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, kEncapsulationKeyBytes - 1, kEncapsulationKeyBytes + 1}) {
    CountingEntropy entropy;
    Pair pair({.acceptor_entropy = &entropy});
    const std::vector<std::byte> key(size);
    EXPECT_EQ(error_at_acceptor(pair, first_message(pair, Suite::xx_mlkem_aes_gcm, key)),
              ChannelError::bad_length);
    EXPECT_EQ(entropy.encapsulations + entropy.keys, 0);
  }
}

TEST(NoiseBadInput, a_kem_ciphertext_that_was_altered_under_the_seal_opens_nothing) {
  for (const Suite suite : {Suite::xx_mlkem_aes_gcm, Suite::xk_mlkem_chacha_poly}) {
    CountingEntropy entropy;
    entropy.alters = true;
    Pair pair({.dialer = {suite}, .acceptor_entropy = &entropy});
    EXPECT_EQ(pair.carry(), ChannelError::not_authentic);
    EXPECT_FALSE(pair.acceptor_->open());
  }
}

TEST(NoiseBadInput, handshake_messages_that_are_cut_short_are_refused) {
  for (const Suite suite : kSuites) {
    for (const std::size_t size : {0U, 1U, 31U, 32U, 47U}) {
      Pair pair({.dialer = {suite}});
      std::vector<std::byte> bytes = pair.from_dialer();
      if (size >= bytes.size() - kFirstKey) continue;
      store_big_endian(bytes.data() + kPreambleBytes, static_cast<std::uint16_t>(size));
      bytes.resize(kFirstKey + size);
      const ChannelError error = error_at_acceptor(pair, bytes);
      EXPECT_TRUE(error == ChannelError::bad_length || error == ChannelError::not_authentic)
          << to_string(error) << ' ' << size;
    }
  }
}

TEST(NoiseBadInput, the_longest_handshake_message_is_read_and_a_longer_one_refused_at_its_head) {
  const auto error_of = [](std::size_t size, std::size_t sent) {
    Pair pair({});
    std::vector<std::byte> bytes = pair.from_dialer();
    store_big_endian(bytes.data() + kPreambleBytes, static_cast<std::uint16_t>(size));
    bytes.resize(kFirstKey + sent, std::byte{9});
    return error_at_acceptor(pair, bytes);
  };
  EXPECT_EQ(error_of(kHandshakeBytesMax, kHandshakeBytesMax - 1), ChannelError::none) << "waits";
  EXPECT_EQ(error_of(kHandshakeBytesMax, kHandshakeBytesMax), ChannelError::not_authentic);
  EXPECT_EQ(error_of(kHandshakeBytesMax + 1, 0), ChannelError::bad_length);
  EXPECT_EQ(error_of(0, 0), ChannelError::bad_length);
}

TEST(NoiseBadInput, suites_that_nobody_knows_are_passed_over) {
  Pair pair({});
  EXPECT_EQ(error_at_acceptor(pair, bytes_of(std::string_view("VN\x01\x03\x00\x21\xff", 7))),
            ChannelError::no_common_suite);
  Pair beside({});
  EXPECT_EQ(error_at_acceptor(beside, bytes_of("VN\x01\x02\x21\x12")), ChannelError::other_suite);
  EXPECT_EQ(beside.acceptor_->picked(), Suite::xx_mlkem_aes_gcm);
}

TEST(NoiseBadInput, an_offer_has_so_many_suites) {
  std::vector<std::byte> offer = bytes_of("VN\x01\x10");
  offer.resize(offer.size() + 16, std::byte{0x7F});
  Pair pair({});
  EXPECT_EQ(error_at_acceptor(pair, offer), ChannelError::no_common_suite);
  offer[3] = std::byte{17};
  Pair other({});
  EXPECT_EQ(error_at_acceptor(other, offer), ChannelError::bad_preamble);
}

TEST(NoiseBadInput, a_pick_that_was_not_offered_is_refused) {
  for (const std::string_view pick : {"VN\x01\x01\x7f", "VN\x01\x01\x13", "VN\x01\x02\x12\x12"}) {
    Pair pair({});
    std::vector<std::byte> bytes = bytes_of(pick);
    const auto taken = pair.dialer_->receive(bytes, pair.at_dialer_);
    ASSERT_FALSE(taken.has_value());
    EXPECT_EQ(taken.error(), ChannelError::bad_preamble);
    EXPECT_EQ(pair.dialer_->retry(), nullptr);
  }
}

TEST(NoiseBadInput, no_key_is_made_and_nothing_encapsulated_for_what_cheap_checks_refuse) {
  CountingEntropy entropy;
  for (const std::string_view bytes :
       {std::string_view("VN\x02\x01\x11"), std::string_view("VN\x01\x11"),
        std::string_view("VN\x01\x01\x7f"), std::string_view("VN\x01\x02\x01\x12"),
        std::string_view("VN\x01\x01\x12\x08\x01", 7), std::string_view("VN\x01\x01\x12\0\0", 7)}) {
    Pair pair({.acceptor_entropy = &entropy});
    EXPECT_NE(error_at_acceptor(pair, bytes_of(bytes)), ChannelError::none);
  }
  // A whole first message, altered: its tag is looked at before anything is made for it.
  Pair pair({.acceptor_entropy = &entropy});
  pair.from_dialer().back() ^= std::byte{1};
  EXPECT_EQ(pair.to_acceptor(), ChannelError::not_authentic);
  EXPECT_EQ(entropy.keys, 0);
  EXPECT_EQ(entropy.encapsulations, 0);
  Pair good({.acceptor_entropy = &entropy});
  EXPECT_EQ(good.carry(), std::nullopt);
  EXPECT_EQ(entropy.keys, 1);
  EXPECT_EQ(entropy.encapsulations, 1);
}

}  // namespace
}  // namespace valkyrie::protocol::noise
