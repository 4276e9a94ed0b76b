#include "protocol/tls/channel.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>

#include "protocol/tls/testing/pair.h"

namespace valkyrie::protocol::tls {
namespace {

using testing::Authority;
using testing::client_wish;
using testing::End;
using testing::kDay;
using testing::node_wish;
using testing::Pair;
using testing::Wish;
using testing::World;

constexpr std::size_t kRecordBytes = 16384;

std::string letters(std::size_t size) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 26);
  return text;
}

// Writes `to` wherever `from` stands; how often.
std::size_t replace(std::vector<std::byte>& bytes, std::string_view from, std::string_view to) {
  std::size_t count = 0;
  for (auto at = bytes.begin();; ++count) {
    const auto wanted = std::as_bytes(std::span(from));
    at = std::search(at, bytes.end(), wanted.begin(), wanted.end());
    if (at == bytes.end()) return count;
    at = std::ranges::copy(std::as_bytes(std::span(to)), at).out;
  }
}

TEST(TlsChannel, opens_by_the_hybrid_exchange_and_carries_text_both_ways) {
  World world;
  Pair pair = world.dial();
  pair.carry();
  ASSERT_TRUE(pair.open());
  EXPECT_TRUE(pair.dialer.tls().hybrid() && pair.acceptor.tls().hybrid());
  EXPECT_EQ(pair.acceptor.channel->subject(), "spiffe://valkyrie.test/client");
  EXPECT_EQ(pair.acceptor.channel->proof(), Proof::certificate);
  EXPECT_EQ(pair.dialer.channel->subject(), "dns:localhost");
  pair.dialer.seal("ping");
  pair.acceptor.seal("pong");
  pair.carry();
  EXPECT_EQ(pair.acceptor.received.text(), "ping");
  EXPECT_EQ(pair.dialer.received.text(), "pong");
}

TEST(TlsChannel, takes_bytes_one_at_a_time) {
  World world;
  Pair pair = world.dial();
  pair.carry(1);
  ASSERT_TRUE(pair.open());
  const std::string text = letters(3 * kRecordBytes + 7);
  pair.dialer.seal(text);
  pair.carry(1);
  EXPECT_EQ(pair.acceptor.received.text(), text);
}

