#include "protocol/noise/channel.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <numeric>
#include <string>

#include "protocol/noise/test_pair.h"

namespace valkyrie::protocol::noise {
namespace {

class NoiseChannelOfSuite : public testing::TestWithParam<Suite> {};

TEST_P(NoiseChannelOfSuite, opens_and_carries_text_both_ways) {
  Pair pair({.dialer = {GetParam()}});
  EXPECT_EQ(pair.carry(), std::nullopt);
  ASSERT_TRUE(pair.dialer_->open() && pair.acceptor_->open());
  EXPECT_EQ(pair.dialer_->hash(), pair.acceptor_->hash());
  EXPECT_EQ(pair.dialer_->peer(), pair.acceptor_key_.shared);
  EXPECT_EQ(pair.acceptor_->peer(), pair.dialer_key_.shared);
  EXPECT_EQ(pair.acceptor_->picked(), GetParam());
  pair.seal_at_dialer("ping");
  pair.seal_at_acceptor("pong");
  EXPECT_EQ(pair.carry(), std::nullopt);
  EXPECT_EQ(pair.at_acceptor_.text(), "ping");
  EXPECT_EQ(pair.at_dialer_.text(), "pong");
}

TEST_P(NoiseChannelOfSuite, takes_bytes_one_at_a_time) {
  Pair pair({.dialer = {GetParam()}});
  EXPECT_EQ(pair.carry(1), std::nullopt);
  ASSERT_TRUE(pair.dialer_->open() && pair.acceptor_->open());
  pair.seal_at_dialer("one");
  pair.seal_at_dialer("two");
  EXPECT_EQ(pair.carry(1), std::nullopt);
  EXPECT_EQ(pair.at_acceptor_.text(), "onetwo");
  EXPECT_EQ(pair.at_acceptor_.records(), 2u);
}

TEST_P(NoiseChannelOfSuite, any_altered_byte_of_the_handshake_ends_it) {
  const std::size_t first = [] {
    Pair pair({.dialer = {GetParam()}});
    return pair.from_dialer().size();
  }();
  for (std::size_t at = 0; at < first; ++at) {
    Pair pair({.dialer = {GetParam()}});
    pair.from_dialer()[at] ^= std::byte{0x80};
    const auto failed = pair.carry();
    // Length bytes may ask for more than there is: then nobody opens.
    EXPECT_TRUE(failed || !pair.acceptor_->open()) << "byte " << at;
  }
}

TEST_P(NoiseChannelOfSuite, any_altered_byte_of_the_answer_ends_it) {
  for (std::size_t at = 0;; ++at) {
    Pair pair({.dialer = {GetParam()}});
    ASSERT_EQ(pair.to_acceptor(), std::nullopt);
    if (at == pair.from_acceptor().size()) break;
    pair.from_acceptor()[at] ^= std::byte{0x01};
    const auto failed = pair.carry();
    EXPECT_TRUE(failed || !pair.acceptor_->open()) << "byte " << at;
  }
}

INSTANTIATE_TEST_SUITE_P(Suites, NoiseChannelOfSuite, testing::ValuesIn(kSuites),
                         [](const auto& suite) {
                           std::string name(protocol_name(suite.param));
                           std::ranges::replace(name, '/', '_');
                           return name;
                         });

TEST(NoiseChannel, a_long_text_goes_in_records_of_16_kib) {
  Pair pair({});
  ASSERT_EQ(pair.carry(), std::nullopt);
  const std::string text(kRecordBytesMax * 2 + 1, 'x');
  pair.seal_at_dialer(text);
  EXPECT_EQ(pair.from_dialer().size(), text.size() + 3 * (2 + kTagBytes));
  ASSERT_EQ(pair.carry(), std::nullopt);
  EXPECT_EQ(pair.at_acceptor_.text(), text);
  EXPECT_EQ(pair.at_acceptor_.records(), 3u);
}

TEST(NoiseChannel, gathers_pieces_and_leaves_out_empty_ones) {
  Pair pair({});
  ASSERT_EQ(pair.carry(), std::nullopt);
  const std::string_view a = "alpha";
  const std::string_view b = "beta";
  const std::array pieces = {std::as_bytes(std::span(a)), std::span<const std::byte>(),
                             std::as_bytes(std::span(b))};
  ASSERT_TRUE(pair.dialer_->seal(pieces, pair.from_dialer()).has_value());
  ASSERT_EQ(pair.carry(), std::nullopt);
  EXPECT_EQ(pair.at_acceptor_.text(), "alphabeta");
  EXPECT_EQ(pair.at_acceptor_.records(), 1u);
}

TEST(NoiseChannel, a_replayed_record_is_not_authentic) {
  Pair pair({});
  ASSERT_EQ(pair.carry(), std::nullopt);
  pair.seal_at_dialer("once");
  std::vector<std::byte> record = pair.from_dialer();
  ASSERT_EQ(pair.carry(), std::nullopt);
  const auto taken = pair.acceptor_->receive(record, pair.at_acceptor_);
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error(), ChannelError::not_authentic);
  EXPECT_EQ(pair.at_acceptor_.text(), "once");
}

TEST(NoiseChannel, records_in_another_order_are_not_authentic) {
  Pair pair({});
  ASSERT_EQ(pair.carry(), std::nullopt);
  pair.seal_at_dialer("first");
  pair.from_dialer().clear();
  pair.seal_at_dialer("second");
  EXPECT_EQ(pair.carry(), ChannelError::not_authentic);
  EXPECT_EQ(pair.at_acceptor_.text(), "");
}

TEST(NoiseChannel, lengths_that_no_record_has_end_it) {
  for (const unsigned length : {0u, 16u, 16401u, 65535u}) {
    Pair pair({});
    ASSERT_EQ(pair.carry(), std::nullopt);
    std::vector<std::byte> record(2 + length);
    record[0] = static_cast<std::byte>(length >> 8);
    record[1] = static_cast<std::byte>(length);
    const auto taken = pair.acceptor_->receive(record, pair.at_acceptor_);
    ASSERT_FALSE(taken.has_value()) << length;
    EXPECT_EQ(taken.error(), ChannelError::bad_length) << length;
  }
}

TEST(NoiseChannel, keys_change_after_so_many_records_on_both_sides) {
  Pair pair({.dialer = {Suite::xx_aes_gcm}});
  ASSERT_EQ(pair.carry(), std::nullopt);
  for (std::uint64_t i = 0; i < kRekeyRecords; ++i) {
    pair.seal_at_dialer("x");
    if (pair.from_dialer().size() > 1u << 16) {
      ASSERT_EQ(pair.carry(), std::nullopt);
    }
  }
  pair.seal_at_dialer("after");
  ASSERT_EQ(pair.carry(), std::nullopt);
  EXPECT_TRUE(pair.at_acceptor_.text().ends_with("xafter"));
}

TEST(NoiseChannel, the_acceptor_picks_its_best_and_the_dialer_begins_again_with_it) {
  const std::vector<Suite> offer = {Suite::xx_chacha_poly, Suite::xx_mlkem_aes_gcm};
  Pair pair({.dialer = offer});
  EXPECT_EQ(pair.to_acceptor(), ChannelError::other_suite);
  EXPECT_EQ(pair.to_dialer(), ChannelError::other_suite);
  EXPECT_EQ(pair.dialer_->picked(), Suite::xx_mlkem_aes_gcm);
  const auto again = pair.dialer_->retry();
  ASSERT_NE(again, nullptr);
  Pair second({.dialer = {Suite::xx_mlkem_aes_gcm, Suite::xx_chacha_poly}});
  second.from_dialer() = again->take_output();
  ASSERT_EQ(second.to_acceptor(), std::nullopt);
  ASSERT_TRUE(again->receive(second.from_acceptor(), second.at_dialer_));
  second.from_dialer() = again->take_output();
  ASSERT_EQ(second.to_acceptor(), std::nullopt);
  EXPECT_TRUE(again->open() && second.acceptor_->open());
  EXPECT_TRUE(again->hybrid() && second.acceptor_->hybrid());
}

TEST(NoiseChannel, a_pick_that_changes_again_is_not_followed) {
  const std::array order = {Suite::xx_chacha_poly, Suite::xx_aes_gcm};
  Pair pair({.dialer = {order.begin(), order.end()}});
  EXPECT_EQ(pair.dialer_->retry(), nullptr) << "nothing was picked yet";
  std::vector<std::byte> pick(5, std::byte{1});
  std::copy_n(pair.from_dialer().begin(), 2, pick.begin());
  pick[4] = static_cast<std::byte>(Suite::xx_aes_gcm);
  EXPECT_EQ(pair.dialer_->receive(pick, pair.at_dialer_).error(), ChannelError::other_suite);
  const auto again = pair.dialer_->retry();
  ASSERT_NE(again, nullptr);
  pick[4] = static_cast<std::byte>(Suite::xx_chacha_poly);
  EXPECT_EQ(again->receive(pick, pair.at_dialer_).error(), ChannelError::other_suite);
  EXPECT_EQ(again->retry(), nullptr);
}

TEST(NoiseChannel, one_that_failed_otherwise_is_not_dialed_again) {
  Pair pair({.dialer = {Suite::xx_aes_gcm}, .acceptor = {Suite::xx_mlkem_aes_gcm}});
  EXPECT_EQ(pair.to_acceptor(), ChannelError::pq_required);
  EXPECT_EQ(pair.to_dialer(), ChannelError::pq_required);
  EXPECT_EQ(pair.dialer_->retry(), nullptr);
}

TEST(NoiseChannel, taking_the_hybrid_suite_out_of_an_offer_is_found_out) {
  // The attacker lets the acceptor see a weaker offer.
  Pair pair({.dialer = {Suite::xx_chacha_poly, Suite::xx_mlkem_aes_gcm}});
  std::vector<std::byte>& out = pair.from_dialer();
  out[3] = std::byte{1};
  out.erase(out.begin() + 5);
  EXPECT_EQ(pair.carry(), ChannelError::not_authentic);
  EXPECT_FALSE(pair.dialer_->open());
}

TEST(NoiseChannel, an_acceptor_of_hybrid_suites_says_that_it_requires_them) {
  Pair pair({.dialer = {Suite::xx_aes_gcm}, .acceptor = {Suite::xx_mlkem_aes_gcm}});
  EXPECT_EQ(pair.to_acceptor(), ChannelError::pq_required);
  EXPECT_EQ(pair.to_dialer(), ChannelError::pq_required);
}

TEST(NoiseChannel, suites_that_nobody_shares_are_told) {
  Pair pair({.dialer = {Suite::xk_aes_gcm}, .acceptor = {Suite::xx_aes_gcm}});
  EXPECT_EQ(pair.to_acceptor(), ChannelError::no_common_suite);
  EXPECT_EQ(pair.to_dialer(), ChannelError::no_common_suite);
}

TEST(NoiseChannel, a_dialer_with_another_pin_opens_nothing) {
  Pair pair({.dialer = {Suite::xk_mlkem_aes_gcm}, .wrong_pin = true});
  EXPECT_EQ(pair.carry(), ChannelError::not_authentic);
}

TEST(NoiseChannel, a_provisioned_psk_must_be_the_same_on_both_sides) {
  const std::vector<std::byte> psk(32, std::byte{7});
  const std::vector<std::byte> other(32, std::byte{8});
  Pair same({.dialer_psk = psk, .acceptor_psk = psk});
  EXPECT_EQ(same.carry(), std::nullopt);
  EXPECT_TRUE(same.acceptor_->open());
  Pair different({.dialer_psk = psk, .acceptor_psk = other});
  EXPECT_EQ(different.carry(), ChannelError::not_authentic);
  Pair missing({.dialer_psk = psk});
  EXPECT_EQ(missing.carry(), ChannelError::not_authentic);
}

TEST(NoiseChannel, a_key_of_low_order_is_refused) {
  Pair pair({.dialer = {Suite::xx_aes_gcm}});
  // The ephemeral key of message 1 follows the preamble (5) and the length (2).
  std::fill_n(pair.from_dialer().begin() + 7, kKeyBytes, std::byte{0});
  EXPECT_EQ(pair.carry(), ChannelError::bad_key);
}

TEST(NoiseChannel, an_encapsulation_key_that_is_none_is_refused) {
  // Sent by a dialer who seals it well: its coefficients are not reduced.
  TestEntropy entropy;
  EncapsulationKey key;
  key.fill(std::byte{0xFF});
  Encapsulated out;
  EXPECT_FALSE(entropy.encapsulate(key, out));
}

TEST(NoiseChannel, bytes_that_are_no_preamble_are_refused) {
  for (const std::string_view bytes : {"VN\x02\x01\x11", "VK\x01\x01\x11", "VN\x01\x11"}) {
    Pair pair({});
    std::vector<std::byte> out(std::as_bytes(std::span(bytes)).begin(),
                               std::as_bytes(std::span(bytes)).end());
    const auto taken = pair.acceptor_->receive(out, pair.at_acceptor_);
    ASSERT_FALSE(taken.has_value());
    EXPECT_EQ(taken.error(), ChannelError::bad_preamble);
  }
  Pair pair({});
  std::array none = {std::byte{0x56}, std::byte{0x4E}, std::byte{1}, std::byte{0}};
  EXPECT_EQ(pair.acceptor_->receive(none, pair.at_acceptor_).error(), ChannelError::bad_preamble);
}

TEST(NoiseChannel, an_overlong_handshake_message_is_refused_by_its_length) {
  Pair pair({});
  std::vector<std::byte>& out = pair.from_dialer();
  constexpr unsigned kTooLong = kHandshakeBytesMax + 1;
  out[5] = static_cast<std::byte>(kTooLong >> 8);
  out[6] = static_cast<std::byte>(kTooLong & 0xFF);
  EXPECT_EQ(pair.carry(), ChannelError::bad_length);
}

}  // namespace
}  // namespace valkyrie::protocol::noise
