// The policies, and what must be true of each over many seeded draws.
#include "server/registry/balance.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "server/registry/service.h"

namespace valkyrie::registry {
namespace {

using namespace std::chrono_literals;
using messages::Balance;

constexpr protocol::Instant kNow{1h};

// A service with instances "i0", "i1", ...; calls are placed and, where said so, stay.
struct World {
  explicit World(Balance policy, std::vector<std::uint32_t> weights, std::uint32_t seed = 1,
                 std::string place = {})
      : service("s", settings_with(policy), std::move(place)), random(seed) {
    for (const std::uint32_t weight : weights) add(weight);
  }
  static ServiceSettings settings_with(Balance policy) {
    ServiceSettings settings;
    settings.balance = policy;
    settings.slow_start = 100s;
    return settings;
  }

  Instance& add(std::uint32_t weight, std::uint32_t concurrency = 0, const char* zone = nullptr,
                protocol::Instant since = {}) {
    auto info = std::make_shared<InstanceInfo>();
    info->id = instances.size() + 1;
    info->instance = "i" + std::to_string(instances.size());
    info->concurrency = concurrency;
    if (zone != nullptr) info->labels = {{"zone", zone}};
    auto instance = std::make_unique<Instance>();
    instance->name_hash = stable_hash(info->instance);
    instance->info = std::move(info);
    instance->weight = weight;
    instance->ready_since = since;
    instances.push_back(std::move(instance));
    service.add(*instances.back());
    return *instances.back();
  }
  Instance* choose(std::uint64_t key = 0, protocol::Instant now = kNow) {
    service.advance(now);
    return service.choose("M", {}, random, key).instance;
  }
  // Where so many calls go that are over at once.
  std::vector<int> spread(int calls, protocol::Instant now = kNow) {
    std::map<const Instance*, int> counts;
    for (int i = 0; i < calls; ++i) ++counts[choose(random(), now)];
    std::vector<int> result;
    for (const auto& instance : instances) result.push_back(counts[instance.get()]);
    return result;
  }
  void start(Instance& instance) {
    ++instance.outstanding;
    ++instance.ours;
  }