TEST(TlsChannel, carries_text_that_is_cut_anywhere) {
  World world;
  Pair pair = world.dial();
  pair.carry();
  std::string all;
  for (const std::size_t size : {std::size_t{1}, kRecordBytes - 1, kRecordBytes, kRecordBytes + 1,
                                 2 * kRecordBytes, std::size_t{100'001}}) {
    for (const std::size_t step :
         {std::size_t{7}, std::size_t{1000}, kRecordBytes, 3 * kRecordBytes}) {
      const std::string text = letters(size);
      pair.acceptor.seal(text);
      all += text;
      pair.carry(step);
      ASSERT_EQ(pair.dialer.received.text(), all) << size << " by " << step;
    }
  }
}

TEST(TlsChannel, joins_pieces_into_full_records) {
  World world;
  Pair pair = world.dial();
  pair.carry();
  pair.dialer.seal("the first record may bring tickets along");
  pair.acceptor.seal("and these");
  pair.carry();
  const std::string text = letters(100);
  const std::vector<std::span<const std::byte>> pieces(1000, std::as_bytes(std::span(text)));
  std::vector<std::byte> out;
  ASSERT_TRUE(pair.dialer.channel->seal(pieces, out).has_value());
  const std::size_t records = 100 * 1000 / kRecordBytes + 1;
  EXPECT_LE(out.size(), 100 * 1000 + records * 22);
  std::vector<std::byte> nothing;
  ASSERT_TRUE(pair.dialer.channel->seal({}, nothing).has_value());
  EXPECT_TRUE(nothing.empty());
}

TEST(TlsChannel, dialers_show_no_certificate_where_none_is_asked_for) {
  World world;
  world.node.client = ClientCertificate::ignored;
  Pair pair = world.dial();
  pair.carry();
  ASSERT_TRUE(pair.open());
  EXPECT_EQ(pair.acceptor.channel->subject(), "");
  EXPECT_EQ(pair.acceptor.channel->proof(), Proof::none);
}

TEST(TlsChannel, an_optional_certificate_may_be_missing_but_not_be_bad) {
  World world;
  world.node.client = ClientCertificate::optional;
  const Credentials good = std::exchange(world.client.own, {});
  Pair without = world.dial();
  without.carry();
  EXPECT_TRUE(without.open());
  EXPECT_EQ(without.acceptor.channel->subject(), "");
  world.client.own = Authority::self_signed(client_wish());
  world.make();
  Pair bad = world.dial();
  bad.carry();
  EXPECT_EQ(bad.acceptor.error, ChannelError::untrusted);
}

TEST(TlsChannel, a_required_certificate_may_not_be_missing) {
  World world;
  world.client.own = {};
  Pair pair = world.dial();
  pair.carry();
  EXPECT_EQ(pair.acceptor.error, ChannelError::no_certificate);
  EXPECT_EQ(pair.dialer.error, ChannelError::no_certificate) << "the dialer is told";
}

TEST(TlsChannel, every_kind_of_key_serves_either_side) {
  for (const KeyKind kind : {KeyKind::p256, KeyKind::ed25519, KeyKind::rsa2048}) {
    World world;
    Wish node = node_wish();
    Wish client = client_wish();
    node.kind = client.kind = kind;
    world.node.own = world.authority.issue(node);
    world.client.own = world.authority.issue(client);
    Pair pair = world.dial();
    pair.carry();
    EXPECT_TRUE(pair.open()) << static_cast<int>(kind);
  }
}

TEST(TlsChannel, an_authority_between_is_shown_along) {
  World world;
  const auto between = world.authority.issue_authority("between");
  world.client.own = between->issue(client_wish());
  Pair alone = world.dial();
  alone.carry();
  EXPECT_EQ(alone.acceptor.error, ChannelError::untrusted);
  world.client.own.certificate += between->root();
  world.make();
  Pair together = world.dial();
  together.carry();
  EXPECT_TRUE(together.open());
}

TEST(TlsChannel, names_of_nodes_match_as_browsers_have_it) {
  World world;
  Wish wish = node_wish();
  wish.common_name = "common.example";
  wish.names = "DNS:*.valkyrie.test,DNS:exact.example,IP:192.0.2.7,IP:2001:db8::1";
  world.node.own = world.authority.issue(wish);
  for (const char* good : {"a.valkyrie.test", "EXACT.example", "192.0.2.7", "2001:db8::1"}) {
    Pair pair = world.dial(good);
    pair.carry();
    EXPECT_TRUE(pair.open()) << good;
  }
  for (const char* bad : {"valkyrie.test", "a.b.valkyrie.test", "common.example", "other.example",
                          "192.0.2.8", "2001:db8::2"}) {
    Pair pair = world.dial(bad);
    pair.carry();
    EXPECT_EQ(pair.dialer.error, ChannelError::wrong_name) << bad;
    EXPECT_FALSE(pair.acceptor.open()) << bad;
  }
}

TEST(TlsChannel, a_dialer_without_the_hybrid_exchange_is_told_pq_required) {
  World world;
  world.node.require_pq = true;
  Pair hybrid = world.dial();
  hybrid.carry();
  ASSERT_TRUE(hybrid.open());
  // Another number instead of X25519MLKEM768's: among the groups, and of the key.
  Pair classical = world.dial();
  EXPECT_GE(replace(classical.dialer.way, "\x11\xec", "\x0a\x0a"), 2U);
  classical.carry();
  EXPECT_EQ(classical.acceptor.error, ChannelError::pq_required);
  EXPECT_EQ(classical.dialer.error, ChannelError::handshake_failed);
}

TEST(TlsChannel, a_hello_that_nothing_can_come_of_costs_no_signature) {
  constexpr std::size_t kAlertBytes = 7;
  World world;
  world.node.require_pq = true;
  Pair classical = world.dial();
  EXPECT_GE(replace(classical.dialer.way, "\x11\xec", "\x0a\x0a"), 2U);
  Pair altered = world.dial();
  altered.dialer.way.resize(altered.dialer.way.size() / 2);
  altered.dialer.way[3] = std::byte{0};  // A record that is whole, of half a hello.
  altered.dialer.way[4] = std::byte{16};
  for (Pair* pair : {&classical, &altered}) {
    pair->acceptor.take(std::exchange(pair->dialer.way, {}), 1'000'000);
    EXPECT_TRUE(pair->acceptor.error.has_value());
    EXPECT_LE(pair->acceptor.way.size(), kAlertBytes) << "no certificate, and nothing signed";
  }
}

TEST(TlsChannel, who_speaks_another_protocol_inside_is_refused) {
  World world;
  Pair pair = world.dial();
  EXPECT_EQ(replace(pair.dialer.way, "valkyrie/2", "valkyrie/9"), 1U);
  pair.carry();
  EXPECT_EQ(pair.acceptor.error, ChannelError::other_protocol);
  EXPECT_EQ(pair.dialer.error, ChannelError::other_protocol);
}

TEST(TlsChannel, a_session_goes_on_without_certificates_and_keeps_the_name) {
  World world;
  Pair first = world.dial();
  first.carry();
  first.acceptor.seal("brings tickets");
  first.carry();
  ASSERT_FALSE(first.dialer.tls().resumed());
  Pair second = world.dial();
  second.carry();
  ASSERT_TRUE(second.open());
  EXPECT_TRUE(second.dialer.tls().resumed() && second.acceptor.tls().resumed());
  EXPECT_TRUE(second.acceptor.tls().hybrid());
  EXPECT_EQ(second.acceptor.channel->subject(), "spiffe://valkyrie.test/client");
  Pair elsewhere = world.dial("127.0.0.1");
  elsewhere.carry();
  EXPECT_TRUE(elsewhere.open());
  EXPECT_FALSE(elsewhere.dialer.tls().resumed()) << "sessions are kept by name";
}

TEST(TlsChannel, a_session_does_not_outlive_its_certificate) {
  World world;
  Wish longer = node_wish();
  longer.not_after = testing::kNow + 10 * kDay;
  world.node.own = world.authority.issue(longer);
  Pair first = world.dial();
  first.carry();
  first.acceptor.seal("brings tickets");
  first.carry();
  world.now += 2 * kDay;
  Pair second = world.dial();
  second.carry();
  EXPECT_EQ(second.acceptor.error, ChannelError::expired);
}

TEST(TlsChannel, a_session_of_other_files_begins_anew) {
  World world;
  Pair first = world.dial();
  first.carry();
  first.acceptor.seal("brings tickets");
  first.carry();
  auto reloaded = Acceptor::make(world.node);
  ASSERT_TRUE(reloaded.has_value());
  Pair second(**reloaded, *world.dialer);
  second.carry();
  ASSERT_TRUE(second.open());
  EXPECT_FALSE(second.acceptor.tls().resumed());
}

TEST(TlsChannel, directions_get_new_keys_and_go_on) {
  World world;
  Pair pair = world.dial();
  pair.carry();
  pair.acceptor.seal("brings tickets");
  pair.carry();
  const std::byte one{1};
  const std::array pieces = {std::span(&one, 1)};
  for (std::uint64_t record = 0; record < kRekeyRecords + 2; ++record) {
    ASSERT_TRUE(pair.dialer.channel->seal(pieces, pair.dialer.way).has_value());
    if (pair.dialer.way.size() > 1'000'000) pair.carry();
  }
  pair.carry();
  EXPECT_FALSE(pair.acceptor.error.has_value());
  EXPECT_EQ(pair.acceptor.received.text().size(), kRekeyRecords + 2);
}

// Each byte of what one side says, altered once: nobody opens a weaker channel, nor another.
void alter_handshakes(World& world, bool dialers) {
  world.make();
  Pair sound = world.dial();
  std::size_t flight = sound.dialer.way.size();
  if (!dialers) {
    sound.acceptor.take(std::exchange(sound.dialer.way, {}), flight);
    flight = sound.acceptor.way.size();
  }
  for (std::size_t at = 0; at < flight; ++at) {
    Pair pair = world.dial();
    if (!dialers) pair.acceptor.take(std::exchange(pair.dialer.way, {}), 100'000);
    std::vector<std::byte>& way = dialers ? pair.dialer.way : pair.acceptor.way;
    if (at >= way.size()) continue;
    way[at] ^= std::byte{1};
    pair.carry();
    if (!pair.open()) continue;
    // The version of a record and what is between the flights mean nothing to either side.
    EXPECT_TRUE(pair.dialer.tls().hybrid() && pair.acceptor.tls().hybrid()) << at;
    pair.dialer.seal("ping");
    pair.carry();
    EXPECT_EQ(pair.acceptor.received.text(), "ping") << at;
    EXPECT_TRUE(at < 3 || !dialers) << "byte " << at << " of the hello does not count";
  }
}

TEST(TlsChannel, no_altered_byte_of_the_hello_weakens_what_opens) {
  World world;
  alter_handshakes(world, true);
}

TEST(TlsChannel, no_altered_byte_of_the_answer_weakens_what_opens) {
  World world;
  alter_handshakes(world, false);
}

TEST(TlsChannel, no_altered_byte_of_the_last_flight_opens_the_acceptor) {
  World world;
  world.make();
  std::size_t size = 1;
  for (std::size_t at = 0; at < size; ++at) {
    Pair pair = world.dial();
    pair.acceptor.take(std::exchange(pair.dialer.way, {}), 100'000);
    pair.dialer.take(std::exchange(pair.acceptor.way, {}), 100'000);
    ASSERT_TRUE(pair.dialer.open());
    size = pair.dialer.way.size();  // Signatures differ by some bytes.
    if (at >= size) break;
    pair.dialer.way[at] ^= std::byte{1};
    const bool before_records = at < 6;  // The record that says that ciphers change means nothing.
    pair.acceptor.take(std::exchange(pair.dialer.way, {}), 100'000);
    EXPECT_TRUE(before_records || !pair.acceptor.open()) << at;
  }
}

class TlsRecords : public ::testing::Test {
 protected:
  // An open pair, and a record of "hello" on its way to the acceptor.
  Pair open_pair() {
    Pair pair = world.dial();
    pair.carry();
    EXPECT_TRUE(pair.open());
    pair.acceptor.seal("brings tickets");
    pair.carry();
    pair.dialer.seal("hello");
    return pair;
  }
  World world;
};

TEST_F(TlsRecords, no_altered_byte_passes) {
  for (std::size_t at = 0; at < 5 + 5 + 1 + 16; ++at) {
    for (const unsigned flip : {1U, 0x80U}) {
      Pair pair = open_pair();
      pair.dialer.way.at(at) ^= static_cast<std::byte>(flip);
      pair.dialer.seal("more, should the length be altered");
      pair.carry();
      EXPECT_EQ(pair.acceptor.received.text(), "") << at;
    }
  }
}

TEST_F(TlsRecords, a_record_that_comes_again_is_refused) {
  Pair pair = open_pair();
  const std::vector<std::byte> record = pair.dialer.way;
  pair.carry();
  ASSERT_EQ(pair.acceptor.received.text(), "hello");
  pair.acceptor.take(record, record.size());
  EXPECT_EQ(pair.acceptor.error, ChannelError::not_authentic);
}

TEST_F(TlsRecords, records_that_change_places_are_refused) {
  Pair pair = open_pair();
  const std::vector<std::byte> first = std::exchange(pair.dialer.way, {});
  pair.dialer.seal("second");
  pair.dialer.way.insert(pair.dialer.way.end(), first.begin(), first.end());
  pair.carry();
  EXPECT_EQ(pair.acceptor.error, ChannelError::not_authentic);
  EXPECT_EQ(pair.acceptor.received.text(), "");
}

TEST_F(TlsRecords, a_record_that_is_cut_short_is_waited_for) {
  Pair pair = open_pair();
  pair.dialer.way.pop_back();
  pair.carry();
  EXPECT_FALSE(pair.acceptor.error.has_value());
  EXPECT_EQ(pair.acceptor.received.text(), "");
}

TEST_F(TlsRecords, a_record_longer_than_any_is_refused_at_its_head) {
  Pair pair = open_pair();
  pair.dialer.way.resize(5);
  pair.dialer.way[3] = std::byte{0x60};
  pair.carry();
  EXPECT_EQ(pair.acceptor.error, ChannelError::bad_length);
}

TEST(TlsChannel, bytes_that_are_no_tls_are_refused) {
  World world;
  world.make();
  for (const std::string_view text :
       {std::string_view("\x16\x03\x01\xff\xff", 5),
        std::string_view("\x16\x03\x01\0\x04\x01\0\0\0", 9),
        std::string_view("\x17\x03\x03\0\x01x", 6), std::string_view("\x16\x03\x01\0\0", 5)}) {
    Pair pair = world.dial();
    const auto bytes = std::as_bytes(std::span(text));
    std::vector<std::byte> way(bytes.begin(), bytes.end());
    for (int i = 0; i < 100 && !pair.acceptor.error; ++i) pair.acceptor.take(way, way.size());
    EXPECT_TRUE(pair.acceptor.error.has_value());
    EXPECT_FALSE(pair.acceptor.open());
  }
}

}  // namespace
}  // namespace valkyrie::protocol::tls
