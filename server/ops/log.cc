#include "server/ops/log.h"

#include <fmt/format.h>
#include <spdlog/formatter.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "server/policy/json_text.h"

namespace valkyrie::server {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      break;
  }
  return spdlog::level::off;
}

std::string_view word(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::warn:
      return "warn";
    case spdlog::level::err:
      return "error";
    default:
      return "info";
  }
}

// Lines of either form. One line per message whatever a peer managed to get into it: control
// characters of text lines are shown as '?'.
class LineFormatter final : public spdlog::formatter {
 public:
  explicit LineFormatter(LogFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
    spdlog::memory_buf_t time;
    time_.format(message, time);
    const std::string_view when(time.data(), time.size());
    const std::string_view text(message.payload.data(), message.payload.size());
    if (format_ == LogFormat::json) {
      fmt::format_to(std::back_inserter(line), R"({{"time":"{}","level":"{}","message":{}}})", when,
                     word(message.level), policy::json_quote(text));
    } else {
      fmt::format_to(std::back_inserter(line), "{} {} ", when, word(message.level));
      for (const char c : text) line.push_back(static_cast<unsigned char>(c) < 0x20 ? '?' : c);
    }
    line.push_back('\n');
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_);
  }

 private:
  LogFormat format_;
  spdlog::pattern_formatter time_{"%Y-%m-%dT%H:%M:%S.%eZ", spdlog::pattern_time_type::utc, ""};
};

}  // namespace

std::shared_ptr<spdlog::logger> make_log(LogFormat format, LogLevel level) {
  auto log = std::make_shared<spdlog::logger>("valkyrie",
                                              std::make_shared<spdlog::sinks::stderr_sink_mt>());
  log->set_formatter(std::make_unique<LineFormatter>(format));
  log->set_level(to_spdlog(level));
  return log;
}

}  // namespace valkyrie::server
