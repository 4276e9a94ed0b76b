#include "server/registry/flap_budget.h"

#include <chrono>
#include <gtest/gtest.h>

#include "server/registry/catalog.h"

namespace valkyrie::registry {
namespace {

using namespace std::chrono_literals;

constexpr protocol::Instant kNow{1h};

TEST(FlapBudget, gives_a_burst_and_then_one_for_each_interval) {
  FlapBudget budget(3, 1s);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.take("a", kNow));
  EXPECT_FALSE(budget.take("a", kNow));
  EXPECT_TRUE(budget.take("b", kNow)) << "another's is its own";
  EXPECT_FALSE(budget.take("a", kNow + 1s - 1ns));
  EXPECT_TRUE(budget.take("a", kNow + 1s));
  EXPECT_FALSE(budget.take("a", kNow + 1s));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.take("a", kNow + 1h));
  EXPECT_FALSE(budget.take("a", kNow + 1h)) << "it never holds more than the burst";
}

TEST(FlapBudget, forgets_who_is_quiet) {
  FlapBudget budget(3, 1s);
  protocol::Instant now = kNow;
  for (int i = 0; i < 100'000; ++i) {
    EXPECT_TRUE(budget.take(std::to_string(i), now));
    now += 1ms;
  }
  EXPECT_LT(budget.size(), 5000U);
}

TEST(Catalog, an_instance_that_flaps_is_refused_and_others_are_not) {
  Catalog catalog;
  messages::RegisterRequest request;
  request.service = "s";
  request.instance = "flapping";
  std::uint64_t stream = 0;
  const auto registers = [&](protocol::Instant now) {
    ++stream;
    const auto added =
        catalog.add(request, {.stream = stream, .connection = stream, .peer = {}}, 0, now);
    if (added) {
      catalog.remove(stream);
    } else {
      EXPECT_EQ(added.error().code, protocol::StatusCode::resource_exhausted);
      EXPECT_EQ(added.error().text,
                "instance \"flapping\" of s registers too often; at most 20 times, then once a "
                "second");
    }
    return added.has_value();
  };
  for (std::uint32_t i = 0; i < kInstanceFlapsMax; ++i) EXPECT_TRUE(registers(kNow));
  EXPECT_FALSE(registers(kNow));
  request.instance = "calm";
  EXPECT_TRUE(registers(kNow));
  request.instance = "flapping";
  EXPECT_TRUE(registers(kNow + 1s));
  EXPECT_FALSE(registers(kNow + 1s));
}

TEST(Catalog, a_connection_that_registers_ever_new_instances_is_refused) {
  Catalog catalog;
  std::uint32_t taken = 0;
  for (std::uint64_t stream = 1; stream <= 3000; ++stream) {
    messages::RegisterRequest request;
    request.service = "s";
    if (!catalog.add(request, {.stream = stream, .connection = 1, .peer = {}}, stream << 16U,
                     kNow)) {
      continue;
    }
    catalog.remove(stream);
    ++taken;
  }
  EXPECT_EQ(taken, kConnectionFlapsMax);
}

}  // namespace
}  // namespace valkyrie::registry
