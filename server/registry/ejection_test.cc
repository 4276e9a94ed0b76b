#include "server/registry/ejection.h"

#include <chrono>
#include <gtest/gtest.h>
#include <memory>

#include "server/registry/catalog.h"

namespace valkyrie::registry {
namespace {

using namespace std::chrono_literals;
using messages::InstanceState;
using protocol::StatusCode;

constexpr protocol::Instant kNow{1h};

// A catalog with instances of one service, ids from 1.
struct World {
  explicit World(std::size_t count, EjectionSettings settings = {}) {
    auto rules = std::make_shared<ServiceRules>();
    rules->add(kDefaultsPattern, [settings](ServiceSettings& all) { all.ejection = settings; });
    catalog = Catalog(std::move(rules));
    for (std::size_t i = 1; i <= count; ++i) {
      messages::RegisterRequest request;
      request.service = "s";
      request.instance = "i" + std::to_string(i);
      const auto added = catalog.add(request, {.stream = i, .connection = i, .peer = {}}, 0, kNow);
      infos.push_back(added->update.info);
    }
  }
  // The state of each, in order.
  [[nodiscard]] std::vector<InstanceState> states(protocol::Instant now = kNow) const {
    std::vector<InstanceState> result;
    for (const auto& instance : catalog.list("", now).services.at(0).instances) {
      result.push_back(instance.state);
    }
    return result;
  }
  void answer(std::size_t index, int ok, int failed) const {
    for (int i = 0; i < ok; ++i) infos[index]->gauge.note_answer(StatusCode::ok, 0);
    for (int i = 0; i < failed; ++i) infos[index]->gauge.note_answer(StatusCode::internal, 0);
  }

  Catalog catalog;
  std::vector<std::shared_ptr<const InstanceInfo>> infos;
};

TEST(InstanceGauge, asks_to_be_judged_after_so_many_failures_in_a_row_and_each_multiple) {
  InstanceGauge gauge;
  EXPECT_FALSE(gauge.note_answer(StatusCode::unavailable, 3));
  EXPECT_FALSE(gauge.note_answer(StatusCode::internal, 3));
  EXPECT_TRUE(gauge.note_answer(StatusCode::unknown, 3));
  EXPECT_FALSE(gauge.note_answer(StatusCode::deadline_exceeded, 3));
  EXPECT_FALSE(gauge.note_answer(StatusCode::internal, 3));
  EXPECT_TRUE(gauge.note_answer(StatusCode::internal, 3));
  EXPECT_FALSE(gauge.note_answer(StatusCode::not_found, 3)) << "the caller's fault";
  EXPECT_EQ(gauge.failures_in_row.load(), 0U);
  EXPECT_EQ(gauge.failures.load(), 6U);
  EXPECT_EQ(gauge.answers.load(), 7U);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(gauge.note_answer(StatusCode::internal, 0));
}

TEST(Ejection, takes_an_instance_out_for_a_time_and_lets_it_back) {
  World world(2);
  const auto update = world.catalog.suspect(1, kNow);
  ASSERT_TRUE(update.has_value());
  EXPECT_EQ(update->state, InstanceState::ejected);
  EXPECT_EQ(world.states(), (std::vector{InstanceState::ejected, InstanceState::ready}));
  EXPECT_EQ(world.catalog.list("", kNow + 1s).services[0].instances[0].reason,
            "5 failures in a row; back in 9s");
  EXPECT_EQ(world.catalog.deadline(), kNow + 10s);
  EXPECT_TRUE(world.catalog.judge(kNow + 10s - 1ns).empty());
  const auto back = world.catalog.judge(kNow + 10s);
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].state, InstanceState::ready);
  EXPECT_EQ(back[0].ready_since, kNow + 10s) << "it starts slowly, if that is set";
  EXPECT_EQ(world.catalog.deadline(), std::nullopt);
}

