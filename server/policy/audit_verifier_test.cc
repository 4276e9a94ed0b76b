#include "server/policy/audit_verifier.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "protocol/hex_text.h"

namespace valkyrie::policy {
namespace {

namespace crypto = protocol::crypto;

crypto::Ed25519Key public_key(const crypto::Ed25519Seed& seed) { return crypto::ed25519_key(seed); }

// Two files: 1 to 7 and 8 to 11 of the chain, records with a checkpoint at 4, 7 and 11.
class AuditVerifierTest : public ::testing::Test {
 protected:
  using File = std::vector<std::string>;

  AuditVerifierTest() {
    seed_.bytes()[0] = std::byte{7};
    stranger_.bytes()[0] = std::byte{8};
    files_.emplace_back();
    add(encode_audit_file(head_, 1, "n-00000001", 1));
    add_record("one");
    add_record("two");
    add_checkpoint(AuditCause::count);
    add_record("three");
    add_record("four");
    add_checkpoint(AuditCause::rotation);
    files_.emplace_back();
    add(encode_audit_file(head_, 2, "n-00000001", 2));
    add_record("five");
    add_record("six");
    add_checkpoint(AuditCause::close);
  }

  void add(std::string line) { files_.back().push_back(std::move(line)); }
  void add_record(std::string_view what) {
    add(encode_audit_record(head_, {.action = "test", .what = what}));
  }
  void add_checkpoint(AuditCause cause) {
    add(encode_audit_checkpoint(head_, cause, 3, seed_, public_key(seed_)));
  }
  // Writes everything after a line anew, as one can who has the files but no key.
  void forge_after(std::size_t file, std::size_t line, const crypto::Ed25519Seed* seed) {
    AuditHead head;
    std::uint64_t number = 1;
    for (std::size_t f = 0; f < files_.size(); ++f) {
      for (std::size_t l = 0; l < files_[f].size(); ++l) {
        const auto parsed = parse_audit_line(files_[f][l]);
        if (f < file || (f == file && l < line)) {
          head = {parsed->sequence, parsed->hash};
        } else if (parsed->kind == AuditKind::file) {
          files_[f][l] = encode_audit_file(head, ++number, "n-00000001", 2);
        } else if (parsed->kind == AuditKind::record) {
          files_[f][l] = encode_audit_record(head, {.action = "test", .what = "forged"});
        } else if (seed != nullptr) {
          files_[f][l] =
              encode_audit_checkpoint(head, AuditCause::count, 3, *seed, public_key(*seed));
        } else {
          files_[f][l] =
              encode_audit_checkpoint(head, AuditCause::count, 3, stranger_, public_key(seed_));
        }
      }
    }
  }

  AuditReport verify(std::optional<crypto::Digest> head = {}, bool complete = false) const {
    AuditVerifier verifier({.keys = {public_key(seed_)}, .head = head, .complete = complete});
    for (std::size_t i = 0; i < files_.size(); ++i) {
      verifier.begin_file("f" + std::to_string(i + 1));
      for (const std::string& line : files_[i]) verifier.on_line(line);
    }
    return verifier.finish();
  }
  // "f1:3 changed", of each finding.
  std::vector<std::string> problems() const {
    std::vector<std::string> all;
    for (const AuditFinding& each : verify().findings) {
      all.push_back(each.file + ":" + std::to_string(each.line) + " " +
                    std::string(to_string(each.problem)));
    }
    return all;
  }
  using Problems = std::vector<std::string>;

