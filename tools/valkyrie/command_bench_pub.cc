// bench pub and bench conn.
#include <atomic>
#include <fmt/format.h>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>
#include <boost/json/parse.hpp>

#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/connect_load.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"
#include "tools/valkyrie/publish_load.h"

namespace valkyrie::tools {

namespace {

double us(std::uint64_t ns) { return static_cast<double>(ns) / 1e3; }

std::string human_at(const Histogram& latency, double quantile) {
  return human_duration(Duration(static_cast<std::int64_t>(latency.value_at_ns(quantile))));
}

void print_pub_json(const PublishLoadOptions& options, const PublishLoadResult& result) {
  const Histogram& latency = result.latency;
  const double rate = static_cast<double>(result.delivered) / result.seconds;
  print_json(
      json::object{{"rate_per_s", rate},
                   {"published_per_s", static_cast<double>(result.published) / result.seconds},
                   {"bytes_per_s", rate * static_cast<double>(options.size)},
                   {"missed", result.missed},
                   {"p50_us", us(latency.value_at_ns(0.5))},
                   {"p99_us", us(latency.value_at_ns(0.99))},
                   {"p999_us", us(latency.value_at_ns(0.999))},
                   {"max_us", us(latency.max_ns())},
                   {"published", result.published},
                   {"delivered", result.delivered},
                   {"errors", result.errors},
                   {"seconds", result.seconds},
                   {"loop", options.rate > 0 ? "open" : "closed"},
                   {"connections", options.connections},
                   {"subscribers", options.subscribers},
                   {"loops", options.loops},
                   {"size", options.size},
                   {"histogram", json::parse(latency.to_json())}});
}

int run_bench_pub(const Globals& globals, const PublishLoadOptions& options) {
  const auto result = generate_publish_load(globals, options);
  if (!result) return result.error();
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_pub_json(options, *result);
  } else {
    const Histogram& latency = result->latency;
    fmt::print(
        "delivered {}  rate {}  published {}  missed {}  errors {}  p50 {}  p99 {}  p99.9 {}"
        "  max {}  ({})\n",
        result->delivered, human_rate(static_cast<double>(result->delivered) / result->seconds),
        human_rate(static_cast<double>(result->published) / result->seconds), result->missed,
        result->errors, human_at(latency, 0.5), human_at(latency, 0.99), human_at(latency, 0.999),
        human_at(latency, 1.0), options.rate > 0 ? "on schedule" : "as fast as the node reads");
  }
  return result->first_error ? report(*result->first_error) : kExitDone;
}

int run_bench_conn(const Globals& globals, const ConnectLoadOptions& options) {
  const auto result = generate_connect_load(globals, options);
  if (!result) return result.error();
  const double rate = static_cast<double>(result->established) / result->seconds;
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_json(json::object{{"rate_per_s", rate},
                            {"established", result->established},
                            {"errors", result->errors},
                            {"seconds", result->seconds},
                            {"p50_us", us(result->latency.value_at_ns(0.5))},
                            {"p99_us", us(result->latency.value_at_ns(0.99))},
                            {"p999_us", us(result->latency.value_at_ns(0.999))},
                            {"max_us", us(result->latency.max_ns())},
                            {"connections", options.connections},
                            {"loops", options.loops}});
  } else {
    fmt::print("established {} in {}  rate {}  errors {}  p50 {}  p99 {}  max {}\n",
               result->established,
               human_duration(Duration(static_cast<std::int64_t>(result->seconds * 1e9))),
               human_rate(rate), result->errors, human_at(result->latency, 0.5),
               human_at(result->latency, 0.99), human_at(result->latency, 1.0));
  }
  return result->errors > 0 ? kExitNo : kExitDone;
}

}  // namespace

void add_bench_pub(CLI::App& bench, Context& context) {
  auto options = std::make_shared<PublishLoadOptions>();
  auto* pub = bench.add_subcommand("pub", "Rate and one-way latency of publish/subscribe");
  pub->footer(
      "Counts what reaches the subscribers. As fast as the node reads, unless --rate says how "
      "many\n"
      "messages a second are published on schedule. A node does not slow publishers down for slow\n"
      "subscribers: what they lose is \"missed\". Latency is from publish to handler, in one "
      "process.\n"
      "Examples:\n"
      "  valkyrie bench pub\n"
      "  valkyrie bench pub --subscribers 100 --size 1024 --time 3\n"
      "  valkyrie -o json bench pub --rate 10000");
  pub->add_option("--connections", options->connections, "Publishers (default 1)")
      ->check(CLI::Range(1, 4096));
  pub->add_option("--subscribers", options->subscribers, "Subscribers (default 1)")
      ->check(CLI::Range(1, 4096));
  pub->add_option("--loops", options->loops, "Threads that the connections share (default 2)")
      ->check(CLI::Range(1, 64));
  pub->add_option("--size", options->size, "Bytes of payload, at least 8 (default 64)")
      ->check(CLI::Range(std::size_t{kStampBytes}, std::size_t{4u << 20}));
  add_seconds(*pub, "--time", options->time, "How long to measure (default 10s)");
  add_seconds(*pub, "--warmup", options->warmup, "Before it, not counted (default 300ms)");
  pub->add_option("--rate", options->rate, "Messages a second in all (default: as fast as it goes)")
      ->check(CLI::Range(0.001, 1e8));
  pub->callback([&context, options] {
    context.run = [&context, options] { return run_bench_pub(context.globals, *options); };
  });
}

void add_bench_conn(CLI::App& bench, Context& context) {
  auto options = std::make_shared<ConnectLoadOptions>();
  auto* conn = bench.add_subcommand("conn", "Time to establish many sessions");
  conn->footer(
      "Opens the sessions at once, waits until the node has answered on each, then closes them.\n"
      "What is not there after --timeout (default 30s) is an error; exit code 1 if there are any.\n"
      "Examples:\n"
      "  valkyrie bench conn --connections 1000");
  conn->add_option("--connections", options->connections, "Sessions to open (default 100)")
      ->check(CLI::Range(1, 1'000'000));
  conn->add_option("--loops", options->loops, "Threads that they share (default 1)")
      ->check(CLI::Range(1, 64));
  conn->callback([&context, options] {
    context.run = [&context, options] { return run_bench_conn(context.globals, *options); };
  });
}

}  // namespace valkyrie::tools
