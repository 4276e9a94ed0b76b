// Lengths of time as people write them: a number and its unit.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "protocol/time.h"

namespace valkyrie::transport {

// Reads "250ms", "30s", "5m" or "1h"; whole numbers, at most 24 h. The error says what to write.
[[nodiscard]] std::expected<protocol::Duration, std::string> parse_duration(std::string_view text);

// The same text back, in the largest unit that divides it: "30s", "1500ms".
[[nodiscard]] std::string duration_text(protocol::Duration duration);

}  // namespace valkyrie::transport
