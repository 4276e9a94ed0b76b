#include "transport/timer_wheel.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <vector>

namespace valkyrie::transport {
namespace {

using protocol::Instant;
using std::chrono::microseconds;
using std::chrono::milliseconds;

const Instant kOrigin{std::chrono::hours{7}};

Instant at(std::int64_t tick) { return kOrigin + milliseconds{tick}; }

// A timer that counts its calls.
struct Probe {
  Timer timer = Timer::calling<&Probe::on_timer>(this);
  int calls = 0;
  void on_timer() { ++calls; }
};

TEST(TimerWheel, a_timer_fires_at_its_tick_and_not_one_earlier) {
  // Every boundary between levels, its neighbours, and one beyond the reach of the wheel.
  std::vector<std::int64_t> ticks{1, 2, 62, 63, 64, 65, 127, 128};
  for (const int bits : {12, 18, 24, 30}) {
    for (const std::int64_t off : {-1, 0, 1, 63, 64}) {
      ticks.push_back((std::int64_t{1} << bits) + off);
    }
  }
  for (const std::int64_t start : {0, 1, 63, 64, 4095, 4096, 262'143}) {
    for (const std::int64_t ahead : ticks) {
      TimerWheel wheel(kOrigin);
      wheel.advance(at(start));
      Probe probe;
      wheel.arm(probe.timer, at(start + ahead));
      wheel.advance(at(start + ahead - 1));
      ASSERT_EQ(probe.calls, 0) << "start " << start << " ahead " << ahead;
      ASSERT_TRUE(probe.timer.armed());
      ASSERT_EQ(wheel.advance(at(start + ahead)), 1u) << "start " << start << " ahead " << ahead;
      ASSERT_EQ(probe.calls, 1);
      ASSERT_FALSE(probe.timer.armed());
      ASSERT_EQ(wheel.armed_count(), 0u);
    }
  }
}

TEST(TimerWheel, following_next_expiry_reaches_the_deadline_in_a_few_steps) {
  for (const std::int64_t deadline :
       {1L, 63L, 64L, 5000L, 300'000L, 20'000'000L, 1L << 30, 1L << 31}) {
    TimerWheel wheel(kOrigin);
    Probe probe;
    wheel.arm(probe.timer, at(deadline));
    int steps = 0;
    while (probe.calls == 0) {
      const auto next = wheel.next_expiry();
      ASSERT_TRUE(next.has_value());
      ASSERT_LE(*next, at(deadline));
      wheel.advance(*next);
      ASSERT_LE(++steps, 40) << deadline;
    }
    EXPECT_FALSE(wheel.next_expiry().has_value());
  }
}

TEST(TimerWheel, a_deadline_between_ticks_is_rounded_up) {
  TimerWheel wheel(kOrigin);
  Probe probe;
  wheel.arm(probe.timer, at(10) + microseconds{1});
  wheel.advance(at(10) + microseconds{999});
  EXPECT_EQ(probe.calls, 0);
  wheel.advance(at(11));
  EXPECT_EQ(probe.calls, 1);
}

TEST(TimerWheel, a_past_deadline_fires_at_the_next_tick) {
  TimerWheel wheel(kOrigin);
  wheel.advance(at(1000));
  Probe probe;
  wheel.arm(probe.timer, at(3));
  EXPECT_EQ(wheel.next_expiry(), at(1001));
  wheel.advance(at(1000));
  EXPECT_EQ(probe.calls, 0);
  wheel.advance(at(1001));
  EXPECT_EQ(probe.calls, 1);
}

TEST(TimerWheel, time_before_the_origin_fires_nothing) {
  TimerWheel wheel(kOrigin);
  Probe probe;
  wheel.arm(probe.timer, at(-5));
  EXPECT_EQ(wheel.advance(at(-1)), 0u);
  EXPECT_EQ(wheel.advance(at(1)), 1u);
}

TEST(TimerWheel, cancel_and_destruction_disarm) {
  TimerWheel wheel(kOrigin);
  Probe cancelled;
  wheel.arm(cancelled.timer, at(5));
  cancelled.timer.cancel();
  cancelled.timer.cancel();
  {
    Probe destroyed;
    wheel.arm(destroyed.timer, at(5));
  }
  EXPECT_EQ(wheel.armed_count(), 0u);
  EXPECT_FALSE(wheel.next_expiry().has_value());
  EXPECT_EQ(wheel.advance(at(10)), 0u);
}

TEST(TimerWheel, rearming_moves_a_timer_both_ways) {
  TimerWheel wheel(kOrigin);
  Probe probe;
  wheel.arm(probe.timer, at(10));
  wheel.arm(probe.timer, at(5000));
  EXPECT_EQ(probe.timer.deadline(), at(5000));
  wheel.advance(at(4999));
  EXPECT_EQ(probe.calls, 0);
  wheel.arm(probe.timer, at(9000));
  wheel.arm(probe.timer, at(5001));
  wheel.advance(at(5001));
  EXPECT_EQ(probe.calls, 1);
  EXPECT_EQ(wheel.advance(at(20'000)), 0u);
}

// Two timers of one slot, each of which cancels the other: exactly one may fire.
struct Rival {
  Timer timer = Timer::calling<&Rival::on_timer>(this);
  Rival* other = nullptr;
  int calls = 0;
  void on_timer() {
    ++calls;
    other->timer.cancel();
  }
};

TEST(TimerWheel, a_callback_may_cancel_another_timer_that_is_due) {
  for (const std::int64_t tick : {5, 64, 70, 4096}) {
    TimerWheel wheel(kOrigin);
    Rival a;
    Rival b;
    a.other = &b;
    b.other = &a;
    wheel.arm(a.timer, at(tick));
    wheel.arm(b.timer, at(tick));
    EXPECT_EQ(wheel.advance(at(tick)), 1u);
    EXPECT_EQ(a.calls + b.calls, 1);
    EXPECT_EQ(wheel.armed_count(), 0u);
  }
}

struct Periodic {
  TimerWheel& wheel;
  Instant next;
  Timer timer = Timer::calling<&Periodic::on_timer>(this);
  int calls = 0;
  void on_timer() {
    ++calls;
    next += milliseconds{1};
    wheel.arm(timer, next);
  }
};

TEST(TimerWheel, rearming_in_the_callback_fires_once_for_each_advance) {
  TimerWheel wheel(kOrigin);
  Periodic periodic{.wheel = wheel, .next = at(1)};
  wheel.arm(periodic.timer, periodic.next);
  wheel.advance(at(1'000'000));  // A process that was stopped does not catch up call by call.
  EXPECT_EQ(periodic.calls, 1);
  wheel.advance(at(1'000'001));
  EXPECT_EQ(periodic.calls, 2);
}

struct SelfDestroying {
  std::unique_ptr<SelfDestroying>& owner;
  Timer timer = Timer::calling<&SelfDestroying::on_timer>(this);
  void on_timer() { owner.reset(); }
};

TEST(TimerWheel, a_callback_may_destroy_its_timer) {
  TimerWheel wheel(kOrigin);
  std::unique_ptr<SelfDestroying> object;
  object.reset(new SelfDestroying{.owner = object});
  wheel.arm(object->timer, at(1));
  EXPECT_EQ(wheel.advance(at(1)), 1u);
  EXPECT_EQ(object, nullptr);
}

TEST(TimerWheel, timers_outlive_their_wheel_idle) {
  Probe probe;
  {
    TimerWheel wheel(kOrigin);
    wheel.arm(probe.timer, at(5));
  }
  EXPECT_FALSE(probe.timer.armed());
}

TEST(TimerWheel, random_arming_fires_like_a_sorted_list) {
  std::mt19937 random(20'261'123);  // NOLINT: fixed, so that a failure repeats.
  for (int run = 0; run < 200; ++run) {
    TimerWheel wheel(kOrigin);
    std::vector<std::unique_ptr<Probe>> probes;
    std::vector<std::int64_t> due;
    std::int64_t now = 0;
    for (int step = 0; step < 100; ++step) {
      const std::int64_t reach = std::int64_t{1} << (random() % 22);
      if (random() % 2 == 0) {
        probes.push_back(std::make_unique<Probe>());
        due.push_back(now + 1 + static_cast<std::int64_t>(random()) % reach);
        wheel.arm(probes.back()->timer, at(due.back()));
      } else {
        now += static_cast<std::int64_t>(random()) % reach;
        wheel.advance(at(now));
      }
      for (std::size_t i = 0; i < probes.size(); ++i) {
        ASSERT_EQ(probes[i]->calls, due[i] <= now ? 1 : 0) << "run " << run << " step " << step;
      }
    }
  }
}

}  // namespace
}  // namespace valkyrie::transport
