// Thousands of handshakes, each in a world of its own; VALKYRIE_SIM_SEEDS says how many of Noise.
// A fourth as many are of TLS. A world that breaks a promise is told by its seed:
// VALKYRIE_SIM_FIRST=SEED VALKYRIE_SIM_SEEDS=1 lives it again.
#include <cstdlib>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>

#include "protocol/tls/testing/pair.h"
#include "tests/simulation/channel_world.h"
#include "tests/simulation/violation.h"

namespace valkyrie::simulation {
namespace {

constexpr std::uint64_t kSeedsDefault = 4000;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): there is one thread.
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// The sum of so many worlds.
ChannelCounts live_through(std::uint64_t seeds, ChannelWorld::Kind kind, const TlsSides* tls) {
  const std::uint64_t first = from_environment("VALKYRIE_SIM_FIRST", 1);
  ChannelCounts sum;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    try {
      const ChannelCounts counts = ChannelWorld(seed, kind, tls).run();
      sum.established += counts.established;
      sum.again += counts.again;
      sum.failed += counts.failed;
      sum.timeouts += counts.timeouts;
      sum.cut += counts.cut;
      sum.damaged += counts.damaged;
      sum.injected += counts.injected;
    } catch (const Violation& violation) {
      ADD_FAILURE() << "seed " << seed << ": " << violation.what();
    }
    if (testing::Test::HasFailure()) break;
  }
  fmt::print(
      "{} worlds: {} established, {} of them at the second attempt; {} found out, {} timed out, {} "
      "cut; {} pieces damaged, {} of plain text put in between\n",
      seeds, sum.established, sum.again, sum.failed, sum.timeouts, sum.cut, sum.damaged,
      sum.injected);
  return sum;
}

// Worlds in which nothing happens prove nothing.
void expect_events(const ChannelCounts& sum, std::uint64_t seeds) {
  EXPECT_GT(sum.established, seeds / 20);
  EXPECT_GT(sum.failed, seeds / 10);
  EXPECT_GT(sum.timeouts, seeds / 100);
  EXPECT_GT(sum.cut, seeds / 50);
  EXPECT_GT(sum.damaged, seeds / 5);
  EXPECT_GT(sum.injected, seeds / 20);
}

TEST(ChannelSimulation, noise_opens_the_same_session_on_both_sides_or_none) {
  const std::uint64_t seeds = from_environment("VALKYRIE_SIM_SEEDS", kSeedsDefault);
  const ChannelCounts sum = live_through(seeds, ChannelWorld::Kind::noise, nullptr);
  if (seeds < kSeedsDefault) return;
  expect_events(sum, seeds);
  EXPECT_GT(sum.again, seeds / 50);
}

TEST(ChannelSimulation, tls_opens_the_same_session_on_both_sides_or_none) {
  const std::uint64_t seeds = from_environment("VALKYRIE_SIM_SEEDS", kSeedsDefault) / 4;
  protocol::tls::testing::World world;
  world.make();
  const TlsSides sides{.acceptor = *world.acceptor, .dialer = *world.dialer};
  const ChannelCounts sum = live_through(seeds, ChannelWorld::Kind::tls, &sides);
  if (seeds >= kSeedsDefault / 4) expect_events(sum, seeds);
}

// A check never seen red is no check.
TEST(ChannelSimulation, a_channel_that_protects_nothing_is_noticed) {
  constexpr std::uint64_t kSeeds = 200;
  std::uint64_t noticed = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    try {
      static_cast<void>(ChannelWorld(seed, ChannelWorld::Kind::nothing).run());
    } catch (const Violation&) {
      ++noticed;
    }
  }
  EXPECT_GT(noticed, kSeeds / 4) << "half of all networks alter, lose, double or inject";
}

}  // namespace
}  // namespace valkyrie::simulation
