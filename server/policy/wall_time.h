// The wall clock, which tokens and keys expire by, and its text. Nothing here reads it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace valkyrie::policy {

// Whole seconds of UTC.
using WallTime = std::chrono::sys_seconds;

// `2026-11-24T02:00:00Z`. REQUIRES: a year of 1970 to 9999
[[nodiscard]] std::string wall_time_text(WallTime time);
// Reads exactly that; nullopt for anything else, and for days that are in no calendar.
[[nodiscard]] std::optional<WallTime> parse_wall_time(std::string_view text);

}  // namespace valkyrie::policy
