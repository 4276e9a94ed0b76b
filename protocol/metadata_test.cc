#include "protocol/metadata.h"

#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "protocol/properties.h"

namespace valkyrie::protocol {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

Bytes bytes_of(std::string_view text) {
  Bytes out(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) out[i] = static_cast<std::byte>(text[i]);
  return out;
}

// Entries as a peer may send them: nothing is checked.
class Raw {
 public:
  Raw& add(unsigned key, std::string_view value) { return add_lying(key, value.size(), value); }
  Raw& add_lying(unsigned key, std::size_t stated_bytes, std::string_view value) {
    bytes_.push_back(static_cast<std::byte>(key));
    bytes_.push_back(static_cast<std::byte>(stated_bytes >> 8u));
    bytes_.push_back(static_cast<std::byte>(stated_bytes & 0xFFu));
    const Bytes tail = bytes_of(value);
    bytes_.insert(bytes_.end(), tail.begin(), tail.end());
    return *this;
  }
  Raw& pair(std::string_view name, std::string_view value) {
    std::string text(1, static_cast<char>(name.size()));
    text.append(name).append(value);
    return add(0x90, text);
  }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

// "ok" or the word of the error.
std::string verdict(const Raw& raw, FrameType type = FrameType::request,
                    MetadataReader reader = MetadataReader::end) {
  const auto view = parse_metadata(raw.bytes(), type, reader);
  return view ? "ok" : std::string(to_string(view.error()));
}

std::string repeated(std::size_t count) { return std::string(count, 'x'); }

TEST(MetadataParse, no_bytes_are_no_entries) {
  const auto view = parse_metadata({}, FrameType::request);
  ASSERT_TRUE(view.has_value());
  EXPECT_TRUE(view->empty());
  EXPECT_FALSE(view->deadline() || view->service() || view->method() || view->status());
  EXPECT_FALSE(view->find(MetadataKey::pair));
}

TEST(MetadataParse, accessors_return_what_the_writer_wrote) {
  std::array<std::byte, 256> buffer;
  MetadataWriter writer(buffer);
  writer.deadline(1500ms);
  writer.service("echo@2");
  writer.method("Say");
  writer.identity({3, "acme", "alice"});
  writer.octet(MetadataKey::attempt, 2);
  writer.pair("a", "1");
  writer.pair("a", "2");
  writer.pair("b-bin", std::string_view("\0\n", 2));
  const auto written = writer.finish();
  ASSERT_TRUE(written.has_value());
  // ATTEMPT and IDENTITY both belong to STREAM_OPEN.
  const auto view = parse_metadata(*written, FrameType::stream_open);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->deadline(), Duration(1500ms));
  EXPECT_EQ(view->service(), "echo@2");
  EXPECT_EQ(view->method(), "Say");
  EXPECT_EQ(view->identity()->method, 3);
  EXPECT_EQ(view->identity()->tenant, "acme");
  EXPECT_EQ(view->identity()->subject, "alice");
  EXPECT_EQ(view->octet(MetadataKey::attempt), 2);
  EXPECT_EQ(view->pair("a"), "1");
  EXPECT_EQ(view->pair("b-bin"), std::string_view("\0\n", 2));
  EXPECT_EQ(view->pair("c"), std::nullopt);
  std::string seen;
  view->for_each_pair([&](std::string_view name, std::string_view value) {
    seen.append(name).append("=").append(std::to_string(value.size())).append(";");
  });
  EXPECT_EQ(seen, "a=1;a=1;b-bin=2;");
}

TEST(MetadataParse, status_comes_back_with_code_outcome_and_text) {
  std::array<std::byte, 64> buffer;
  MetadataWriter writer(buffer);
  writer.status({StatusCode::unavailable, Outcome::maybe_executed, "wörk"});
  const auto view = parse_metadata(*writer.finish(), FrameType::response);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->status(), (Status{StatusCode::unavailable, Outcome::maybe_executed, "wörk"}));
}

TEST(MetadataParse, a_deadline_beyond_every_clock_is_the_longest_duration) {
  const Raw raw = Raw().add(1, std::string(8, '\xFF'));
  const auto view = parse_metadata(raw.bytes(), FrameType::request);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->deadline(), Duration::max());
}

