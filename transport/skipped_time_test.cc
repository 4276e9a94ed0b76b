#include "transport/skipped_time.h"

#include <chrono>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "transport/reactor.h"

namespace valkyrie::transport {
namespace {

using namespace std::chrono_literals;

protocol::Instant standing_clock() { return protocol::Instant(1h); }

// A reactor on a thread of its own.
struct Running {
  explicit Running(std::shared_ptr<SkippedTime> skipped)
      : reactor(std::move(Reactor::create(standing_clock, std::move(skipped)).value())),
        thread([this] { reactor->run(); }) {}
  ~Running() {
    if (thread.joinable()) stop();
  }
  void stop() {
    reactor->stop();
    thread.join();
  }

  std::unique_ptr<Reactor> reactor;
  std::thread thread;
};

TEST(SkippedTime, is_added_to_the_clock_of_a_reactor) {
  const auto skipped = std::make_shared<SkippedTime>();
  skipped->skip(1min);
  const auto reactor = std::move(Reactor::create(standing_clock, skipped).value());
  EXPECT_EQ(reactor->now(), standing_clock() + 1min);
  skipped->skip(1s);
  EXPECT_EQ(reactor->clock_now(), standing_clock() + 61s);
  EXPECT_EQ(reactor->now(), standing_clock() + 1min) << "the time of a turn stands";
}

TEST(SkippedTime, fires_the_timers_of_reactors_that_sleep) {
  const auto skipped = std::make_shared<SkippedTime>();
  int fired = 0;
  Timer timer([](void* count) { ++*static_cast<int*>(count); }, &fired);
  Running running(skipped);
  running.reactor->post([&] { running.reactor->timers().arm(timer, standing_clock() + 1h); });
  skipped->settle();
  skipped->skip(59min);
  skipped->settle();
  EXPECT_EQ(fired, 0);
  skipped->skip(1min + 1s);
  skipped->settle();
  EXPECT_EQ(fired, 1);
  running.stop();
}

TEST(SkippedTime, settles_all_reactors_and_does_not_wait_for_those_that_are_gone) {
  const auto skipped = std::make_shared<SkippedTime>();
  skipped->settle();
  std::vector<std::unique_ptr<Running>> running;
  for (int i = 0; i < 4; ++i) running.push_back(std::make_unique<Running>(skipped));
  skipped->settle();
  running.resize(2);
  skipped->settle();
  running[0]->reactor->post([&] { running[0]->reactor->leave_skipped_time(); });
  skipped->settle();
  running[0]->stop();
  skipped->settle();
}

TEST(SkippedTime, a_reactor_destroyed_with_its_tasks_is_not_waited_for) {
  const auto skipped = std::make_shared<SkippedTime>();
  for (int i = 0; i < 100; ++i) {
    auto idle = std::move(Reactor::create(standing_clock, skipped).value());
    std::thread settling([&skipped] { skipped->settle(); });
    idle.reset();
    settling.join();
  }
}

}  // namespace
}  // namespace valkyrie::transport
