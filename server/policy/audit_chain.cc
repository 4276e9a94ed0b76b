#include "server/policy/audit_chain.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <fmt/format.h>
#include <span>

#include "protocol/hex_text.h"
#include "protocol/status.h"
#include "server/policy/json_text.h"
#include "server/policy/wall_time.h"

namespace valkyrie::policy {

namespace {

namespace crypto = protocol::crypto;
using protocol::hex_text;

// What a signature is over begins with this, so that it can never be one of something else.
constexpr std::string_view kSignedPrefix = "valkyrie-audit-checkpoint-1\n";

// Digits of a time such as 2026-11-24T01:45:05.123Z.
constexpr std::size_t kTimeBytes = 24;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string_view to_string(AuditDecision decision) {
  switch (decision) {
    case AuditDecision::allowed:
      return "allowed";
    case AuditDecision::refused:
      return "refused";
    default:
      return "done";
  }
}

std::string_view to_string(AuditCause cause) {
  switch (cause) {
    case AuditCause::time:
      return "time";
    case AuditCause::rotation:
      return "rotation";
    case AuditCause::close:
      return "close";
    default:
      return "count";
  }
}

std::string time_text(std::uint64_t unix_ms) {
  // The year 9999 ends here: a clock may be wrong, the layout may not.
  constexpr std::uint64_t kLast = 253'402'300'799'999;
  const std::uint64_t ms = std::min(unix_ms, kLast);
  std::string text = wall_time_text(WallTime(std::chrono::seconds(ms / 1000)));
  text.back() = '.';  // Seconds are not the end of it.
  return fmt::format("{}{:03}Z", text, ms % 1000);
}

// As a JSON string: cut between characters, and other bytes than UTF-8 as '?'.
std::string quoted(std::string_view text) {
  if (!protocol::is_utf8(text)) {
    std::string plain(text.substr(0, kAuditTextBytesMax));
    for (char& c : plain) {
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    }
    return json_quote(plain);
  }
  if (text.size() > kAuditTextBytesMax) {
    std::size_t end = kAuditTextBytesMax;
    while ((static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;
    text = text.substr(0, end);
  }
  return json_quote(text);
}

// Puts the hash to a line that lacks only that, and moves the head on.
std::string sealed(AuditHead& head, std::string line) {
  head = {head.sequence + 1, audit_hash(head.hash, line)};
  return line + fmt::format(R"(,"hash":"{}"}})", hex_text(head.hash));
}

std::string begun(const AuditHead& head, std::uint64_t unix_ms, std::string_view kind) {
  return fmt::format(R"({{"seq":{},"time":"{}","kind":"{}")", head.sequence + 1, time_text(unix_ms),
                     kind);
}

// Takes a line apart from its front. Once something is missing, all that follows is too.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text), whole_(text) {}

  void literal(std::string_view expected) {
    good_ = good_ && text_.starts_with(expected);
    if (good_) text_.remove_prefix(expected.size());
  }
  // Digits without a leading zero.
  std::uint64_t number() {
    std::uint64_t value = 0;
    const char* const end = text_.data() + text_.size();
    const auto [next, error] = std::from_chars(text_.data(), end, value);
    good_ = good_ && error == std::errc() && text_.front() != '0';
    if (good_) text_.remove_prefix(static_cast<std::size_t>(next - text_.data()));
    return good_ ? value : 0;
  }
  // What is between quotes, still escaped.
  std::string_view quoted() {
    literal("\"");
    std::size_t end = 0;
    while (good_ && end < text_.size() && text_[end] != '"') {
      if (static_cast<unsigned char>(text_[end]) < 0x20) good_ = false;
      end += text_[end] == '\\' ? 2 : 1;
    }
    good_ = good_ && end < text_.size();
    if (!good_) return {};
    const std::string_view value = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return value;
  }
  // Hashes and the like are lower case: one text for one line.
  void hex(std::span<std::byte> bytes) {
    const std::string_view digits = quoted();
    good_ = good_ && digits.find_first_of("ABCDEF") == std::string_view::npos &&
            protocol::read_hex_text(digits, bytes);
  }
  // What was taken until now.
  [[nodiscard]] std::string_view taken() const {
    return whole_.substr(0, whole_.size() - text_.size());
  }
  void refuse_unless(bool condition) { good_ = good_ && condition; }
  [[nodiscard]] bool at(std::string_view expected) const {
    return good_ && text_.starts_with(expected);
  }
  [[nodiscard]] bool ended() const { return good_ && text_.empty(); }

 private:
  std::string_view text_;
  const std::string_view whole_;
  bool good_ = true;
};

void scan_file(Scanner& scanner, AuditLine& line) {
  scanner.literal(R"(,"format":1,"file":)");
  line.file = scanner.number();
  scanner.literal(R"(,"node":)");
  static_cast<void>(scanner.quoted());
  scanner.literal(R"(,"previous":)");
  scanner.hex(line.previous);
}

void scan_record(Scanner& scanner) {
  for (const std::string_view name :
       {"who", "action", "what", "from", "decision", "reason", "trace"}) {
    scanner.literal(",\"");
    scanner.literal(name);
    scanner.literal("\":");
    static_cast<void>(scanner.quoted());
  }
}

void scan_checkpoint(Scanner& scanner, AuditLine& line) {
  scanner.literal(R"(,"cause":)");
  line.cause = scanner.quoted();
  scanner.literal(R"(,"previous":)");
  scanner.hex(line.previous);
  scanner.literal(R"(,"key":)");
  scanner.hex(line.key);
  line.signed_text = scanner.taken();
  scanner.literal(R"(,"signature":)");
  scanner.hex(line.signature);
}

}  // namespace

std::string encode_audit_file(AuditHead& head, std::uint64_t file, std::string_view node,
                              std::uint64_t unix_ms) {
  return sealed(head, begun(head, unix_ms, "file") +
                          fmt::format(R"(,"format":1,"file":{},"node":{},"previous":"{}")", file,
                                      quoted(node), hex_text(head.hash)));
}

std::string encode_audit_record(AuditHead& head, const AuditRecord& record) {
  return sealed(
      head, begun(head, record.unix_ms, "record") +
                fmt::format(R"(,"who":{},"action":{},"what":{},"from":{},"decision":"{}",)"
                            R"("reason":{},"trace":{})",
                            quoted(record.who), quoted(record.action), quoted(record.what),
                            quoted(record.from), to_string(record.decision), quoted(record.reason),
                            quoted(record.trace)));
}

std::string encode_audit_checkpoint(AuditHead& head, AuditCause cause, std::uint64_t unix_ms,
                                    const crypto::Ed25519Seed& seed,
                                    const crypto::Ed25519Key& key) {
  std::string line = begun(head, unix_ms, "checkpoint") +
                     fmt::format(R"(,"cause":"{}","previous":"{}","key":"{}")", to_string(cause),
                                 hex_text(head.hash), hex_text(key));
  const auto signature = crypto::sign_ed25519(seed, bytes_of(std::string(kSignedPrefix) + line));
  line += fmt::format(R"(,"signature":"{}")", hex_text(signature));
  return sealed(head, std::move(line));
}

std::optional<AuditLine> parse_audit_line(std::string_view text) {
  if (text.size() > kAuditLineBytesMax) return std::nullopt;
  AuditLine line;
  Scanner scanner(text);
  scanner.literal(R"({"seq":)");
  line.sequence = scanner.number();
  scanner.literal(R"(,"time":)");
  line.time = scanner.quoted();
  scanner.refuse_unless(line.time.size() == kTimeBytes);
  if (scanner.at(R"(,"kind":"file")")) {
    line.kind = AuditKind::file;
    scanner.literal(R"(,"kind":"file")");
    scan_file(scanner, line);
  } else if (scanner.at(R"(,"kind":"checkpoint")")) {
    line.kind = AuditKind::checkpoint;
    scanner.literal(R"(,"kind":"checkpoint")");
    scan_checkpoint(scanner, line);
  } else {
    scanner.literal(R"(,"kind":"record")");
    scan_record(scanner);
  }
  line.hashed = scanner.taken();
  scanner.literal(R"(,"hash":)");
  scanner.hex(line.hash);
  scanner.literal("}");
  if (!scanner.ended()) return std::nullopt;
  return line;
}

crypto::Digest audit_hash(const crypto::Digest& previous, std::string_view hashed) {
  return crypto::sha256(previous, bytes_of(hashed));
}

bool audit_signature_holds(const AuditLine& checkpoint) {
  return crypto::verify_ed25519(
      checkpoint.key, bytes_of(std::string(kSignedPrefix) + std::string(checkpoint.signed_text)),
      checkpoint.signature);
}

}  // namespace valkyrie::policy
