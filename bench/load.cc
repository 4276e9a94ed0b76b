#include "bench/load.h"

#include <charconv>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <system_error>

namespace valkyrie::bench {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr double kSecondsMax = 3600.0;

// Parses all of `text`; false when it is no number or lies outside [low, high].
template <typename Number>
bool parse_number(std::string_view text, Number low, Number high, Number& value) {
  Number parsed{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (error != std::errc{} || end != text.data() + text.size()) return false;
  if (!(parsed >= low && parsed <= high)) return false;
  value = parsed;
  return true;
}

bool set_option(LoadOptions& options, std::string_view name, std::string_view value) {
  if (name == "--url") {
    options.url = value;
    return !value.empty();
  }
  if (name == "--connections") return parse_number(value, 1U, 1024U, options.connections);
  if (name == "--depth") return parse_number(value, 1U, 65'536U, options.depth);
  if (name == "--size") return parse_number(value, 1U, 65'536U, options.size);
  if (name == "--warmup") return parse_number(value, 0.0, kSecondsMax, options.warmup_s);
  if (name == "--time") return parse_number(value, 0.01, kSecondsMax, options.time_s);
  return false;
}

std::uint64_t to_ns(double seconds) { return static_cast<std::uint64_t>(seconds * kNsPerSecond); }

double to_us(std::uint64_t ns) { return static_cast<double>(ns) / 1000.0; }

}  // namespace

std::expected<LoadOptions, std::string> parse_load_options(int argc, const char* const* argv) {
  LoadOptions options;
  for (int at = 1; at < argc; at += 2) {
    const std::string_view value = at + 1 < argc ? argv[at + 1] : "";
    if (!set_option(options, argv[at], value)) {
      return std::unexpected(fmt::format(
          "{}: bad option `{} {}`; usage: --url URL [--connections 1..1024] [--depth 1..65536] "
          "[--size 1..65536] [--warmup SECONDS] [--time SECONDS]",
          argv[0], argv[at], value));
    }
  }
  if (options.url.empty()) return std::unexpected(fmt::format("{}: --url is missing", argv[0]));
  return options;
}

std::expected<std::string, std::string> parse_url_option(int argc, const char* const* argv) {
  if (argc == 3 && std::strcmp(argv[1], "--url") == 0) return std::string(argv[2]);
  return std::unexpected(fmt::format("usage: {} --url URL", argv[0]));
}

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

Measurement::Measurement(const LoadOptions& options, std::uint64_t start_ns)
    : options_(options),
      begin_ns_(start_ns + to_ns(options.warmup_s)),
      end_ns_(begin_ns_ + to_ns(options.time_s)) {}

std::string Measurement::to_json(std::string_view program) const {
  return fmt::format(
      R"({{"program": "{}", "connections": {}, "depth": {}, "size": {}, "time_s": {}, )"
      R"("rate_per_s": {:.1f}, "p50_us": {:.3f}, "p99_us": {:.3f}, "p999_us": {:.3f}, )"
      R"("max_us": {:.3f}, "errors": {}, "calls": {}, "calls_in_all": {}, "histogram": {}}})",
      program, options_.connections, options_.depth, options_.size, options_.time_s,
      static_cast<double>(histogram_.count()) / options_.time_s, to_us(histogram_.value_at_ns(0.5)),
      to_us(histogram_.value_at_ns(0.99)), to_us(histogram_.value_at_ns(0.999)),
      to_us(histogram_.max_ns()), errors_, histogram_.count(), answers_, histogram_.to_json());
}

}  // namespace valkyrie::bench
