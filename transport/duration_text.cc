#include "transport/duration_text.h"

#include <array>
#include <charconv>
#include <fmt/format.h>
#include <utility>

namespace valkyrie::transport {
namespace {

using protocol::Duration;

constexpr Duration kDurationMax = std::chrono::hours(24);

constexpr std::array<std::pair<std::string_view, Duration>, 4> kUnits{{
    {"h", std::chrono::hours(1)},
    {"m", std::chrono::minutes(1)},
    {"s", std::chrono::seconds(1)},
    {"ms", std::chrono::milliseconds(1)},
}};

}  // namespace

std::expected<Duration, std::string> parse_duration(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data()) {
    return std::unexpected(fmt::format("\"{}\" is no length of time; write 30s or 500ms", text));
  }
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (unit.empty()) {
    return std::unexpected(fmt::format("{0} has no unit; write {0}s or {0}ms", text));
  }
  for (const auto& [name, length] : kUnits) {
    if (unit != name) continue;
    if (number > kDurationMax / length) {
      return std::unexpected(fmt::format("{} is over the limit of 24h", text));
    }
    return length * number;
  }
  return std::unexpected(fmt::format("{} has an unknown unit; use ms, s, m or h", text));
}

std::string duration_text(Duration duration) {
  for (const auto& [name, length] : kUnits) {
    if (duration.count() != 0 && duration % length == Duration(0)) {
      return fmt::format("{}{}", duration / length, name);
    }
  }
  return fmt::format("{}ms", duration / std::chrono::milliseconds(1));
}

}  // namespace valkyrie::transport
