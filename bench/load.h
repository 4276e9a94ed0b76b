#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <utility>

#include "tools/histogram.h"

namespace valkyrie::bench {

// What a load program is asked to do. The loop is closed: every connection keeps exactly `depth`
// requests in flight and sends the next one when an answer arrives.
struct LoadOptions {
  std::string url;                // Where the first hop listens.
  std::uint32_t connections = 1;  // 1 to 1,024.
  std::uint32_t depth = 1;        // Requests in flight per connection, 1 to 65,536.
  std::uint32_t size = 64;        // Payload bytes of a message, 1 to 65,536.
  double warmup_s = 0.5;          // Load before measuring, not counted.
  double time_s = 3.0;            // Measured time.
};

// Reads `--url U --connections N --depth D --size S --warmup SECONDS --time SECONDS`. The error is
// one line for the user; exit with 2.
[[nodiscard]] std::expected<LoadOptions, std::string> parse_load_options(int argc,
                                                                         const char* const* argv);

// Value of `--url` of a program that takes nothing else; the error is one line for the user.
[[nodiscard]] std::expected<std::string, std::string> parse_url_option(int argc,
                                                                       const char* const* argv);

// Nanoseconds of the monotonic clock.
[[nodiscard]] std::uint64_t now_ns();

// Counts the answers that arrive inside the measured time. Not thread-safe.
class Measurement {
 public:
  // Warm-up begins at `start_ns`.
  Measurement(const LoadOptions& options, std::uint64_t start_ns);

  // An answer arrived at `now_ns` to a request written at `sent_ns`.
  void answered(std::uint64_t sent_ns, std::uint64_t now_ns) {
    ++answers_;
    if (now_ns < begin_ns_ || now_ns >= end_ns_) return;
    histogram_.record(now_ns - sent_ns);
  }
  // A request was answered by an error.
  void failed() { ++errors_; }
  // True once the measured time is over: stop sending.
  [[nodiscard]] bool over(std::uint64_t now_ns) const { return now_ns >= end_ns_; }

  // One JSON object in one line: rate_per_s, p50_us, p99_us, p999_us, max_us, errors, calls (inside
  // the measured time), calls_in_all (with warm-up), histogram, and the options.
  [[nodiscard]] std::string to_json(std::string_view program) const;

 private:
  LoadOptions options_;
  std::uint64_t begin_ns_;
  std::uint64_t end_ns_;
  std::uint64_t answers_ = 0;
  std::uint64_t errors_ = 0;
  tools::Histogram histogram_;
};

// main() of a load program: options in, one line of JSON out; 2 on bad usage, 1 on a failed run.
// A Load is made of LoadOptions; run(program) returns the JSON, or one line for the user.
template <typename Load>
int load_main(int argc, const char* const* argv, std::string_view program) {
  auto options = parse_load_options(argc, argv);
  if (!options) {
    fmt::print(stderr, "{}\n", options.error());
    return 2;
  }
  const std::expected<std::string, std::string> result = Load(std::move(*options)).run(program);
  if (!result) {
    fmt::print(stderr, "{}: {}\n", program, result.error());
    return 1;
  }
  fmt::print("{}\n", *result);
  return 0;
}

}  // namespace valkyrie::bench
