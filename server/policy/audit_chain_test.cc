#include "server/policy/audit_chain.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace valkyrie::policy {
namespace {

namespace crypto = protocol::crypto;

constexpr std::uint64_t kTime = 1'795'484'705'123;

AuditRecord refusal() {
  return {.unix_ms = kTime,
          .who = "uid:1000",
          .action = "session.open",
          .what = "n-7f3a09c2",
          .from = "127.0.0.1:4242",
          .decision = AuditDecision::refused,
          .reason = "banned",
          .trace = "00ff"};
}

TEST(AuditChain, a_record_is_the_line_that_the_specification_shows) {
  AuditHead head{.sequence = 16};
  const std::string line = encode_audit_record(head, refusal());
  EXPECT_TRUE(line.starts_with(
      R"({"seq":17,"time":"2026-11-24T01:45:05.123Z","kind":"record","who":"uid:1000",)"
      R"("action":"session.open","what":"n-7f3a09c2","from":"127.0.0.1:4242",)"
      R"("decision":"refused","reason":"banned","trace":"00ff","hash":")"))
      << line;
  EXPECT_EQ(head.sequence, 17u);
}

TEST(AuditChain, a_line_read_back_has_the_hash_that_follows_from_the_line_before) {
  AuditHead head;
  const std::string first = encode_audit_file(head, 1, "n-7f3a09c2", kTime);
  const AuditHead before = head;
  const std::string second = encode_audit_record(head, refusal());
  const auto file = parse_audit_line(first);
  const auto record = parse_audit_line(second);
  ASSERT_TRUE(file && record);
  EXPECT_EQ(file->kind, AuditKind::file);
  EXPECT_EQ(file->file, 1u);
  EXPECT_EQ(file->previous, crypto::Digest{});
  EXPECT_EQ(record->kind, AuditKind::record);
  EXPECT_EQ(record->sequence, 2u);
  EXPECT_EQ(record->time, "2026-11-24T01:45:05.123Z");
  EXPECT_EQ(record->hash, audit_hash(before.hash, record->hashed));
  EXPECT_EQ(record->hash, head.hash);
}

TEST(AuditChain, a_checkpoint_holds_for_its_own_text_only) {
  AuditHead head;
  const crypto::Ed25519Seed seed;
  std::string line =
      encode_audit_checkpoint(head, AuditCause::close, kTime, seed, crypto::ed25519_key(seed));
  const auto good = parse_audit_line(line);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->cause, "close");
  EXPECT_TRUE(audit_signature_holds(*good));
  line.replace(line.find("close"), 5, "count");
  const auto altered = parse_audit_line(line);
  ASSERT_TRUE(altered);
  EXPECT_FALSE(audit_signature_holds(*altered));
}

TEST(AuditChain, any_proper_prefix_and_any_longer_text_is_no_line) {
  AuditHead head;
  const std::string line = encode_audit_record(head, refusal());
  for (std::size_t size = 0; size < line.size(); ++size) {
    EXPECT_FALSE(parse_audit_line(std::string_view(line).substr(0, size))) << size;
  }
  EXPECT_FALSE(parse_audit_line(line + " "));
  EXPECT_FALSE(parse_audit_line(line + line));
}

TEST(AuditChain, a_text_is_cut_at_its_limit_between_characters) {
  const auto what_of = [](const std::string& text) {
    AuditHead head;
    const std::string line = encode_audit_record(head, {.what = text});
    const std::size_t begin = line.find(R"("what":")") + 8;
    return line.substr(begin, line.find(R"(","from")") - begin);
  };
  const std::string most(kAuditTextBytesMax, 'x');
  EXPECT_EQ(what_of(most), most);
  EXPECT_EQ(what_of(most + "y"), most);
  const std::string but_one = most.substr(1);
  EXPECT_EQ(what_of(but_one + "\xc3\xa9"), but_one);
  EXPECT_EQ(what_of(but_one.substr(1) + "\xc3\xa9"), but_one.substr(1) + "\xc3\xa9");
}

TEST(AuditChain, text_that_is_not_utf8_can_neither_break_a_line_nor_the_encoding) {
  AuditHead head;
  const std::string line =
      encode_audit_record(head, {.who = "a\xff\n\"b", .what = std::string_view("\0\x1f\\", 3)});
  EXPECT_NE(line.find(R"("who":"a?\u000a\"b")"), std::string::npos) << line;
  EXPECT_NE(line.find(R"("what":"\u0000\u001f\\")"), std::string::npos) << line;
  EXPECT_TRUE(parse_audit_line(line));
}

TEST(AuditChain, the_longest_texts_fit_into_a_line) {
  AuditHead head{.sequence = UINT64_MAX - 1};
  const std::string worst(2 * kAuditTextBytesMax, '\x01');
  const std::string line = encode_audit_record(head, {.unix_ms = UINT64_MAX,
                                                      .who = worst,
                                                      .action = worst,
                                                      .what = worst,
                                                      .from = worst,
                                                      .reason = worst,
                                                      .trace = worst});
  EXPECT_LE(line.size(), kAuditLineBytesMax);
  EXPECT_TRUE(parse_audit_line(line));
  EXPECT_NE(line.find("9999-12-31T23:59:59.999Z"), std::string::npos);
}

TEST(AuditChain, a_line_over_the_limit_is_none) {
  AuditHead head;
  std::string line = encode_audit_record(head, {.what = "x"});
  const auto grown = [&](std::size_t size) {
    std::string longer = line;
    return longer.insert(longer.find(R"("what":")") + 8, size - line.size(), 'x');
  };
  EXPECT_TRUE(parse_audit_line(grown(kAuditLineBytesMax)));
  EXPECT_FALSE(parse_audit_line(grown(kAuditLineBytesMax + 1)));
}

}  // namespace
}  // namespace valkyrie::policy