  Service service;
  std::vector<std::unique_ptr<Instance>> instances;
  Random random;
};

constexpr Balance kPolicies[] = {Balance::least_outstanding, Balance::round_robin,
                                 Balance::weighted, Balance::consistent_hash};

TEST(Balance, equal_instances_get_equal_parts_by_every_policy) {
  for (const Balance policy : kPolicies) {
    World world(policy, {100, 100, 100, 100, 100});
    for (const int count : world.spread(50'000)) {
      EXPECT_NEAR(count, 10'000, 400) << messages::to_string(policy);
    }
  }
}

TEST(Balance, weights_are_met_by_every_policy_that_knows_them) {
  for (const Balance policy :
       {Balance::least_outstanding, Balance::weighted, Balance::consistent_hash}) {
    for (std::uint32_t seed = 1; seed <= 20; ++seed) {
      World world(policy, {100, 200, 50, 650}, seed);
      const std::vector<int> counts = world.spread(20'000);
      const int expected[] = {2000, 4000, 1000, 13'000};
      for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_NEAR(counts[i], expected[i], 200) << messages::to_string(policy) << " seed " << seed;
      }
    }
  }
}

TEST(Balance, weight_zero_gets_nothing_by_every_policy) {
  for (const Balance policy : kPolicies) {
    World world(policy, {100, 0, 100});
    EXPECT_EQ(world.spread(1000)[1], 0) << messages::to_string(policy);
    World none(policy, {0});
    EXPECT_EQ(none.choose(), nullptr);
  }
}

TEST(Balance, who_has_no_room_gets_nothing_and_the_last_with_room_gets_all) {
  for (const Balance policy : kPolicies) {
    World world(policy, {});
    for (int i = 0; i < 4; ++i) world.add(100, /*concurrency=*/5);
    for (int calls = 0; calls < 20; ++calls) {
      Instance* chosen = world.choose(static_cast<std::uint64_t>(calls));
      ASSERT_NE(chosen, nullptr) << messages::to_string(policy) << " call " << calls;
      world.start(*chosen);
    }
    for (const auto& instance : world.instances) EXPECT_EQ(instance->outstanding, 5U);
    EXPECT_EQ(world.choose(), nullptr) << messages::to_string(policy);
  }
}

TEST(LeastOutstanding, a_slow_instance_is_given_less) {
  World world(Balance::least_outstanding, {100, 100, 100});
  world.instances[0]->outstanding = 50;
  for (int i = 0; i < 60; ++i) ++world.choose()->outstanding;
  EXPECT_EQ(world.instances[0]->outstanding, 50U) << "one of two drawn is always another";
  EXPECT_NEAR(world.instances[1]->outstanding, 30U, 5);
}

TEST(RoundRobin, everybody_comes_once_in_each_round) {
  World world(Balance::round_robin, {100, 1, 7, 1000});
  for (int round = 0; round < 100; ++round) {
    for (const int count : world.spread(4)) EXPECT_EQ(count, 1);
  }
}

TEST(Weighted, no_window_of_the_sum_of_weights_is_off_by_more_than_one) {
  World world(Balance::weighted, {5, 1, 1});
  for (int i = 0; i < 50; ++i) {
    const std::vector<int> counts = world.spread(7);
    EXPECT_EQ(counts, (std::vector<int>{5, 1, 1}));
  }
}

TEST(Weighted, the_others_come_in_between_the_calls_of_the_heavy_one) {
  World world(Balance::weighted, {5, 1, 1});
  int in_a_row = 0;
  for (int i = 0; i < 700; ++i) {
    in_a_row = world.choose() == world.instances[0].get() ? in_a_row + 1 : 0;
    EXPECT_LT(in_a_row, 5);
  }
}

TEST(ConsistentHash, a_key_stays_where_it_is) {
  World world(Balance::consistent_hash, {100, 300, 50});
  World elsewhere(Balance::consistent_hash, {100, 300, 50}, /*seed=*/99);
  for (std::uint64_t key = 0; key < 1000; ++key) {
    const Instance* first = world.choose(key);
    EXPECT_EQ(world.choose(key), first);
    EXPECT_EQ(elsewhere.choose(key)->info->instance, first->info->instance)
        << "another shard, or the node's next run, decides alike";
  }
}

TEST(ConsistentHash, an_instance_more_moves_only_the_keys_it_takes) {
  constexpr std::uint64_t kKeys = 20'000;
  for (const std::size_t count : {2U, 5U, 10U, 40U}) {
    World world(Balance::consistent_hash, std::vector<std::uint32_t>(count, 100));
    std::vector<Instance*> before;
    for (std::uint64_t key = 0; key < kKeys; ++key) before.push_back(world.choose(key));
    Instance& added = world.add(100);
    std::size_t moved = 0;
    for (std::uint64_t key = 0; key < kKeys; ++key) {
      const Instance* now = world.choose(key);
      if (now == before[key]) continue;
      EXPECT_EQ(now, &added) << "key " << key << " moved between two that both stayed";
      ++moved;
    }
    const double fair = static_cast<double>(kKeys) / static_cast<double>(count + 1);
    EXPECT_NEAR(static_cast<double>(moved), fair, 4 * std::sqrt(fair)) << count;
    world.service.remove(added);
    for (std::uint64_t key = 0; key < kKeys; ++key) EXPECT_EQ(world.choose(key), before[key]);
  }
}

TEST(ConsistentHash, one_hot_key_does_not_bring_more_than_a_quarter_above_the_average) {
  for (const std::size_t count : {2U, 3U, 8U, 20U}) {
    World world(Balance::consistent_hash, std::vector<std::uint32_t>(count, 100));
    for (std::uint64_t calls = 1; calls <= 2000; ++calls) {
      world.start(*world.choose(/*key=*/7));
      const double bound =
          std::ceil(1.25 * static_cast<double>(calls) / static_cast<double>(count));
      for (const auto& instance : world.instances) {
        ASSERT_LE(static_cast<double>(instance->ours), bound) << count << " call " << calls;
      }
    }
  }
}

TEST(ConsistentHash, the_bound_follows_the_weights) {
  World world(Balance::consistent_hash, {300, 100});
  for (int i = 0; i < 4000; ++i) world.start(*world.choose(/*key=*/7));
  EXPECT_LE(world.instances[0]->ours, 3750U);
  EXPECT_LE(world.instances[1]->ours, 1250U);
}

TEST(Locality, who_is_near_gets_all_while_it_has_room) {
  for (const Balance policy : kPolicies) {
    World world(policy, {}, 1, /*place=*/"a");
    world.add(100, 0, "b");
    Instance& near = world.add(100, 3, "a");
    world.add(100, 0, nullptr);
    for (int i = 0; i < 3; ++i) {
      Instance* chosen = world.choose(static_cast<std::uint64_t>(i));
      EXPECT_EQ(chosen, &near) << messages::to_string(policy);
      world.start(*chosen);
    }
    EXPECT_NE(world.choose(), &near);
    EXPECT_NE(world.choose(), nullptr);
    near.state = messages::InstanceState::draining;
    world.service.refresh();
    EXPECT_NE(world.choose(), nullptr) << "none is near any more";
  }
}

TEST(SlowStart, a_new_instance_grows_from_a_tenth_to_its_share) {
  for (const Balance policy : kPolicies) {
    World world(policy, {100, 100, 100});
    world.add(100, 0, nullptr, kNow);
    const int at_first = world.spread(20'000, kNow)[3];
    EXPECT_LT(at_first, 900) << messages::to_string(policy);
    EXPECT_GT(at_first, 300) << messages::to_string(policy);
    const int half_way = world.spread(20'000, kNow + 50s)[3];
    EXPECT_GT(half_way, 2300) << messages::to_string(policy);
    EXPECT_LT(half_way, 3800) << messages::to_string(policy);
    EXPECT_NEAR(world.spread(20'000, kNow + 100s)[3], 5000, 250) << messages::to_string(policy);
  }
}

TEST(SlowStart, who_is_alone_gets_all_at_once) {
  for (const Balance policy : kPolicies) {
    World world(policy, {});
    world.add(100, 0, nullptr, kNow);
    EXPECT_EQ(world.spread(100, kNow)[0], 100) << messages::to_string(policy);
  }
}

TEST(StableHash, is_what_it_always_was) {
  EXPECT_EQ(stable_hash(""), 0xEFD01F60BA992926ULL);
  EXPECT_NE(stable_hash("i1"), stable_hash("i2"));
}

}  // namespace
}  // namespace valkyrie::registry
