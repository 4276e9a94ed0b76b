#include "tools/valkyrie/options.h"

#include <charconv>
#include <fmt/format.h>
#include <map>

#include <CLI/CLI.hpp>

#include "transport/duration_text.h"

namespace valkyrie::tools {

CallOptions CallFlags::options(const Globals& globals) const {
  return {.deadline = deadline != Duration{} ? deadline : globals.timeout,
          .qos = qos,
          .urgency = urgency,
          .idempotency_key = idempotency_key};
}

bool CallFlags::fill(Metadata& metadata) const {
  for (const auto& [name, value] : headers) {
    if (metadata.add(name, value)) continue;
    print_error(fmt::format("-H {}={}: names are [a-z0-9._-], values printable", name, value));
    return false;
  }
  return true;
}

void add_call_flags(CLI::App& command, CallFlags& flags, std::string_view deadline_default) {
  static const std::map<std::string, Qos> kClasses = {{"critical", Qos::critical},
                                                      {"system", Qos::system},
                                                      {"job", Qos::job},
                                                      {"data", Qos::data},
                                                      {"telemetry", Qos::telemetry}};
  add_duration(
      command, "--deadline", flags.deadline,
      fmt::format("Stop caring after this long, such as 200ms (default {})", deadline_default));
  command
      .add_option_function<std::string>(
          "--qos", [&flags](const std::string& word) { flags.qos = kClasses.at(word); },
          "Class: critical, system, job, data or telemetry (default data)")
      ->check(CLI::IsMember(&kClasses));
  command.add_option("--urgency", flags.urgency, "Inside the class: 0 first, 31 last (default 16)")
      ->check(CLI::Range(0, 31));
  command.add_option("--idempotency-key", flags.idempotency_key,
                     "Lets the service recognise a repeated call; 1 to 64 bytes");
  add_pairs(command, "-H,--header", flags.headers, "Metadata k=v to send along; repeatable");
}

Duration duration_or_throw(const std::string& name, const std::string& text) {
  const auto parsed = transport::parse_duration(text);
  if (!parsed) throw CLI::ValidationError(name, parsed.error());
  return *parsed;
}

CLI::Option* add_duration(CLI::App& command, const std::string& name, Duration& value,
                          const std::string& help) {
  return command
      .add_option_function<std::string>(
          name, [&value, name](const std::string& text) { value = duration_or_throw(name, text); },
          help)
      ->type_name("TIME");
}

namespace {

// A hundred years: all that is made today is forgotten by then.
constexpr int kLifetimeDaysMax = 36'500;

std::chrono::seconds lifetime_or_throw(const std::string& text) {
  if (!text.ends_with('d')) {
    const Duration time = duration_or_throw("--lifetime", text);
    if (time >= std::chrono::seconds(1)) {
      return std::chrono::duration_cast<std::chrono::seconds>(time);
    }
  }
  int days = 0;
  const char* const unit = text.data() + text.size() - 1;
  const auto [end, error] = std::from_chars(text.data(), unit, days);
  if (error != std::errc() || end != unit || days < 1 || days > kLifetimeDaysMax) {
    throw CLI::ValidationError(
        "--lifetime",
        fmt::format("write 12h, or whole days as 90d, at most {}d", kLifetimeDaysMax));
  }
  return std::chrono::days(days);
}

}  // namespace

void add_lifetime(CLI::App& command, std::chrono::seconds& value, const std::string& help) {
  command
      .add_option_function<std::string>(
          "--lifetime", [&value](const std::string& text) { value = lifetime_or_throw(text); },
          help)
      ->type_name("TIME");
}

CLI::Option* add_pairs(CLI::App& command, const std::string& name,
                       std::vector<std::pair<std::string, std::string>>& pairs,
                       const std::string& help) {
  return command
      .add_option_function<std::vector<std::string>>(
          name,
          [&pairs, name](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              auto pair = parse_pair(text);
              if (!pair) {
                throw CLI::ValidationError(name, fmt::format("\"{}\" is not k=v", text));
              }
              pairs.push_back(std::move(*pair));
            }
          },
          help)
      ->type_name("K=V")
      ->allow_extra_args(false);
}

void add_seconds(CLI::App& command, const std::string& name, Duration& value,
                 const std::string& help) {
  command.add_option_function<std::string>(
      name,
      [&value, name](const std::string& text) {
        double seconds = 0;
        std::size_t used = 0;
        try {
          seconds = std::stod(text, &used);
        } catch (const std::exception&) {
          used = 0;
        }
        const bool plain = used == text.size() && used > 0 && seconds >= 0 && seconds <= 86'400;
        if (plain) {
          value = Duration(static_cast<std::int64_t>(seconds * 1e9));
          return;
        }
        value = duration_or_throw(name, text);
      },
      help);
}

}  // namespace valkyrie::tools