TEST(MetadataParse, every_proper_prefix_of_an_entry_is_truncated) {
  const Raw whole = Raw().add(0x03, "Say");
  for (std::size_t size = 1; size < whole.bytes().size(); ++size) {
    const auto view = parse_metadata(std::span(whole.bytes()).first(size), FrameType::request);
    ASSERT_FALSE(view.has_value()) << size;
    EXPECT_EQ(view.error(), MetadataError::truncated) << size;
  }
}

TEST(MetadataParse, lengths_that_lie_are_truncated_entries) {
  EXPECT_EQ(verdict(Raw().add_lying(0x03, 4, "Say")), "truncated");
  EXPECT_EQ(verdict(Raw().add_lying(0x03, 0xFFFF, "Say")), "truncated");
}

TEST(MetadataParse, keys_ascend_and_only_pair_repeats) {
  EXPECT_EQ(verdict(Raw().add(0x03, "a").add(0x04, "b")), "ok");
  EXPECT_EQ(verdict(Raw().add(0x04, "b").add(0x03, "a")), "key_order");
  EXPECT_EQ(verdict(Raw().add(0x03, "a").add(0x03, "a")), "key_order");
  EXPECT_EQ(verdict(Raw().pair("a", "").pair("a", "")), "ok");
  EXPECT_EQ(verdict(Raw().pair("a", "").add(0x82, "b")), "key_order");
  EXPECT_EQ(verdict(Raw().add(0xEA, "").add(0xEA, "")), "key_order");
}

TEST(MetadataParse, unknown_keys_follow_the_rule_of_their_range) {
  EXPECT_EQ(verdict(Raw().add(0x00, "")), "illegal_key");
  EXPECT_EQ(verdict(Raw().add(0xFF, "")), "illegal_key");
  EXPECT_EQ(verdict(Raw().add(0x0C, "")), "unknown_hop_key");
  EXPECT_EQ(verdict(Raw().add(0x2F, "")), "unknown_hop_key");
  EXPECT_EQ(verdict(Raw().add(0x30, "")), "ok");
  EXPECT_EQ(verdict(Raw().add(0x3F, "")), "ok");
  EXPECT_EQ(verdict(Raw().add(0x42, "")), "unknown_end_key");
  EXPECT_EQ(verdict(Raw().add(0x7F, "")), "unknown_end_key");
  EXPECT_EQ(verdict(Raw().add(0x86, "")), "ok");
  EXPECT_EQ(verdict(Raw().add(0xFE, "")), "ok");
}

TEST(MetadataParse, a_relay_forwards_what_only_the_end_must_understand) {
  const Raw raw = Raw().add(0x41, "\x03").add(0x42, "new");
  EXPECT_EQ(verdict(raw, FrameType::request, MetadataReader::relay), "ok");
  EXPECT_EQ(verdict(raw), "unknown_codec");
}

TEST(MetadataParse, an_error_of_form_goes_before_unimplemented) {
  EXPECT_EQ(verdict(Raw().add(0x42, "").add(0x80, "short")), "value_length");
  EXPECT_FALSE(is_unimplemented(MetadataError::value_length));
  EXPECT_TRUE(is_unimplemented(MetadataError::unknown_end_key));
  EXPECT_TRUE(is_unimplemented(MetadataError::unknown_codec));
}

TEST(MetadataParse, known_keys_below_0x80_are_legal_in_their_frames_only) {
  const Raw open = Raw().add(0x02, "echo").add(0x05, "token");
  EXPECT_EQ(verdict(open, FrameType::stream_open), "ok");
  EXPECT_EQ(verdict(open, FrameType::request), "wrong_frame");
  EXPECT_EQ(verdict(Raw().add(0x40, std::string(2, '\0')), FrameType::end), "ok");
  EXPECT_EQ(verdict(Raw().add(0x40, std::string(2, '\0')), FrameType::request), "wrong_frame");
  for (const FrameType type : kMetadataFrames) {
    EXPECT_EQ(verdict(Raw().pair("a", "b"), type), "ok") << to_string(type);
  }
}

