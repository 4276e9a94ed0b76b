#include <algorithm>
#include <fmt/format.h>
#include <vector>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/interrupt.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"

namespace valkyrie::tools {

namespace {

struct PingArguments {
  std::uint32_t count = 4;
  Duration interval = std::chrono::seconds(1);
};

struct PingResult {
  std::vector<Duration> round_trips;
  std::uint32_t lost = 0;
  int exit_code = kExitDone;
};

void print_summary(const Globals& globals, const std::string& node, const PingResult& result) {
  auto sorted = result.round_trips;
  std::ranges::sort(sorted);
  const auto us = [](Duration d) { return static_cast<double>(d.count()) / 1e3; };
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    json::object summary{{"node", node}, {"answered", sorted.size()}, {"lost", result.lost}};
    if (!sorted.empty()) {
      summary["min_us"] = us(sorted.front());
      summary["median_us"] = us(sorted[sorted.size() / 2]);
      summary["max_us"] = us(sorted.back());
    }
    print_json(summary);
    return;
  }
  if (sorted.empty()) {
    fmt::print("{}: 0 answered, {} lost\n", node, result.lost);
    return;
  }
  fmt::print("{}: {} answered, {} lost, min {} median {} max {}\n", node, sorted.size(),
             result.lost, human_duration(sorted.front()), human_duration(sorted[sorted.size() / 2]),
             human_duration(sorted.back()));
}

int run_ping(const Globals& globals, const PingArguments& arguments) {
  auto client = connect(globals);
  if (!client) return client.error();
  const std::string node = client->node_url();
  Method echo = client->method("valkyrie.Node/Echo");
  const Interrupt interrupt;
  PingResult result;
  for (std::uint32_t i = 1; i <= arguments.count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto reply = echo.call("ping", {.deadline = globals.timeout}).wait();
    const Duration took = std::chrono::steady_clock::now() - start;
    if (reply) {
      result.round_trips.push_back(took);
      if (globals.format == Format::table) {
        fmt::print("{}: {} of {}  {}\n", node, i, arguments.count, human_duration(took));
        std::fflush(stdout);
      }
    } else {
      ++result.lost;
      result.exit_code = report(reply.error());
    }
    if (i < arguments.count && interrupt.wait_for(arguments.interval)) {
      result.exit_code = kExitInterrupted;
      break;
    }
  }
  print_summary(globals, node, result);
  return result.exit_code;
}

}  // namespace

void add_ping(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("ping", "Round trips to the node itself");
  command->footer("Examples:\n  valkyrie ping\n  valkyrie ping --count 100 --interval 10ms");
  auto arguments = std::make_shared<PingArguments>();
  command->add_option("-c,--count", arguments->count, "How many (default 4)")
      ->check(CLI::Range(1u, 1'000'000u));
  add_duration(*command, "-i,--interval", arguments->interval, "Between two (default 1s)");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_ping(context.globals, *arguments); };
  });
}

}  // namespace valkyrie::tools
