#include "server/ops/interval_thread.h"

#include <atomic>
#include <gtest/gtest.h>
#include <latch>

namespace valkyrie::server {
namespace {

TEST(IntervalThread, works_again_and_again_until_it_ends) {
  std::latch thrice(3);
  std::atomic<int> calls = 0;
  {
    const IntervalThread thread(std::chrono::milliseconds(1), [&] {
      if (++calls <= 3) thrice.count_down();
    });
    thrice.wait();
  }
  const int seen = calls;
  EXPECT_GE(seen, 3);
  EXPECT_EQ(calls, seen);
}

TEST(IntervalThread, ends_without_waiting_for_its_interval) {
  const IntervalThread thread(std::chrono::hours(1), [] { FAIL(); });
}

}  // namespace
}  // namespace valkyrie::server