TEST(MetadataParse, values_have_the_length_of_the_table_on_both_sides) {
  for (unsigned number = 0; number < 256; ++number) {
    const MetadataProperties& rules = kMetadataProperties[number];
    if (!rules.known || number == 0x90) continue;
    FrameType type = FrameType::request;
    for (const FrameType at : kMetadataFrames) {
      if ((rules.frames & kMetadataFrameBits[static_cast<std::uint8_t>(at)]) != 0) type = at;
    }
    std::string least(rules.value_min, '\x01');
    std::string most(rules.value_max, '\x01');
    const bool text = number == 2 || number == 3 || number == 9 || number == 0xB ||
                      number == 0x81 || number == 0x82;
    if (text) least.assign(least.size(), 'a'), most.assign(most.size(), 'a');
    if (number == 6) least.assign(2, '\0'), most = std::string(2, '\0') + repeated(510);
    EXPECT_EQ(verdict(Raw().add(number, least), type), "ok") << number;
    EXPECT_EQ(verdict(Raw().add(number, most), type), "ok") << number;
    EXPECT_EQ(verdict(Raw().add(number, least.substr(1)), type), "value_length") << number;
    if (number != 5) {  // One more byte of AUTHORIZATION is over the hop limit as well.
      EXPECT_EQ(verdict(Raw().add(number, most + "a"), type), "value_length") << number;
    }
  }
}

TEST(MetadataParse, text_is_visible_or_printable_ascii) {
  EXPECT_EQ(verdict(Raw().add(0x03, "a b")), "value");
  EXPECT_EQ(verdict(Raw().add(0x03, "a\x7F")), "value");
  EXPECT_EQ(verdict(Raw().add(0x03, "!~")), "ok");
  EXPECT_EQ(verdict(Raw().add(0x82, "text/plain; a=b")), "ok");
  EXPECT_EQ(verdict(Raw().add(0x82, "a\r\nb")), "value");
  EXPECT_EQ(verdict(Raw().add(0x40, std::string("\0\0\xC3\x28", 4)), FrameType::end), "value");
}

TEST(MetadataParse, small_numbers_have_their_bounds) {
  EXPECT_EQ(verdict(Raw().add(0x07, "\x08"), FrameType::stream_open), "ok");
  EXPECT_EQ(verdict(Raw().add(0x07, "\x09"), FrameType::stream_open), "value");
  EXPECT_EQ(verdict(Raw().add(0x0A, "\x03"), FrameType::publish), "ok");
  EXPECT_EQ(verdict(Raw().add(0x0A, "\x04"), FrameType::publish), "value");
  EXPECT_EQ(verdict(Raw().add(0x0A, std::string(1, '\0')), FrameType::publish), "value");
  EXPECT_EQ(verdict(Raw().add(0x41, "\x02")), "ok");
  EXPECT_EQ(verdict(Raw().add(0x41, std::string(1, '\0'))), "unknown_codec");
  const std::string lying_tenant(
      "\x01\x03"
      "ab",
      4);
  EXPECT_EQ(verdict(Raw().add(0x06, lying_tenant), FrameType::stream_open), "value");
}

TEST(MetadataParse, pair_names_are_a_small_set_and_values_cannot_inject_headers) {
  EXPECT_EQ(verdict(Raw().pair("az09._-", " ~")), "ok");
  EXPECT_EQ(verdict(Raw().pair("A", "")), "value");
  EXPECT_EQ(verdict(Raw().pair("", "a")), "value");
  EXPECT_EQ(verdict(Raw().pair("a", "b\r\nc: d")), "value");
  EXPECT_EQ(verdict(Raw().pair("a-bin", "b\r\n")), "ok");
  EXPECT_EQ(verdict(Raw().pair(std::string(128, 'a'), "")), "ok");
  EXPECT_EQ(verdict(Raw().pair(std::string(129, 'a'), "")), "value");
  EXPECT_EQ(verdict(Raw().add(0x90,
                              "\x05"
                              "abcd")),
            "value");
}

