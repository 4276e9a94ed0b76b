#include "server/policy/wall_time.h"

#include <fmt/format.h>

namespace valkyrie::policy {
namespace {

// Takes `digits` digits and the byte after them from the front; nullopt if they are not there.
std::optional<unsigned> take(std::string_view& text, std::size_t digits, char after) {
  unsigned value = 0;
  if (text.size() <= digits || text[digits] != after) return std::nullopt;
  for (const char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  text.remove_prefix(digits + 1);
  return value;
}

}  // namespace

std::string wall_time_text(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::optional<WallTime> parse_wall_time(std::string_view text) {
  const auto year = take(text, 4, '-');
  const auto month = year ? take(text, 2, '-') : std::nullopt;
  const auto day = month ? take(text, 2, 'T') : std::nullopt;
  const auto hour = day ? take(text, 2, ':') : std::nullopt;
  const auto minute = hour ? take(text, 2, ':') : std::nullopt;
  const auto second = minute ? take(text, 2, 'Z') : std::nullopt;
  if (!second || !text.empty()) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(*month), std::chrono::day(*day));
  if (!date.ok() || *year < 1970 || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second);
}

}  // namespace valkyrie::policy
