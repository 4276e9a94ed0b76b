// The lines of an audit log: how a record becomes one, and what a line says. Each line holds a hash
// over itself and the line before, so that none can be changed, taken out or moved; checkpoints are
// lines with a signature over all before them. Layout: docs/spec/audit.md.
//
// Pure and not thread-safe: the files and the clock are the caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/crypto/digest.h"
#include "protocol/crypto/signature.h"

namespace valkyrie::policy {

// Bytes of each text of a record: a longer one is cut, so that a peer cannot fill the log with its
// name.
inline constexpr std::size_t kAuditTextBytesMax = 256;

// Bytes of a line without its newline. What is escaped takes at most six times its bytes, so the
// texts of a record always fit.
inline constexpr std::size_t kAuditLineBytesMax = 16U << 10U;

// Lines between two checkpoints at the most, whatever a node is told.
inline constexpr std::uint64_t kAuditCheckpointLinesMax = 10'000;

// What came of an action.
enum class AuditDecision : std::uint8_t {
  done,     // Nobody was asked: it happened.
  allowed,  // Asked for and permitted.
  refused,
};

// One thing worth remembering. The texts are anything: what is not UTF-8 or too long is made to
// fit. None may hold a secret.
struct AuditRecord {
  std::uint64_t unix_ms = 0;
  std::string_view who;     // Identity, such as "uid:1000"; empty: unknown.
  std::string_view action;  // A word of docs/spec/audit.md, such as "session.open".
  std::string_view what;    // Which object, such as a service.
  std::string_view from;    // Address of the peer.
  AuditDecision decision = AuditDecision::done;
  std::string_view reason;
  std::string_view trace;  // Trace id in hexadecimal digits; empty: none.
};

// Why a checkpoint was made.
enum class AuditCause : std::uint8_t {
  count,     // So many lines since the last one.
  time,      // So long since the last one.
  rotation,  // The last line of a file that another one follows.
  close,     // The node stopped.
};

// The last line of a chain: its number, 0 before the first one, and its hash. Keep it somewhere
// else, and nobody can cut the chain short unseen.
struct AuditHead {
  std::uint64_t sequence = 0;
  protocol::crypto::Digest hash{};

  friend bool operator==(const AuditHead&, const AuditHead&) = default;
};

// Makes lines. `head` is where the chain is and moves on: keep a copy until the line is written,
// since a line that is not must not be counted. Lines are without their newline.

// The first line of file `file`, from 1, of this node.
[[nodiscard]] std::string encode_audit_file(AuditHead& head, std::uint64_t file,
                                            std::string_view node, std::uint64_t unix_ms);
// A record.
[[nodiscard]] std::string encode_audit_record(AuditHead& head, const AuditRecord& record);
// A checkpoint signed with the key of this seed, whose public key is `key`.
[[nodiscard]] std::string encode_audit_checkpoint(AuditHead& head, AuditCause cause,
                                                  std::uint64_t unix_ms,
                                                  const protocol::crypto::Ed25519Seed& seed,
                                                  const protocol::crypto::Ed25519Key& key);

// What a line is.
enum class AuditKind : std::uint8_t { file, record, checkpoint };

// A line taken apart. All views borrow from it.
struct AuditLine {
  AuditKind kind = AuditKind::record;
  std::uint64_t sequence = 0;
  std::string_view time;
  std::string_view hashed;  // What its hash is over, with the hash of the line before.
  protocol::crypto::Digest hash{};
  protocol::crypto::Digest previous{};  // Of a file and a checkpoint: the line before, by its hash.
  std::uint64_t file = 0;               // Of a file.
  std::string_view cause;               // Of a checkpoint, as are all that follow.
  std::string_view signed_text;
  protocol::crypto::Ed25519Key key{};
  protocol::crypto::Ed25519Signature signature{};
};

// Reads a line; nullopt if it has not exactly the layout. Whether it is true is another question.
[[nodiscard]] std::optional<AuditLine> parse_audit_line(std::string_view line);
// The hash that this line must have after that one.
[[nodiscard]] protocol::crypto::Digest audit_hash(const protocol::crypto::Digest& previous,
                                                  std::string_view hashed);
// True if the checkpoint's signature is its key's.
[[nodiscard]] bool audit_signature_holds(const AuditLine& checkpoint);

}  // namespace valkyrie::policy
