#include <algorithm>
#include <array>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json/parse.hpp>

#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/load_generator.h"
#include "tools/valkyrie/options.h"

namespace valkyrie::tools {

namespace {

double us(std::uint64_t ns) { return static_cast<double>(ns) / 1e3; }

void print_result_json(const LoadOptions& options, const LoadResult& result) {
  const Histogram& latency = result.latency;
  print_json(json::object{{"rate_per_s", static_cast<double>(result.calls) / result.seconds},
                          {"p50_us", us(latency.value_at_ns(0.5))},
                          {"p99_us", us(latency.value_at_ns(0.99))},
                          {"p999_us", us(latency.value_at_ns(0.999))},
                          {"max_us", us(latency.max_ns())},
                          {"errors", result.errors},
                          {"missed", result.missed},
                          {"calls", result.calls},
                          {"seconds", result.seconds},
                          {"loop", options.rate > 0 ? "open" : "closed"},
                          {"connections", options.connections},
                          {"loops", std::min(options.loops, options.connections)},
                          {"depth", options.depth},
                          {"size", options.size},
                          {"histogram", json::parse(latency.to_json())}});
}

// Bars over powers of two: enough to see one peak or two.
void print_distribution(const Histogram& latency) {
  std::array<std::uint64_t, 41> counts{};
  const json::value buckets = json::parse(latency.to_json());
  for (const json::value& bucket : buckets.as_array()) {
    const double top_us = bucket.as_array()[0].to_number<double>();
    unsigned power = 0;
    while (power < 40 && static_cast<double>(1ull << power) < top_us * 1e3) ++power;
    counts[power] += bucket.as_array()[1].to_number<std::uint64_t>();
  }
  for (unsigned power = 1; power <= 40; ++power) {
    const double share = static_cast<double>(counts[power]) / static_cast<double>(latency.count());
    if (counts[power] == 0) continue;
    const std::string from = human_duration(Duration(1ll << (power - 1)));
    const std::string to = human_duration(Duration(1ll << power));
    fmt::print("  {:>7} to {:>7}  {:<40} {:5.1f}%\n", from, to,
               std::string(static_cast<std::size_t>(share * 40 + 0.5), '#'), share * 100);
  }
}

void print_result(const LoadOptions& options, const LoadResult& result) {
  const Histogram& latency = result.latency;
  const auto at = [&latency](double quantile) {
    return human_duration(Duration(static_cast<std::int64_t>(latency.value_at_ns(quantile))));
  };
  fmt::print("calls {}  rate {}  errors {}  p50 {}  p99 {}  p99.9 {}  max {}  ({})\n", result.calls,
             human_rate(static_cast<double>(result.calls) / result.seconds), result.errors, at(0.5),
             at(0.99), at(0.999), at(1.0),
             options.rate > 0 ? fmt::format("open loop, {} missed", result.missed) : "closed loop");
  print_distribution(latency);
}

int run_bench(const Globals& globals, LoadOptions options, const CallFlags& flags) {
  options.call = flags.options(globals);
  const auto result = generate_load(globals, options);
  if (!result) return result.error();
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_result_json(options, *result);
  } else {
    print_result(options, *result);
  }
  if (result->first_error) return report(*result->first_error);
  return kExitDone;
}

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  auto* bench = app.add_subcommand("bench", "Measures a node");
  bench->require_subcommand(1);
  bench->footer(
      "Examples:\n  valkyrie bench call valkyrie.Node/Echo --depth 512 --time 3\n"
      "  valkyrie bench pub --subscribers 100\n  valkyrie bench stream --size 65536\n"
      "  valkyrie bench conn --connections 1000");
  auto options = std::make_shared<LoadOptions>();
  auto flags = std::make_shared<CallFlags>();
  auto* call = bench->add_subcommand("call", "Rate and latency of a call");
  call->footer(
      "Closed loop: each answer starts the next call, so a slow node is asked less. With --rate\n"
      "calls start on schedule and count from when they were due.\n"
      "Examples:\n"
      "  valkyrie bench call valkyrie.Node/Echo\n"
      "  valkyrie bench call test.Echo/Run --depth 512 --time 3\n"
      "  valkyrie -o json bench call test.Echo/Run --connections 64 --rate 10000");
  call->add_option("TARGET", options->target, "service/method")->required();
  call->add_option("--connections", options->connections, "Connections (default 1)")
      ->check(CLI::Range(1, 4096));
  call->add_option("--loops", options->loops, "Threads that the connections share (default 1)")
      ->check(CLI::Range(1, 64));
  call->add_option("--depth", options->depth, "Calls in flight on each (default 1)")
      ->check(CLI::Range(1, 4096));
  call->add_option("--size", options->size, "Bytes of payload (default 64)")
      ->check(CLI::Range(0, 4 << 20));
  add_seconds(*call, "--time", options->time, "How long to measure (default 10s)");
  add_seconds(*call, "--warmup", options->warmup, "Before it, not counted (default 300ms)");
  call->add_option("--rate", options->rate, "Calls a second in all, open loop (default: closed)")
      ->check(CLI::Range(0.001, 1e8));
  add_call_flags(*call, *flags);
  call->callback([&context, options, flags] {
    context.run = [&context, options, flags] {
      return run_bench(context.globals, *options, *flags);
    };
  });
  add_bench_pub(*bench, context);
  add_bench_stream(*bench, context);
  add_bench_conn(*bench, context);
}

}  // namespace valkyrie::tools