TEST(MetadataParse, limits_hold_on_both_sides) {
  Raw entries;
  for (unsigned i = 0; i < kMetadataEntries; ++i) entries.pair("a", "");
  EXPECT_EQ(verdict(entries), "ok");
  EXPECT_EQ(verdict(Raw(entries).pair("a", "")), "too_many_entries");
  Raw with_hop;
  with_hop.add(0x03, "m");
  for (unsigned i = 0; i < kMetadataEntries; ++i) with_hop.pair("a", "");
  EXPECT_EQ(verdict(with_hop), "ok") << "a relay can always add its hop keys";

  const auto hop = [](std::size_t bytes) { return Raw().add(0x30, repeated(bytes - 3)); };
  EXPECT_EQ(verdict(hop(kHopMetadataBytes)), "ok");
  EXPECT_EQ(verdict(hop(kHopMetadataBytes + 1)), "too_long");
  const auto end = [](std::size_t bytes) { return Raw().add(0xEA, repeated(bytes - 3)); };
  EXPECT_EQ(verdict(end(kEndMetadataBytes)), "ok");
  EXPECT_EQ(verdict(end(kEndMetadataBytes + 1)), "too_long");
  const auto both = [](std::size_t hop_bytes) {
    return Raw().add(0x30, repeated(hop_bytes - 3)).add(0xEA, repeated(kEndMetadataBytes - 3));
  };
  EXPECT_EQ(both(kHopMetadataBytes).bytes().size(), kMetadataBytes);
  EXPECT_EQ(verdict(both(kHopMetadataBytes)), "ok");
  EXPECT_EQ(verdict(both(kHopMetadataBytes + 1)), "too_long");
}

TEST(MetadataWriter, errors_stick_and_come_out_at_the_end) {
  std::array<std::byte, 16> buffer;
  MetadataWriter full(buffer);
  full.deadline(1s);
  full.method("too-long-for-it");
  full.pair("a", "b");
  EXPECT_EQ(full.finish().error(), MetadataWriteError::no_room);

  MetadataWriter bad(buffer);
  bad.method("a b");
  EXPECT_EQ(bad.finish().error(), MetadataWriteError::bad_value);
  MetadataWriter pair(buffer);
  pair.pair("Upper", "");
  EXPECT_EQ(pair.finish().error(), MetadataWriteError::bad_value);
}

TEST(MetadataWriter, holds_the_limits_it_would_be_refused_for) {
  std::vector<std::byte> buffer(kMetadataBytes * 2);
  MetadataWriter entries(buffer);
  for (unsigned i = 0; i < kMetadataEntries; ++i) entries.pair("a", "");
  EXPECT_TRUE(entries.finish().has_value());
  entries.pair("a", "");
  EXPECT_EQ(entries.finish().error(), MetadataWriteError::too_long);

  MetadataWriter exact(buffer);
  exact.pair("a", repeated(kEndMetadataBytes - kEntryHeaderBytes - 2));
  EXPECT_TRUE(exact.finish().has_value());
  MetadataWriter over(buffer);
  over.pair("a", repeated(kEndMetadataBytes - kEntryHeaderBytes - 1));
  EXPECT_EQ(over.finish().error(), MetadataWriteError::too_long);
}

TEST(MetadataWriter, writes_keys_without_a_name_that_all_may_ignore) {
  std::array<std::byte, 16> buffer;
  MetadataWriter writer(buffer);
  writer.method("m");
  writer.ignorable(kGreaseKey, bytes_of("vk"));
  const auto view = parse_metadata(*writer.finish(), FrameType::request);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->find(kGreaseKey)->size(), 2u);
}

TEST(MetadataWriter, a_value_beyond_the_length_field_is_too_long) {
  std::vector<std::byte> buffer(1u << 17u);
  MetadataWriter writer(buffer);
  writer.ignorable(kGreaseKey, std::span(buffer).first(65536));
  EXPECT_EQ(writer.finish().error(), MetadataWriteError::too_long);
}

