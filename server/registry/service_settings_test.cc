#include "server/registry/service_settings.h"

#include <chrono>
#include <gtest/gtest.h>

namespace valkyrie::registry {
namespace {

using namespace std::chrono_literals;

SettingChange deadline_of(protocol::Duration value) {
  return [value](ServiceSettings& settings) { settings.deadline = value; };
}

SettingChange balance_of(messages::Balance value) {
  return [value](ServiceSettings& settings) { settings.balance = value; };
}

TEST(ServiceRules, without_a_rule_everything_is_by_default) {
  EXPECT_EQ(ServiceRules().settings_of("hello.Greeter"), ServiceSettings());
}

TEST(ServiceRules, the_more_specific_pattern_wins_in_whatever_order_they_come) {
  ServiceRules rules;
  rules.add("hello.world.Greeter", deadline_of(4s));
  rules.add("hello.*", deadline_of(2s));
  rules.add("hello.world.*", deadline_of(3s));
  rules.add("defaults", deadline_of(1s));
  EXPECT_EQ(rules.settings_of("other.Service").deadline, protocol::Duration(1s));
  EXPECT_EQ(rules.settings_of("hello.Greeter").deadline, protocol::Duration(2s));
  EXPECT_EQ(rules.settings_of("hello.world.Other").deadline, protocol::Duration(3s));
  EXPECT_EQ(rules.settings_of("hello.world.Greeter").deadline, protocol::Duration(4s));
}

TEST(ServiceRules, settings_a_pattern_does_not_name_come_from_the_less_specific) {
  ServiceRules rules;
  rules.add("defaults", deadline_of(1s));
  rules.add("hello.*", balance_of(messages::Balance::consistent_hash));
  const ServiceSettings settings = rules.settings_of("hello.Greeter");
  EXPECT_EQ(settings.deadline, protocol::Duration(1s));
  EXPECT_EQ(settings.balance, messages::Balance::consistent_hash);
}

TEST(ServiceRules, of_equally_specific_rules_the_later_counts) {
  ServiceRules rules;
  rules.add("hello.*", deadline_of(1s));
  rules.add("hello.*", deadline_of(2s));
  EXPECT_EQ(rules.settings_of("hello.Greeter").deadline, protocol::Duration(2s));
}

TEST(ServiceRules, a_prefix_ends_at_a_dot) {
  ServiceRules rules;
  rules.add("hello.*", deadline_of(1s));
  EXPECT_EQ(rules.settings_of("helloworld.Greeter"), ServiceSettings());
  EXPECT_EQ(rules.settings_of("hello"), ServiceSettings());
}

TEST(ServiceRules, a_version_is_treated_as_its_service) {
  ServiceRules rules;
  rules.add("hello.Greeter", deadline_of(1s));
  EXPECT_EQ(rules.settings_of("hello.Greeter@2").deadline, protocol::Duration(1s));
}

TEST(ServiceRules, a_node_label_can_be_given_again) {
  ServiceRules rules;
  EXPECT_EQ(rules.node_label("zone"), std::nullopt);
  rules.set_node_label("zone", "a");
  rules.set_node_label("zone", "b");
  EXPECT_EQ(rules.node_label("zone"), "b");
}

TEST(ServicePattern, is_a_name_or_a_prefix) {
  for (const char* good : {"defaults", "hello.Greeter", "hello.*", "a.b.*"}) {
    EXPECT_TRUE(valid_service_pattern(good)) << good;
  }
  for (const char* bad : {"", "*", ".*", "hello*", "hello.*.Greeter", "hello..*", "a b"}) {
    EXPECT_FALSE(valid_service_pattern(bad)) << bad;
  }
}

}  // namespace
}  // namespace valkyrie::registry
