#include "server/router/wait_queue.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace valkyrie::router {
namespace {

constexpr std::uint8_t qos(unsigned priority, unsigned urgency = 16) {
  return static_cast<std::uint8_t>(priority << 5U | urgency);
}

// Takes all out, in their order.
std::vector<std::uint64_t> drained(WaitQueue& queue) {
  std::vector<std::uint64_t> order;
  while (Waiter* waiter = queue.next()) {
    order.push_back(waiter->what);
    queue.erase(*waiter);
    queue.turn();
  }
  return order;
}

TEST(WaitQueue, goes_by_class_then_urgency_then_age) {
  WaitQueue queue;
  std::vector<Waiter> waiters(6);
  const std::uint8_t levels[] = {qos(4), qos(3), qos(3, 0), qos(0, 31), qos(3), qos(0)};
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    waiters[i].what = i;
    queue.push(waiters[i], levels[i]);
  }
  EXPECT_EQ(queue.size(), 6U);
  EXPECT_EQ(drained(queue), (std::vector<std::uint64_t>{5, 3, 2, 1, 4, 0}));
  EXPECT_TRUE(queue.empty());
}

TEST(WaitQueue, each_eighth_turn_is_the_oldest_ones_so_that_nothing_starves) {
  WaitQueue queue;
  Waiter starving{.what = 1000};
  queue.push(starving, qos(4, 31));
  std::vector<Waiter> rush(20);
  for (std::size_t i = 0; i < rush.size(); ++i) {
    rush[i].what = i;
    queue.push(rush[i], qos(0, 0));
  }
  const std::vector<std::uint64_t> order = drained(queue);
  EXPECT_EQ(order[7], 1000U);
  EXPECT_EQ(order.size(), 21U);
}

TEST(WaitQueue, what_is_put_back_is_the_first_of_its_level) {
  WaitQueue queue;
  std::vector<Waiter> waiters(3);
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    waiters[i].what = i;
    queue.push(waiters[i], qos(3));
  }
  queue.erase(waiters[0]);
  queue.put_back(waiters[0]);
  EXPECT_EQ(drained(queue), (std::vector<std::uint64_t>{0, 1, 2}));
}

TEST(WaitQueue, after_walks_through_all_in_their_order) {
  WaitQueue queue;
  std::vector<Waiter> waiters(5);
  const std::uint8_t levels[] = {qos(4, 31), qos(1), qos(1), qos(0), qos(4, 30)};
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    waiters[i].what = i;
    queue.push(waiters[i], levels[i]);
  }
  std::vector<std::uint64_t> order;
  for (const Waiter* at = queue.next(); at != nullptr; at = queue.after(*at)) {
    order.push_back(at->what);
  }
  EXPECT_EQ(order, (std::vector<std::uint64_t>{3, 1, 2, 4, 0}));
}

// Against a list that is sorted anew for every question.
TEST(WaitQueue, keeps_its_order_through_any_comings_and_goings) {
  std::mt19937 random(7);
  WaitQueue queue;
  std::vector<Waiter> pool(200);
  std::vector<Waiter*> in;  // By age.
  std::uint32_t turns = 0;
  for (int step = 0; step < 20'000; ++step) {
    Waiter& any = pool[random() % pool.size()];
    const auto at = std::ranges::find(in, &any);
    if (at == in.end()) {
      queue.push(any, static_cast<std::uint8_t>(random() % 160));
      in.push_back(&any);
    } else if (random() % 2 == 0) {
      queue.erase(any);
      in.erase(at);
    }
    ASSERT_EQ(queue.size(), in.size());
    if (in.empty() || random() % 3 != 0) continue;
    Waiter* expected =
        turns % kOldestEvery == kOldestEvery - 1
            ? in.front()
            : *std::ranges::min_element(in, {}, [](const Waiter* w) { return w->level; });
    ASSERT_EQ(queue.next(), expected);
    queue.erase(*expected);
    queue.turn();
    ++turns;
    std::erase(in, expected);
  }
}

}  // namespace
}  // namespace valkyrie::router
