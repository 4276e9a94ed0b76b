// What it costs to find the subscriptions of a subject, among 100,000 with wildcards. Run:
// build/bench/subject_match. Method and reading: bench/README.md.
#include <benchmark/benchmark.h>
#include <deque>
#include <fmt/format.h>
#include <random>
#include <string>
#include <vector>

#include "server/router/subject_table.h"

namespace {

using valkyrie::router::SubjectEntry;
using valkyrie::router::SubjectTable;

// Tokens as a fleet has them: few regions, some hundred sites, many devices.
std::string subject_of(std::mt19937& random) {
  return fmt::format("region-{}.site-{}.device-{}.sensor-{}.{}", random() % 10, random() % 200,
                     random() % 1000, random() % 8, random() % 2 == 0 ? "raw" : "mean");
}

// Of the filters a third is literal; the others have `*` at any depth or end in `>`.
std::string filter_of(std::mt19937& random) {
  std::string text = subject_of(random);
  const auto kind = random() % 6;
  if (kind < 2) return text;
  std::string filter;
  std::size_t depth = 0;
  const std::size_t tail = kind == 5 ? 3 + random() % 2 : 9;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t dot = std::min(text.find('.', from), text.size());
    if (depth > 0) filter += '.';
    if (depth == tail) return filter + ">";
    const bool star = depth != 2 && random() % 3 == 0;
    filter += star ? "*" : text.substr(from, dot - from);
    ++depth;
    from = dot + 1;
  }
  return filter;
}

struct World {
  explicit World(std::size_t count) : table(1) {
    std::mt19937 random(7);
    while (table.size() < count) {
      SubjectEntry& entry = entries.emplace_back();
      if (!table.add(entry, filter_of(random))) entries.pop_back();
    }
    for (int i = 0; i < 4096; ++i) subjects.push_back(subject_of(random));
  }
  SubjectTable table;
  std::deque<SubjectEntry> entries;
  std::vector<std::string> subjects;
};

void match(benchmark::State& state) {
  const World world(static_cast<std::size_t>(state.range(0)));
  std::vector<SubjectEntry*> found;
  std::size_t at = 0;
  std::size_t visited = 0;
  std::size_t matched = 0;
  for ([[maybe_unused]] auto _ : state) {
    found.clear();
    visited += world.table.match(world.subjects[at++ % world.subjects.size()], found);
    matched += found.size();
    benchmark::DoNotOptimize(found.data());
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["matched"] = static_cast<double>(matched) / runs;
  state.counters["visited"] = static_cast<double>(visited) / runs;
  state.counters["bound"] = world.table.visits_bound();
}
BENCHMARK(match)->Arg(100)->Arg(10'000)->Arg(100'000);

// The dearest filters that are taken: `*` and a literal at every level, and no match at the end.
void match_bomb(benchmark::State& state) {
  SubjectTable table(1);
  std::deque<SubjectEntry> entries;
  for (std::uint32_t number = 0; number < 1U << 15U; ++number) {
    std::string filter;
    for (std::uint32_t i = 0; i < 15; ++i) filter += (number >> i & 1U) != 0 ? "*." : "a.";
    if (!table.add(entries.emplace_back(), filter + "never")) entries.pop_back();
  }
  std::vector<SubjectEntry*> found;
  std::size_t visited = 0;
  for ([[maybe_unused]] auto _ : state) {
    found.clear();
    visited = table.match("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", found);
  }
  state.counters["filters"] = static_cast<double>(table.size());
  state.counters["visited"] = static_cast<double>(visited);
}
BENCHMARK(match_bomb);

void add_and_remove(benchmark::State& state) {
  World world(static_cast<std::size_t>(state.range(0)));
  std::mt19937 random(9);
  SubjectEntry entry;
  for ([[maybe_unused]] auto _ : state) {
    if (world.table.add(entry, filter_of(random))) world.table.remove(entry);
  }
}
BENCHMARK(add_and_remove)->Arg(100'000);

}  // namespace

BENCHMARK_MAIN();
