// Sizes as people write them.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace valkyrie::server {

// Bytes of a text such as "64KiB" or "1MiB". The error, for people, says what to write, or that it
// is more than `max`.
[[nodiscard]] std::expected<std::uint64_t, std::string> parse_size(std::string_view text,
                                                                   std::uint64_t max);

}  // namespace valkyrie::server
