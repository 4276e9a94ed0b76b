#include "server/registry/catalog.h"

#include <chrono>
#include <gtest/gtest.h>

namespace valkyrie::registry {
namespace {

using messages::RegisterRequest;
using protocol::StatusCode;

constexpr protocol::Instant kNow{std::chrono::seconds(5)};

RegisterRequest greeter(std::string instance) {
  RegisterRequest request;
  request.service = "hello.Greeter";
  request.instance = std::move(instance);
  return request;
}

Registrant on_stream(std::uint64_t stream, std::uint64_t connection = 1) {
  return {.stream = stream, .shard = 0, .connection = connection, .peer = "peer"};
}

TEST(Catalog, a_registration_becomes_a_route_with_the_defaults_filled_in) {
  Catalog catalog;
  const auto done = catalog.add(greeter("one"), on_stream(1), 0, kNow);
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->update.kind, RouteUpdate::Kind::add);
  EXPECT_EQ(done->update.state, messages::InstanceState::ready);
  EXPECT_EQ(done->update.weight, messages::kInstanceWeightDefault);
  EXPECT_EQ(done->update.info->concurrency, messages::kInstanceConcurrencyDefault);
  EXPECT_EQ(done->update.info->instance, "one");
  EXPECT_FALSE(done->superseded.has_value());
}

TEST(Catalog, an_instance_without_a_name_gets_one) {
  Catalog catalog;
  const auto done = catalog.add(greeter(""), on_stream(1), 0xABCDEF0123456789, kNow);
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->update.info->instance, "i-abcdef012345");
}

TEST(Catalog, the_same_instance_again_supersedes_the_earlier_stream) {
  Catalog catalog;
  const auto first = catalog.add(greeter("one"), on_stream(1), 0, kNow);
  const auto second = catalog.add(greeter("one"), on_stream(2, 9), 0, kNow);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(second->superseded, 1U);
  ASSERT_TRUE(second->removed.has_value());
  EXPECT_EQ(second->removed->info->id, first->update.info->id);
  EXPECT_NE(second->update.info->id, first->update.info->id);
  EXPECT_EQ(catalog.size(), 1U);
  EXPECT_FALSE(catalog.remove(1).has_value()) << "the old stream owns nothing any more";
  EXPECT_TRUE(catalog.remove(2).has_value());
}

TEST(Catalog, names_against_the_grammar_and_reserved_ones_are_refused_by_name) {
  Catalog catalog;
  RegisterRequest request = greeter("one");
  request.service = "hello Greeter";
  auto refused = catalog.add(request, on_stream(1), 0, kNow);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, StatusCode::invalid_argument);
  EXPECT_NE(refused.error().text.find("hello Greeter"), std::string::npos);
  request.service = "valkyrie.Jobs";
  refused = catalog.add(request, on_stream(1), 0, kNow);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, StatusCode::permission_denied);
  request = greeter("one");
  request.methods = {{.name = "SayHello"}, {.name = "SayHello"}};
  refused = catalog.add(request, on_stream(1), 0, kNow);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().text, "method \"SayHello\" is declared twice");
}

TEST(Catalog, a_stream_registers_once) {
  Catalog catalog;
  ASSERT_TRUE(catalog.add(greeter("one"), on_stream(1), 0, kNow));
  const auto again = catalog.add(greeter("two"), on_stream(1), 0, kNow);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, StatusCode::failed_precondition);
}

TEST(Catalog, a_connection_registers_a_bounded_number_of_instances) {
  Catalog catalog;
  for (std::uint64_t i = 0; i < kConnectionInstancesMax; ++i) {
    ASSERT_TRUE(catalog.add(greeter(std::to_string(i)), on_stream(i), 0, kNow));
  }
  const auto over = catalog.add(greeter("over"), on_stream(kConnectionInstancesMax), 0, kNow);
  ASSERT_FALSE(over.has_value());
  EXPECT_EQ(over.error().code, StatusCode::resource_exhausted);
  EXPECT_TRUE(catalog.add(greeter("over"), on_stream(kConnectionInstancesMax, 2), 0, kNow));
}

TEST(Catalog, health_weight_and_drain_change_the_route_and_drain_is_final) {
  Catalog catalog;
  ASSERT_TRUE(catalog.add(greeter("one"), on_stream(1), 0, kNow));
  auto changed = catalog.update(1, {.health = messages::Health::unhealthy, .weight = 7}, kNow);
  ASSERT_TRUE(changed.has_value());
  EXPECT_EQ(changed->state, messages::InstanceState::not_ready);
  EXPECT_EQ(changed->weight, 7U);
  changed =
      catalog.update(1, {.health = messages::Health::healthy, .weight = {}, .drain = true}, kNow);
  EXPECT_EQ(changed->state, messages::InstanceState::draining);
  changed = catalog.update(1, {.health = {}, .weight = {}, .drain = false}, kNow);
  EXPECT_EQ(changed->state, messages::InstanceState::draining);
  EXPECT_FALSE(catalog.update(2, {}, kNow).has_value());
}

TEST(Catalog, instances_of_a_service_share_its_counts_until_the_last_is_gone) {
  Catalog catalog(nullptr, /*shards=*/2);
  const auto one = catalog.add(greeter("one"), on_stream(1), 0, kNow);
  const auto two = catalog.add(greeter("two"), on_stream(2), 0, kNow);
  ASSERT_TRUE(one && two);
  ASSERT_EQ(one->update.info->service_gauge, two->update.info->service_gauge);
  for (const std::uint32_t shard : {0U, 1U}) {
    one->update.info->service_gauge->of_shard(shard).note_call(
        protocol::StatusCode::ok, protocol::Outcome::executed, std::chrono::microseconds(3));
  }
  EXPECT_EQ(catalog.list("", kNow).services[0].stats.ok, 2U);
  ASSERT_TRUE(catalog.remove(1));
  EXPECT_EQ(catalog.list("", kNow).services[0].stats.ok, 2U);
  ASSERT_TRUE(catalog.remove(2));
  ASSERT_TRUE(catalog.add(greeter("one"), on_stream(3), 0, kNow));
  EXPECT_EQ(catalog.list("", kNow).services[0].stats.ok, 0U);
}

TEST(Catalog, lists_by_prefix_in_order_of_names) {
  Catalog catalog;
  ASSERT_TRUE(catalog.add(greeter("two"), on_stream(1), 0, kNow));
  ASSERT_TRUE(catalog.add(greeter("one"), on_stream(2), 0, kNow));
  RegisterRequest other = greeter("x");
  other.service = "other.Service";
  ASSERT_TRUE(catalog.add(other, on_stream(3), 0, kNow));
  const auto all = catalog.list("", kNow + std::chrono::seconds(1));
  ASSERT_EQ(all.services.size(), 2U);
  EXPECT_EQ(all.services[0].name, "hello.Greeter");
  ASSERT_EQ(all.services[0].instances.size(), 2U);
  EXPECT_EQ(all.services[0].instances[0].instance, "one");
  EXPECT_EQ(all.services[0].instances[0].age_ns, 1'000'000'000U);
  EXPECT_EQ(all.services[0].instances[0].peer, "peer");
  EXPECT_EQ(catalog.list("other.", kNow).services.size(), 1U);
  EXPECT_EQ(catalog.list("none", kNow).services.size(), 0U);
}

}  // namespace
}  // namespace valkyrie::registry