TEST(Ejection, is_longer_each_time_up_to_its_limit_and_forgotten_after_a_good_time) {
  World world(2);
  protocol::Instant now = kNow;
  for (const protocol::Duration length : {10s, 20s, 40s, 80s, 160s, 300s, 300s}) {
    ASSERT_TRUE(world.catalog.suspect(1, now).has_value());
    EXPECT_EQ(world.catalog.deadline(), now + length);
    now += length;
    world.catalog.judge(now);
  }
  now += protocol::Duration(5min) - 1ns;
  ASSERT_TRUE(world.catalog.suspect(1, now).has_value());
  EXPECT_EQ(world.catalog.deadline(), now + 300s);
  now += 300s;
  world.catalog.judge(now);
  now += 5min;
  ASSERT_TRUE(world.catalog.suspect(1, now).has_value());
  EXPECT_EQ(world.catalog.deadline(), now + 10s);
}

TEST(Ejection, leaves_a_share_of_the_instances_and_always_the_last) {
  World alone(1, {.share_max = 100});
  EXPECT_FALSE(alone.catalog.suspect(1, kNow).has_value());
  World five(5, {.share_max = 40});
  EXPECT_TRUE(five.catalog.suspect(1, kNow).has_value());
  EXPECT_FALSE(five.catalog.suspect(1, kNow).has_value()) << "it is out already";
  EXPECT_TRUE(five.catalog.suspect(2, kNow).has_value());
  EXPECT_FALSE(five.catalog.suspect(3, kNow).has_value()) << "two of five are 40 %";
  World all(3, {.share_max = 100});
  EXPECT_TRUE(all.catalog.suspect(1, kNow).has_value());
  EXPECT_TRUE(all.catalog.suspect(2, kNow).has_value());
  EXPECT_FALSE(all.catalog.suspect(3, kNow).has_value());
  EXPECT_FALSE(all.catalog.suspect(99, kNow).has_value()) << "it is gone";
}

TEST(Ejection, ends_with_the_registration) {
  World world(2);
  ASSERT_TRUE(world.catalog.suspect(1, kNow).has_value());
  world.catalog.remove(1);
  EXPECT_EQ(world.catalog.deadline(), std::nullopt);
  EXPECT_TRUE(world.catalog.judge(kNow + 1h).empty());
}

TEST(Ejection, takes_out_who_succeeds_much_less_often_than_the_others) {
  World world(4, {.failures = 0, .success_gap = 20, .calls_min = 100, .interval = 10s});
  world.answer(0, 100, 0);
  world.answer(1, 90, 10);
  world.answer(2, 60, 40);
  world.answer(3, 0, 50);  // Too few to be judged.
  EXPECT_EQ(world.catalog.deadline(), kNow + 10s);
  const auto changes = world.catalog.judge(kNow + 10s);
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].info->instance, "i3");
  EXPECT_EQ(world.catalog.list("", kNow + 10s).services[0].instances[2].reason,
            "40 of 100 calls failed, the others succeed more often; back in 10s");
  world.answer(0, 100, 0);
  world.answer(1, 100, 0);
  world.answer(3, 100, 0);
  EXPECT_EQ(world.catalog.judge(kNow + 20s).size(), 1U) << "it comes back, nobody goes";
}

TEST(Outliers, need_three_that_can_be_compared) {
  const EjectionSettings settings{.success_gap = 20, .calls_min = 100};
  const Success bad{.answers = 100, .failures = 100};
  const Success good{.answers = 100, .failures = 0};
  const Success few{.answers = 99, .failures = 0};
  EXPECT_EQ(outliers(std::vector{bad, good, few}, settings), std::vector<std::size_t>{});
  EXPECT_EQ(outliers(std::vector{good, bad, good}, settings), std::vector<std::size_t>{1});
  EXPECT_EQ(outliers(std::vector{good, bad, good}, {.success_gap = 0}), std::vector<std::size_t>{});
  const Success on_the_edge{.answers = 100, .failures = 20};
  EXPECT_EQ(outliers(std::vector{good, on_the_edge, good}, settings), std::vector<std::size_t>{});
}

}  // namespace
}  // namespace valkyrie::registry
