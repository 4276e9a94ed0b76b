#include "server/ops/size_text.h"

#include <charconv>
#include <fmt/format.h>

namespace valkyrie::server {

std::expected<std::uint64_t, std::string> parse_count(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::unexpected(fmt::format("\"{}\" is no whole number", text));
  }
  return value;
}

std::expected<std::uint64_t, std::string> parse_size(std::string_view text, std::uint64_t max) {
  std::uint64_t unit = 0;
  if (text.ends_with("MiB")) unit = std::uint64_t{1} << 20U;
  if (text.ends_with("KiB")) unit = std::uint64_t{1} << 10U;
  if (unit == 0) {
    return std::unexpected(fmt::format("{} has no unit; write {}KiB or {}MiB", text, text, text));
  }
  const auto value = parse_count(text.substr(0, text.size() - 3));
  if (!value) return value;
  if (*value > max / unit) return std::unexpected(fmt::format("{} is too much", text));
  return *value * unit;
}

}  // namespace valkyrie::server
