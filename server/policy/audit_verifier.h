// Says whether an audit log is what a node wrote. Spec: docs/spec/audit.md, "Verifying".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/policy/audit_chain.h"

namespace valkyrie::policy {

// What can be wrong with a log.
enum class AuditProblem : std::uint8_t {
  malformed,      // A line that no node writes.
  torn,           // The last line has no end: a crash, or someone cut it.
  changed,        // A line is not what was written.
  missing,        // Lines, or a file's beginning, are not there.
  out_of_order,   // A line is where it was not written: moved, repeated or added.
  not_signed,     // A checkpoint's signature is of something else, or too many lines have none.
  unknown_key,    // A checkpoint is signed with a key that is none of the given ones.
  nothing_found,  // There is no line, no checkpoint, or not the line that was expected.
};

// The one word for a problem, for people and programs.
[[nodiscard]] std::string_view to_string(AuditProblem problem);

// One problem and its place.
struct AuditFinding {
  std::string file;            // As the verifier was told; empty: of the whole log.
  std::uint64_t line = 0;      // In the file, from 1; 0: of no line.
  std::uint64_t sequence = 0;  // Of the line in the chain; 0: not known.
  AuditProblem problem = AuditProblem::malformed;
  std::string text;  // For people.
};

// Findings that are kept; more are counted.
inline constexpr std::size_t kAuditFindingsMax = 100;

// What a log is worth. It is whole if there is no finding.
struct AuditReport {
  std::uint64_t files = 0;
  std::uint64_t lines = 0;
  std::uint64_t checkpoints = 0;     // With a good signature.
  std::uint64_t first_sequence = 0;  // More than 1: older files were not given.
  AuditHead head;                    // The last line.
  std::uint64_t unsigned_lines = 0;  // At the end: who has the files could still rewrite these.
  bool closed = false;               // The last line is the checkpoint of a node's stop.
  std::vector<AuditFinding> findings;
  std::uint64_t findings_left_out = 0;
};

// What a log is held against.
struct AuditExpectation {
  std::vector<protocol::crypto::Ed25519Key> keys;  // That may sign.
  std::optional<protocol::crypto::Digest> head;    // A line with this hash must be there.
  bool complete = false;                           // The last line must be a checkpoint.
};

// Takes the lines of the files in their order. Uses the same memory for any length of log. Not
// thread-safe.
class AuditVerifier {
 public:
  explicit AuditVerifier(AuditExpectation expectation);

  // The lines that follow are of this file.
  void begin_file(std::string_view name);
  // A line without its newline; `terminated` says whether it had one. Of a longer one than
  // kAuditLineBytesMax any part that is longer still is enough.
  void on_line(std::string_view text, bool terminated = true);
  // The last file is over. Call it once, last.
  [[nodiscard]] AuditReport finish();

 private:
  void end_file();
  void take(const AuditLine& line);
  [[nodiscard]] bool take_sequence(const AuditLine& line);
  void take_file(const AuditLine& line);
  void take_hash(const AuditLine& line);
  void take_checkpoint(const AuditLine& line);
  void find(AuditProblem problem, std::uint64_t sequence, std::string text);

  const AuditExpectation expectation_;
  AuditReport report_;
  std::string file_;
  std::uint64_t line_ = 0;            // In file_.
  std::uint64_t file_number_ = 0;     // 0: not known yet.
  bool at_beginning_ = true;          // Of a file: its next line is the first that can be read.
  bool hash_known_ = false;           // Whether report_.head has a hash to go on from,
  protocol::crypto::Digest other_{};  // and what else it could be, after a line that was changed.
  std::uint64_t unread_ = 0;          // Lines since the last one that could be read.
  std::uint64_t signed_ = 0;          // Sequence up to which signatures reach.
  bool run_reported_ = false;         // That the lines since then are too many.
  bool last_is_checkpoint_ = false;
  bool head_seen_ = false;
};

}  // namespace valkyrie::policy
