// The verifier takes any files. What it calls a line must be one again after another line, and
// nobody without the key makes a log that is whole.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/assert.h"
#include "server/policy/audit_verifier.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace valkyrie::policy;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  AuditVerifier verifier({.keys = {valkyrie::protocol::crypto::Ed25519Key{}}});
  verifier.begin_file("first");
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line == "-") {
      verifier.begin_file("next");
    } else {
      verifier.on_line(line, end != std::string_view::npos);
    }
    const auto parsed = parse_audit_line(line);
    VALKYRIE_ASSERT(!parsed || line.starts_with(parsed->hashed));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  const AuditReport report = verifier.finish();
  VALKYRIE_ASSERT(!report.findings.empty());
  VALKYRIE_ASSERT(report.findings.size() <= kAuditFindingsMax);
  return 0;
}
