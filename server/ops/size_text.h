// Numbers and sizes as people write them.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace valkyrie::server {

// A number without sign or unit. The error, for people, quotes what is none.
[[nodiscard]] std::expected<std::uint64_t, std::string> parse_count(std::string_view text);
// Bytes of a text such as "64KiB" or "1MiB". The error, for people, says what to write, or that it
// is more than `max`.
[[nodiscard]] std::expected<std::uint64_t, std::string> parse_size(std::string_view text,
                                                                   std::uint64_t max);

}  // namespace valkyrie::server
