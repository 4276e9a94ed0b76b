// Settings below `limits.` as people write them. docs/guide/security.md lists every key.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "server/policy/door_limits.h"

namespace valkyrie::server {

// What the settings say.
struct LimitSettings {
  policy::DoorRules doors;
  bool keep_bans = false;  // In the state directory, for the next start.
};

// Applies `key` = `value`, where `key` begins behind `limits.`. The error, for people, names the
// key and what is wrong.
[[nodiscard]] std::expected<void, std::string> apply_limit_setting(std::string_view key,
                                                                   std::string_view value,
                                                                   LimitSettings& settings);

}  // namespace valkyrie::server
