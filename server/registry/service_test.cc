#include "server/registry/service.h"

#include <array>
#include <gtest/gtest.h>
#include <memory>
#include <vector>

namespace valkyrie::registry {
namespace {

// Instances of one service, ids from 1.
struct Fixture {
  explicit Fixture(std::size_t count, std::uint32_t concurrency = 0) {
    for (std::size_t i = 0; i < count; ++i) {
      auto info = std::make_shared<InstanceInfo>();
      info->id = i + 1;
      info->concurrency = concurrency;
      auto instance = std::make_unique<Instance>();
      instance->info = info;
      instances.push_back(std::move(instance));
      service.add(*instances.back());
    }
  }

  void declare(std::size_t index, std::vector<messages::MethodInfo> methods) {
    auto info = std::make_shared<InstanceInfo>();
    info->id = index + 1;
    info->methods = std::move(methods);
    instances[index]->info = info;
    service.refresh();
  }

  Choice choose() { return service.choose("M", {}, random); }

  Service service{"s"};
  std::vector<std::unique_ptr<Instance>> instances;
  Random random{1};
};

TEST(Service, without_a_ready_instance_there_is_no_choice) {
  Fixture none(0);
  EXPECT_EQ(none.choose().why, NoChoice::no_instance);
  Fixture one(1);
  one.instances[0]->state = messages::InstanceState::draining;
  one.service.refresh();
  EXPECT_EQ(one.choose().why, NoChoice::no_instance);
}

TEST(Service, calls_spread_evenly_over_equal_instances) {
  Fixture fixture(4);
  for (int i = 0; i < 4000; ++i) ++fixture.choose().instance->outstanding;
  for (const auto& instance : fixture.instances) {
    EXPECT_GT(instance->outstanding, 980U);
    EXPECT_LT(instance->outstanding, 1020U);
  }
}

TEST(Service, load_follows_weight) {
  Fixture fixture(2);
  fixture.instances[0]->weight = 300;
  fixture.service.refresh();
  for (int i = 0; i < 4000; ++i) ++fixture.choose().instance->outstanding;
  EXPECT_NEAR(fixture.instances[0]->outstanding, 3000, 100);
}

TEST(Service, an_instance_takes_no_more_than_its_concurrency) {
  Fixture fixture(3, 2);
  for (int i = 0; i < 6; ++i) {
    const Choice choice = fixture.choose();
    ASSERT_NE(choice.instance, nullptr) << "call " << i;
    ++choice.instance->outstanding;
  }
  EXPECT_EQ(fixture.choose().why, NoChoice::all_busy);
  --fixture.instances[1]->outstanding;
  EXPECT_EQ(fixture.choose().instance, fixture.instances[1].get());
}

TEST(Service, instances_tried_before_are_left_out) {
  Fixture fixture(3);
  const std::array<std::uint64_t, 2> tried{1, 3};
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(fixture.service.choose("M", tried, fixture.random).instance,
              fixture.instances[1].get());
  }
}

TEST(Service, a_method_goes_to_the_instances_that_declare_it) {
  Fixture fixture(2);
  fixture.declare(0, {{.name = "A"}, {.name = "M"}});
  fixture.declare(1, {{.name = "A"}});
  EXPECT_TRUE(fixture.service.may_have("M"));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(fixture.choose().instance, fixture.instances[0].get());
  EXPECT_FALSE(fixture.service.may_have("B"));
  EXPECT_EQ(fixture.service.choose("B", {}, fixture.random).why, NoChoice::unknown_method);
}

TEST(Service, an_instance_without_a_method_list_takes_every_method) {
  Fixture fixture(2);
  fixture.declare(0, {{.name = "A"}});
  EXPECT_TRUE(fixture.service.may_have("M"));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(fixture.choose().instance, fixture.instances[1].get());
}

TEST(Service, generation_tells_that_something_changed) {
  Fixture fixture(1);
  const std::uint64_t before = fixture.service.generation();
  fixture.service.remove(*fixture.instances[0]);
  EXPECT_NE(fixture.service.generation(), before);
  EXPECT_TRUE(fixture.service.was_served());
}

}  // namespace
}  // namespace valkyrie::registry