TEST(MetadataWriter, an_identity_fits_its_limits_or_is_refused) {
  std::array<std::byte, 1024> buffer;
  MetadataWriter most(buffer);
  most.identity({1, repeated(255), repeated(255)});
  EXPECT_EQ(parse_metadata(*most.finish(), FrameType::stream_open)->identity()->subject.size(),
            255u);
  MetadataWriter tenant(buffer);
  tenant.identity({1, repeated(256), ""});
  EXPECT_EQ(tenant.finish().error(), MetadataWriteError::bad_value);
  MetadataWriter both(buffer);
  both.identity({1, repeated(255), repeated(256)});
  EXPECT_EQ(both.finish().error(), MetadataWriteError::bad_value);
}

TEST(MetadataWriteErrors, have_words_of_their_own) {
  EXPECT_EQ(to_string(MetadataWriteError::no_room), "no_room");
  EXPECT_EQ(to_string(MetadataWriteError::too_long), "too_long");
  EXPECT_EQ(to_string(MetadataWriteError::bad_value), "bad_value");
}

TEST(MetadataWriter, a_deadline_in_the_past_is_zero) {
  std::array<std::byte, 16> buffer;
  MetadataWriter writer(buffer);
  writer.deadline(-1s);
  EXPECT_EQ(parse_metadata(*writer.finish(), FrameType::request)->deadline(), Duration::zero());
}

TEST(MetadataWriterDeathTest, keys_out_of_order_are_our_own_defect) {
  std::array<std::byte, 64> buffer;
  MetadataWriter writer(buffer);
  writer.method("a");
  EXPECT_DEATH(writer.service("b"), "broken invariant");
}

Bytes rewritten(const Raw& raw, const Raw& hop, PairTrust trust) {
  const auto view = parse_metadata(raw.bytes(), FrameType::request, MetadataReader::relay);
  Bytes out(kMetadataBytes);
  const auto size = rewrite_for_next_hop(*view, hop.bytes(), trust, out);
  out.resize(size.value_or(0));
  return out;
}

TEST(MetadataRewrite, hop_keys_are_replaced_and_the_rest_is_verbatim) {
  const Raw in =
      Raw().add(0x03, "m").add(0x30, "dropped").add(0x42, "new").pair("a", "b").add(0xEA, "grease");
  const Raw hop = Raw().add(0x01, std::string(8, '\x01'));
  const Raw want =
      Raw().add(0x01, std::string(8, '\x01')).add(0x42, "new").pair("a", "b").add(0xEA, "grease");
  EXPECT_EQ(rewritten(in, hop, PairTrust::strip_node_pairs), want.bytes());
  EXPECT_EQ(rewritten(Raw(), Raw(), PairTrust::trusted), Bytes{});
}

TEST(MetadataRewrite, pairs_of_the_node_survive_from_trusted_peers_only) {
  const Raw in = Raw().pair("a", "1").pair("valkyrie-tenant", "x").pair("valkyriex", "2");
  EXPECT_EQ(rewritten(in, Raw(), PairTrust::trusted), in.bytes());
  EXPECT_EQ(rewritten(in, Raw(), PairTrust::strip_node_pairs),
            Raw().pair("a", "1").pair("valkyriex", "2").bytes());
}

TEST(MetadataRewrite, a_short_buffer_is_refused_at_every_size) {
  const Raw in = Raw().pair("valkyrie-a", "1").pair("b", "2");
  const auto view = parse_metadata(in.bytes(), FrameType::request);
  const Raw hop = Raw().add(0x03, "m");
  for (const PairTrust trust : {PairTrust::trusted, PairTrust::strip_node_pairs}) {
    Bytes out(kMetadataBytes);
    const auto size = rewrite_for_next_hop(*view, hop.bytes(), trust, out);
    ASSERT_TRUE(size.has_value());
    EXPECT_TRUE(rewrite_for_next_hop(*view, hop.bytes(), trust, std::span(out).first(*size)));
    for (std::size_t room = 0; room < *size; ++room) {
      EXPECT_FALSE(rewrite_for_next_hop(*view, hop.bytes(), trust, std::span(out).first(room)));
    }
  }
}

}  // namespace
}  // namespace valkyrie::protocol
