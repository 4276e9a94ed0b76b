// Settings below `audit.` as people write them. docs/guide/security.md lists every key.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "server/ops/audit_log.h"

namespace valkyrie::server {

// Applies `key` = `value`, where `key` begins behind `audit.`: `on_failure`, `sync`, `file_max`,
// `checkpoint_interval`. The error, for people, names the key and what is wrong.
[[nodiscard]] std::expected<void, std::string> apply_audit_setting(std::string_view key,
                                                                   std::string_view value,
                                                                   AuditSettings& settings);

}  // namespace valkyrie::server
