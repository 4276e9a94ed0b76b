#include "transport/slab_pool.h"

#include <gtest/gtest.h>
#include <optional>
#include <thread>
#include <vector>

namespace valkyrie::transport {
namespace {

TEST(SlabPool, a_slab_comes_back_with_its_last_share_whoever_has_that) {
  SlabPool pool;
  auto slab = pool.take();
  std::byte* const memory = slab.get();
  std::shared_ptr<const void> share = slab;
  slab.reset();
  EXPECT_NE(pool.take().get(), memory) << "somebody has a share of it";
  std::thread([&share] { share.reset(); }).join();
  EXPECT_EQ(pool.take().get(), memory);
}

TEST(SlabPool, no_more_are_out_than_may_be) {
  SlabPool pool;
  std::vector<std::shared_ptr<std::byte>> out;
  for (std::size_t i = 0; i < SlabPool::kLentMax; ++i) out.push_back(pool.take());
  EXPECT_NE(out.back(), nullptr);
  EXPECT_EQ(pool.take(), nullptr);
  out.pop_back();
  EXPECT_NE(pool.take(), nullptr);
}

TEST(SlabPool, a_share_outlives_the_pool) {
  std::optional<SlabPool> pool(std::in_place);
  const auto slab = pool->take();
  pool.reset();
  slab.get()[SlabPool::kSlabBytes - 1] = std::byte{1};
}

}  // namespace
}  // namespace valkyrie::transport
