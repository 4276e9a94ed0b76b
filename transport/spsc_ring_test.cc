#include "transport/spsc_ring.h"

#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <vector>

namespace valkyrie::transport {
namespace {

TEST(SpscRing, holds_exactly_its_capacity) {
  SpscRing<int> ring(4);
  for (int value = 0; value < 4; ++value) ASSERT_TRUE(ring.try_push(value));
  int refused = 4;
  EXPECT_FALSE(ring.try_push(refused));
  std::vector<int> got;
  EXPECT_EQ(ring.pop_all([&](int value) { got.push_back(value); }), 4u);
  EXPECT_EQ(got, (std::vector{0, 1, 2, 3}));
  EXPECT_TRUE(ring.empty());
  EXPECT_TRUE(ring.try_push(refused));
}

TEST(SpscRing, a_refused_value_stays_with_the_caller) {
  SpscRing<std::unique_ptr<int>> ring(1);
  auto first = std::make_unique<int>(1);
  auto second = std::make_unique<int>(2);
  ASSERT_TRUE(ring.try_push(first));
  EXPECT_EQ(first, nullptr);
  EXPECT_FALSE(ring.try_push(second));
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(*second, 2);
}

TEST(SpscRing, two_threads_see_every_value_in_order) {
  constexpr std::uint64_t kValues = 200'000;
  SpscRing<std::uint64_t> ring(64);
  std::thread producer([&] {
    for (std::uint64_t value = 0; value < kValues; ++value) {
      while (!ring.try_push(value)) std::this_thread::yield();
    }
  });
  std::uint64_t expected = 0;
  bool in_order = true;
  while (expected < kValues) {
    const std::size_t taken =
        ring.pop_all([&](std::uint64_t value) { in_order = in_order && value == expected++; });
    if (taken == 0) std::this_thread::yield();
  }
  producer.join();
  EXPECT_TRUE(in_order);
  EXPECT_TRUE(ring.empty());
}

}  // namespace
}  // namespace valkyrie::transport