  crypto::Ed25519Seed seed_;
  crypto::Ed25519Seed stranger_;
  AuditHead head_;
  std::vector<File> files_;
};

TEST_F(AuditVerifierTest, what_a_node_wrote_is_whole) {
  const AuditReport report = verify(head_.hash, true);
  EXPECT_TRUE(report.findings.empty()) << report.findings.front().text;
  EXPECT_EQ(report.files, 2u);
  EXPECT_EQ(report.lines, 11u);
  EXPECT_EQ(report.checkpoints, 3u);
  EXPECT_EQ(report.first_sequence, 1u);
  EXPECT_EQ(report.head, head_);
  EXPECT_EQ(report.unsigned_lines, 0u);
  EXPECT_TRUE(report.closed);
}

TEST_F(AuditVerifierTest, any_flipped_bit_of_any_line_is_found_at_that_line_or_the_next) {
  for (File& file : files_) {
    for (std::size_t line = 0; line < file.size(); ++line) {
      const std::string good = file[line];
      for (std::size_t i = 0; i < good.size(); ++i) {
        file[line] = good;
        file[line][i] = static_cast<char>(file[line][i] ^ (1 << (i % 7)));
        if (file[line][i] == '\n') continue;
        const AuditReport report = verify();
        ASSERT_FALSE(report.findings.empty()) << good << " at " << i;
        EXPECT_LE(report.findings.front().line, line + 2);
        EXPECT_GE(report.findings.front().line, line + 1);
      }
      file[line] = good;
    }
  }
}

TEST_F(AuditVerifierTest, a_changed_record_is_named_alone) {
  std::string& line = files_[0][2];
  line.replace(line.find("two"), 3, "2wo");
  EXPECT_EQ(problems(), Problems{"f1:3 changed"});
}

TEST_F(AuditVerifierTest, a_changed_hash_is_named_alone) {
  std::string& line = files_[0][2];
  char& digit = line[line.size() - 3];
  digit = digit == '0' ? '1' : '0';
  EXPECT_EQ(problems(), Problems{"f1:3 changed"});
}

TEST_F(AuditVerifierTest, a_record_changed_with_its_hash_is_found_at_the_next_line) {
  AuditHead head;
  static_cast<void>(encode_audit_file(head, 1, "n-00000001", 1));
  files_[0][1] = encode_audit_record(head, {.action = "test", .what = "eno"});
  EXPECT_EQ(problems(), Problems{"f1:3 changed"});
}

TEST_F(AuditVerifierTest, each_removed_line_is_missing_before_the_next_one) {
  const auto whole = files_;
  for (std::size_t line = 1; line + 1 < whole[0].size(); ++line) {
    files_ = whole;
    files_[0].erase(files_[0].begin() + static_cast<std::ptrdiff_t>(line));
    EXPECT_EQ(problems(), Problems{"f1:" + std::to_string(line + 1) + " missing"}) << line;
  }
}

TEST_F(AuditVerifierTest, the_end_of_a_file_that_another_follows_is_missed) {
  files_[0].pop_back();
  EXPECT_EQ(problems(), Problems{"f2:1 missing"});
  files_[0].clear();
  EXPECT_EQ(problems(), Problems{"f1:0 missing"});
}

TEST_F(AuditVerifierTest, a_removed_beginning_is_missed) {
  files_[0].erase(files_[0].begin());
  EXPECT_EQ(problems(), Problems{"f1:1 missing"});
}

TEST_F(AuditVerifierTest, a_line_that_was_moved_is_out_of_order) {
  std::swap(files_[0][1], files_[0][2]);
  EXPECT_EQ(problems(), (Problems{"f1:2 missing", "f1:3 out_of_order"}));
}

TEST_F(AuditVerifierTest, a_repeated_line_is_out_of_order) {
  files_[0].insert(files_[0].begin() + 2, files_[0][1]);
  EXPECT_EQ(problems(), Problems{"f1:3 out_of_order"});
}

TEST_F(AuditVerifierTest, an_added_line_is_named) {
  files_[0].insert(files_[0].begin() + 2, "nothing of ours");
  EXPECT_EQ(problems(), Problems{"f1:3 malformed"});
}

TEST_F(AuditVerifierTest, a_removed_file_is_missing) {
  files_.emplace_back();
  add(encode_audit_file(head_, 3, "n-00000001", 4));
  add_checkpoint(AuditCause::close);
  EXPECT_TRUE(problems().empty());
  files_.erase(files_.begin() + 1);
  EXPECT_EQ(problems(), (Problems{"f2:1 missing", "f2:1 missing"}));
}

TEST_F(AuditVerifierTest, files_in_the_wrong_order_are_out_of_order) {
  std::swap(files_[0], files_[1]);
  EXPECT_FALSE(problems().empty());
}

TEST_F(AuditVerifierTest, later_files_alone_are_whole_and_say_where_they_begin) {
  files_.erase(files_.begin());
  const AuditReport report = verify();
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(report.first_sequence, 8u);
}

TEST_F(AuditVerifierTest, a_chain_forged_without_the_key_ends_at_the_next_checkpoint) {
  const auto whole = files_;
  for (std::size_t line = 1; line < 4; ++line) {
    files_ = whole;
    forge_after(0, line, nullptr);
    ASSERT_FALSE(problems().empty()) << line;
    EXPECT_EQ(problems().front(), "f1:4 not_signed") << line;
  }
}

TEST_F(AuditVerifierTest, a_chain_signed_with_another_key_is_refused) {
  forge_after(0, 1, &stranger_);
  EXPECT_EQ(problems().front(), "f1:4 unknown_key");
}

TEST_F(AuditVerifierTest, a_checkpoint_of_another_place_does_not_hold) {
  files_[0][6] = files_[0][3];
  EXPECT_FALSE(problems().empty());
}

TEST_F(AuditVerifierTest, a_torn_last_line_is_named) {
  AuditVerifier verifier({.keys = {public_key(seed_)}});
  verifier.begin_file("f1");
  for (const std::string& line : files_[0]) verifier.on_line(line);
  verifier.on_line("{\"seq\":8", false);
  const AuditReport report = verifier.finish();
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_EQ(report.findings[0].problem, AuditProblem::torn);
  EXPECT_EQ(report.findings[0].line, 8u);
}

TEST_F(AuditVerifierTest, a_cut_at_the_very_end_shows_by_what_is_expected_only) {
  const crypto::Digest last = head_.hash;
  files_[1].pop_back();
  EXPECT_TRUE(verify().findings.empty());
  EXPECT_EQ(verify().unsigned_lines, 3u);
  EXPECT_FALSE(verify().closed);
  EXPECT_EQ(verify({}, true).findings.front().problem, AuditProblem::not_signed);
  EXPECT_EQ(verify(last).findings.front().problem, AuditProblem::nothing_found);
}

TEST_F(AuditVerifierTest, a_head_kept_from_the_middle_is_found) {
  const auto middle = parse_audit_line(files_[0][2]);
  EXPECT_TRUE(verify(middle->hash).findings.empty());
}

TEST_F(AuditVerifierTest, a_log_without_lines_or_without_checkpoints_is_not_whole) {
  files_ = {{}};
  EXPECT_EQ(problems(), (Problems{"f1:0 missing", ":0 nothing_found"}));
  files_ = {};
  EXPECT_EQ(problems(), Problems{":0 nothing_found"});
  files_.emplace_back();
  head_ = {};
  add(encode_audit_file(head_, 1, "n-00000001", 1));
  add_record("one");
  EXPECT_EQ(problems(), Problems{":0 nothing_found"});
}

TEST_F(AuditVerifierTest, more_lines_without_a_checkpoint_than_any_node_writes_are_reported) {
  files_[1].pop_back();  // Three lines without a signature are left.
  head_ = {10, parse_audit_line(files_[1].back())->hash};
  for (std::uint64_t i = 3; i < kAuditCheckpointLinesMax; ++i) add_record("x");
  EXPECT_TRUE(problems().empty());
  add_record("x");
  EXPECT_EQ(problems(), Problems{"f2:10001 not_signed"});
}

TEST_F(AuditVerifierTest, findings_are_kept_up_to_their_limit_and_counted_beyond) {
  files_[1].insert(files_[1].end(), kAuditFindingsMax, "junk");
  EXPECT_EQ(verify().findings.size(), kAuditFindingsMax);
  EXPECT_EQ(verify().findings_left_out, 0u);
  files_[1].push_back("junk");
  EXPECT_EQ(verify().findings_left_out, 1u);
}

}  // namespace
}  // namespace valkyrie::policy
