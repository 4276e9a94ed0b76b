#include "server/ops/size_text.h"

#include <charconv>
#include <fmt/format.h>

namespace valkyrie::server {

std::expected<std::uint64_t, std::string> parse_size(std::string_view text, std::uint64_t max) {
  std::uint64_t unit = 0;
  if (text.ends_with("MiB")) unit = std::uint64_t{1} << 20U;
  if (text.ends_with("KiB")) unit = std::uint64_t{1} << 10U;
  if (unit == 0) {
    return std::unexpected(fmt::format("{} has no unit; write {}KiB or {}MiB", text, text, text));
  }
  const std::string_view digits = text.substr(0, text.size() - 3);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return std::unexpected(fmt::format("\"{}\" is no whole number", digits));
  }
  if (value > max / unit) return std::unexpected(fmt::format("{} is too much", text));
  return value * unit;
}

}  // namespace valkyrie::server
