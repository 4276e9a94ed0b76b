// Thousands of worlds. `simulation-test --seeds=N` lives through N of them (or the environment's
// VALKYRIE_SIM_SEEDS); `--first=S` starts elsewhere; `--seed=S` replays one with its trace.
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <unistd.h>

#include "tests/simulation/violation.h"
#include "tests/simulation/world.h"

namespace valkyrie::simulation {
namespace {

constexpr std::uint64_t kSeedsDefault = 3000;
constexpr std::uint64_t kCanarySeeds = 30;

struct Settings {
  std::uint64_t seeds = kSeedsDefault;
  std::uint64_t first = 1;
  std::uint64_t replayed = 0;  // 0: none.
};

Settings settings;               // Of the command line; fixed before the first test.
std::array<char, 128> replay{};  // For the signal handler: how to come back to where we are.

std::string replay_command(std::uint64_t seed) {
  return fmt::format("build/tests/simulation-test --seed={}", seed);
}

// A broken invariant inside the node aborts: say which world it was.
void tell_seed(int) {
  const std::string_view line(replay.data());
  static_cast<void>(::write(STDERR_FILENO, line.data(), line.size()));
  static_cast<void>(std::signal(SIGABRT, SIG_DFL));
  std::abort();
}

// What was broken, or nothing.
std::string live_through(const WorldOptions& options, WorldCounts& sum) {
  fmt::format_to_n(replay.data(), replay.size() - 1, "replay with {}\n",
                   replay_command(options.seed));
  try {
    World world(options);
    const WorldCounts counts = world.run();
    sum.calls += counts.calls;
    sum.ok += counts.ok;
    sum.maybe += counts.maybe;
    sum.repeats += counts.repeats;
    sum.not_executed += counts.not_executed;
    sum.connections += counts.connections;
    sum.damaged += counts.damaged;
    sum.streams += counts.streams;
    sum.streams_ok += counts.streams_ok;
    sum.messages += counts.messages;
    sum.published += counts.published;
    sum.events += counts.events;
    sum.lost += counts.lost;
    sum.leaps += counts.leaps;
    sum.jobs += counts.jobs;
    sum.jobs_succeeded += counts.jobs_succeeded;
    sum.log_bytes += counts.log_bytes;
  } catch (const Violation& violation) {
    return violation.what();
  }
  return {};
}

TEST(Simulation, every_promise_holds_in_every_world) {
  WorldCounts sum;
  if (settings.replayed != 0) {
    const std::string broken = live_through({.seed = settings.replayed, .traced = true}, sum);
    EXPECT_EQ(broken, "");
    return;
  }
  int failures = 0;
  for (std::uint64_t i = 0; i < settings.seeds && failures < 5; ++i) {
    const std::uint64_t seed = settings.first + i;
    const std::string broken = live_through({.seed = seed}, sum);
    if (broken.empty()) continue;
    ++failures;
    ADD_FAILURE() << "seed " << seed << ": " << broken << "\nreplay with " << replay_command(seed);
  }
  fmt::print(
      "{} worlds: {} connections; {} calls, {} ok, {} not executed, {} unknown, {} made again; "
      "{} streams, {} ok, {} messages; {} published, {} events, {} lost; {} jobs, {} succeeded, {} "
      "bytes of logs; the clock leapt {} times\n",
      settings.seeds, sum.connections, sum.calls, sum.ok, sum.not_executed, sum.maybe, sum.repeats,
      sum.streams, sum.streams_ok, sum.messages, sum.published, sum.events, sum.lost, sum.jobs,
      sum.jobs_succeeded, sum.log_bytes, sum.leaps);
  // Worlds in which nothing happens prove nothing.
  if (settings.seeds < kSeedsDefault || failures > 0) return;
  EXPECT_GT(sum.ok, settings.seeds * 10);
  EXPECT_GT(sum.not_executed, settings.seeds);
  EXPECT_GT(sum.maybe, settings.seeds / 10);
  EXPECT_GT(sum.repeats, settings.seeds);
  EXPECT_GT(sum.streams_ok, settings.seeds);
  EXPECT_GT(sum.messages, settings.seeds * 10);
  EXPECT_GT(sum.jobs_succeeded, settings.seeds / 10);
  EXPECT_GT(sum.events, settings.seeds * 10);
  EXPECT_GT(sum.lost, settings.seeds / 10);
  EXPECT_GT(sum.leaps, settings.seeds / 20);
}

// A check never seen red is no check: what no transport does must be seen.
std::uint64_t worlds_that_notice(const Damage& damage) {
  std::uint64_t noticed = 0;
  for (std::uint64_t seed = 1; seed <= kCanarySeeds; ++seed) {
    WorldCounts sum;
    const std::string broken = live_through({.seed = seed, .damage = damage}, sum);
    if (!broken.empty()) ++noticed;
  }
  return noticed;
}

TEST(SimulationCanary, a_network_that_duplicates_is_noticed) {
  EXPECT_GT(worlds_that_notice({.duplicated_one_in = 50}), kCanarySeeds * 9 / 10);
}

TEST(SimulationCanary, a_network_that_loses_is_noticed) {
  EXPECT_GT(worlds_that_notice({.lost_one_in = 50}), kCanarySeeds * 9 / 10);
}

TEST(SimulationCanary, a_network_that_flips_a_bit_is_noticed) {
  EXPECT_GT(worlds_that_notice({.flipped_one_in = 50}), kCanarySeeds * 9 / 10);
}

bool read_number(std::string_view argument, std::string_view name, std::uint64_t& value) {
  if (!argument.starts_with(name)) return false;
  char* end = nullptr;
  value = std::strtoull(argument.data() + name.size(), &end, 10);
  return *end == '\0' && end != argument.data() + name.size();
}

int run(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (const char* seeds = std::getenv("VALKYRIE_SIM_SEEDS")) {
    settings.seeds = std::strtoull(seeds, nullptr, 10);
  }
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (read_number(argument, "--seeds=", settings.seeds)) continue;
    if (read_number(argument, "--first=", settings.first)) continue;
    if (read_number(argument, "--seed=", settings.replayed)) continue;
    fmt::print(stderr, "unknown argument {}; there are --seeds=N, --first=S and --seed=S\n",
               argument);
    return 2;
  }
  if (settings.replayed != 0) testing::GTEST_FLAG(filter) = "Simulation.*";
  static_cast<void>(std::signal(SIGABRT, tell_seed));
  return RUN_ALL_TESTS();
}

}  // namespace
}  // namespace valkyrie::simulation

int main(int argc, char** argv) { return valkyrie::simulation::run(argc, argv); }
