#include "server/router/slab.h"

#include <gtest/gtest.h>
#include <set>
#include <vector>

namespace valkyrie::router {
namespace {

TEST(Slab, an_id_is_never_mistaken_for_a_later_object_in_its_place) {
  Slab<int> slab;
  const std::uint64_t first = slab.make();
  *slab.find(first) = 1;
  slab.erase(first);
  const std::uint64_t second = slab.make();
  EXPECT_EQ(Slab<int>::index_of(first), Slab<int>::index_of(second));
  EXPECT_NE(first, second);
  EXPECT_EQ(slab.find(first), nullptr);
  EXPECT_NE(slab.find(second), nullptr);
}

TEST(Slab, addresses_stay_while_it_grows) {
  Slab<int> slab;
  const std::uint64_t first = slab.make();
  const int* address = slab.find(first);
  std::set<std::uint64_t> ids{first};
  for (int i = 0; i < 1000; ++i) ids.insert(slab.make());
  EXPECT_EQ(ids.size(), 1001U);
  EXPECT_EQ(slab.find(first), address);
  EXPECT_EQ(slab.size(), 1001U);
}

TEST(Slab, ids_leave_room_for_a_tag_and_are_never_zero) {
  Slab<int> slab;
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t id = slab.make();
    EXPECT_NE(id, 0U);
    EXPECT_EQ(id >> Slab<int>::kIdBits, 0U);
    if (i % 3 == 0) slab.erase(id);
  }
}

TEST(Slab, what_was_never_an_id_finds_nothing) {
  Slab<int> slab;
  EXPECT_EQ(slab.find(0), nullptr);
  EXPECT_EQ(slab.find(~std::uint64_t{0}), nullptr);
  const std::uint64_t id = slab.make();
  EXPECT_EQ(slab.find(id + 1), nullptr);
}

TEST(Slab, each_object_is_visited_and_may_go_meanwhile) {
  Slab<int> slab;
  for (int i = 0; i < 100; ++i) *slab.find(slab.make()) = i;
  int sum = 0;
  slab.for_each([&](std::uint64_t id, int value) {
    sum += value;
    slab.erase(id);
  });
  EXPECT_EQ(sum, 4950);
  EXPECT_EQ(slab.size(), 0U);
}

}  // namespace
}  // namespace valkyrie::router
