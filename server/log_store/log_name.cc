#include "server/log_store/log_name.h"

#include <charconv>
#include <fmt/format.h>
#include <system_error>

namespace valkyrie::log_store {

using jobs::LogId;

std::string folder_of(const LogId& log) {
  const std::string text = log.job.text();
  return text.substr(text.size() - 2);
}

std::string data_name(const LogId& log) {
  return fmt::format("{}.{}.log", log.job.text(), log.attempt);
}

std::string index_name(const LogId& log) {
  return fmt::format("{}.{}.index", log.job.text(), log.attempt);
}

std::optional<LogId> log_of_data_name(std::string_view name) {
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto range = jobs::JobIdRange::of_prefix(name.substr(0, dot));
  if (!range || range->first != range->last) return std::nullopt;
  LogId log{.job = range->first};
  const char* const end = name.data() + name.size();
  static_cast<void>(std::from_chars(name.data() + dot + 1, end, log.attempt));
  return data_name(log) == name ? std::optional(log) : std::nullopt;
}

std::string text_of(const LogId& log) { return fmt::format("{}/{}", log.job.text(), log.attempt); }

}  // namespace valkyrie::log_store
