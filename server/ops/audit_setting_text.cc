#include "server/ops/audit_setting_text.h"

#include <fmt/format.h>

#include "server/ops/size_text.h"
#include "transport/duration_text.h"

namespace valkyrie::server {
namespace {

using Applied = std::expected<void, std::string>;

std::unexpected<std::string> wrong(std::string_view key, std::string_view what) {
  return std::unexpected(fmt::format("audit.{}: {}", key, what));
}

Applied apply_file_max(std::string_view value, AuditSettings& settings) {
  const auto size = parse_size(value, kAuditFileBytesMax);
  if (!size) return wrong("file_max", size.error());
  if (*size < kAuditFileBytesMin) return wrong("file_max", "it is between 64KiB and 256MiB");
  settings.file_bytes_max = *size;
  return {};
}

Applied apply_interval(std::string_view value, AuditSettings& settings) {
  const auto time = transport::parse_duration(value);
  if (!time) return wrong("checkpoint_interval", time.error());
  if (*time < kAuditIntervalMin || *time > kAuditIntervalMax) {
    return wrong("checkpoint_interval", fmt::format("{} is not between {} and {}", value,
                                                    transport::duration_text(kAuditIntervalMin),
                                                    transport::duration_text(kAuditIntervalMax)));
  }
  settings.checkpoint_interval = *time;
  return {};
}

}  // namespace

Applied apply_audit_setting(std::string_view key, std::string_view value, AuditSettings& settings) {
  if (key == "file_max") return apply_file_max(value, settings);
  if (key == "checkpoint_interval") return apply_interval(value, settings);
  if (key == "on_failure") {
    if (value != "continue" && value != "refuse") return wrong(key, "it is continue or refuse");
    settings.on_failure = value == "refuse" ? AuditFailure::refuse : AuditFailure::proceed;
    return {};
  }
  if (key == "sync") {
    if (value != "checkpoint" && value != "record") return wrong(key, "it is checkpoint or record");
    settings.sync = value == "record" ? AuditSync::record : AuditSync::checkpoint;
    return {};
  }
  return wrong(key, "no such key; there are on_failure, sync, file_max, checkpoint_interval");
}

}  // namespace valkyrie::server
