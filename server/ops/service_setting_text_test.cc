#include "server/ops/service_setting_text.h"

#include <chrono>
#include <gtest/gtest.h>

namespace valkyrie::server {
namespace {

using namespace std::chrono_literals;

std::string error_of(std::string_view path, std::string_view value) {
  registry::ServiceRules rules;
  const auto applied = apply_setting(path, value, rules);
  EXPECT_EQ(rules.size(), applied.has_value() ? 1U : 0U);
  return applied ? "" : applied.error();
}

registry::ServiceSettings settings_after(std::string_view path, std::string_view value,
                                         std::string_view service = "hello.Greeter") {
  registry::ServiceRules rules;
  const auto applied = apply_setting(path, value, rules);
  EXPECT_TRUE(applied.has_value()) << applied.error();
  return rules.settings_of(service);
}

TEST(ServiceSettingText, every_key_takes_a_value) {
  EXPECT_EQ(settings_after("services.defaults.deadline", "5s").deadline, protocol::Duration(5s));
  EXPECT_EQ(settings_after("services.defaults.in_flight_max", "256").in_flight_max, 256U);
  EXPECT_EQ(settings_after("services.defaults.queue_max", "0").queue_max, 0U);
  EXPECT_EQ(settings_after("services.defaults.balance", "consistent_hash").balance,
            messages::Balance::consistent_hash);
  EXPECT_EQ(settings_after("services.defaults.slow_start", "30s").slow_start,
            protocol::Duration(30s));
  EXPECT_EQ(settings_after("services.defaults.locality", "rack").locality, "rack");
  EXPECT_EQ(settings_after("services.defaults.locality", "none").locality, "");
}

TEST(ServiceSettingText, every_key_of_ejection_takes_a_value) {
  const auto ejection = [](std::string_view key, std::string_view value) {
    return settings_after("services.defaults.ejection." + std::string(key), value).ejection;
  };
  EXPECT_EQ(ejection("failures", "3").failures, 3U);
  EXPECT_EQ(ejection("success_gap", "20%").success_gap, 20U);
  EXPECT_EQ(ejection("calls_min", "10").calls_min, 10U);
  EXPECT_EQ(ejection("interval", "5s").interval, protocol::Duration(5s));
  EXPECT_EQ(ejection("time", "1s").time, protocol::Duration(1s));
  EXPECT_EQ(ejection("time_max", "1m").time_max, protocol::Duration(1min));
  EXPECT_EQ(ejection("share_max", "30%").share_max, 30U);
  EXPECT_EQ(settings_after("services.hello.Greeter.ejection.failures", "3").ejection.failures, 3U);
}

TEST(ServiceSettingText, every_key_of_probe_takes_a_value) {
  const auto probe = [](std::string_view key, std::string_view value) {
    return settings_after("services.defaults.probe." + std::string(key), value).probe;
  };
  EXPECT_EQ(probe("interval", "5s").interval, protocol::Duration(5s));
  EXPECT_EQ(probe("interval", "0s").interval, protocol::Duration::zero());
  EXPECT_EQ(probe("timeout", "500ms").timeout, protocol::Duration(500ms));
  EXPECT_EQ(probe("failures", "1").failures, 1U);
  EXPECT_EQ(probe("successes", "7").successes, 7U);
  EXPECT_EQ(probe("deregister", "0").deregister, 0U);
}

TEST(ServiceSettingText, a_probe_is_none_or_not_too_often) {
  EXPECT_EQ(error_of("services.defaults.probe.interval", "100ms"), "");
  EXPECT_EQ(error_of("services.defaults.probe.interval", "99ms"),
            "services.defaults.probe.interval: 99ms is not between 100ms and 1h");
  EXPECT_EQ(error_of("services.defaults.probe.failures", "0"),
            "services.defaults.probe.failures: 0 is not between 1 and 1000");
}

TEST(ServiceSettingText, a_share_is_a_percentage) {
  EXPECT_EQ(error_of("services.defaults.ejection.share_max", "0%"), "");
  EXPECT_EQ(error_of("services.defaults.ejection.share_max", "100%"), "");
  EXPECT_NE(error_of("services.defaults.ejection.share_max", "101%"), "");
  EXPECT_EQ(error_of("services.defaults.ejection.share_max", "50"),
            "services.defaults.ejection.share_max: \"50\" is no percentage; write 40%");
  EXPECT_EQ(error_of("services.defaults.ejection.failuers", "5"),
            "unknown key \"failuers\" in services.defaults.ejection");
}

TEST(ServiceSettingText, a_pattern_may_be_quoted_or_not) {
  for (const char* path :
       {"services.\"hello.*\".deadline", "services.hello.*.deadline",
        "services.\"hello.Greeter\".deadline", "services.hello.Greeter.deadline"}) {
    EXPECT_EQ(settings_after(path, "5s").deadline, protocol::Duration(5s)) << path;
    EXPECT_NE(settings_after(path, "5s", "other").deadline, protocol::Duration(5s)) << path;
  }
}

TEST(ServiceSettingText, an_unknown_key_is_told_with_the_nearest) {
  EXPECT_EQ(error_of("services.defaults.balanc", "weighted"),
            "unknown key \"balanc\" in services.defaults; did you mean \"balance\"?");
  EXPECT_EQ(error_of("services.\"hello.*\".quux", "1"), "unknown key \"quux\" in services.hello.*");
  EXPECT_EQ(error_of("service.defaults.balance", "weighted"),
            "unknown key \"service\"; did you mean \"services\"?");
  EXPECT_EQ(error_of("node.label.zone", "a"),
            "unknown key \"label\" in node; did you mean \"labels\"?");
}

TEST(ServiceSettingText, a_wrong_value_is_told_with_what_to_write) {
  EXPECT_EQ(error_of("services.defaults.balance", "round_robbin"),
            "services.defaults.balance: \"round_robbin\" is no balance; did you mean "
            "\"round_robin\"?");
  EXPECT_EQ(error_of("services.defaults.balance", "x"),
            "services.defaults.balance: \"x\" is no balance; there are least_outstanding, "
            "round_robin, weighted, consistent_hash");
  EXPECT_EQ(error_of("services.defaults.deadline", "30"),
            "services.defaults.deadline: 30 has no unit; write 30s or 30ms");
  EXPECT_EQ(error_of("services.defaults.locality", "a b"),
            "services.defaults.locality: \"a b\" is no name of a label; or write none");
}

TEST(ServiceSettingText, values_are_taken_on_one_side_of_their_bounds_only) {
  EXPECT_EQ(error_of("services.defaults.deadline", "1ms"), "");
  EXPECT_EQ(error_of("services.defaults.deadline", "24h"), "");
  EXPECT_NE(error_of("services.defaults.deadline", "0ms"), "");
  EXPECT_NE(error_of("services.defaults.deadline", "25h"), "");
  EXPECT_EQ(error_of("services.defaults.in_flight_max", "16777216"), "");
  EXPECT_NE(error_of("services.defaults.in_flight_max", "16777217"), "");
  EXPECT_EQ(error_of("services.defaults.queue_max", "1048576"), "");
  EXPECT_EQ(error_of("services.defaults.queue_max", "1048577"),
            "services.defaults.queue_max: 1048577 is not between 0 and 1048576");
  EXPECT_EQ(error_of("services.defaults.queue_max", "64KiB"),
            "services.defaults.queue_max: \"64KiB\" is no whole number");
  EXPECT_EQ(error_of("services.defaults.slow_start", "0s"), "");
  EXPECT_EQ(error_of("services.defaults.slow_start", "1h"), "");
  EXPECT_NE(error_of("services.defaults.slow_start", "61m"), "");
}

TEST(ServiceSettingText, a_path_that_is_none_is_told) {
  for (const char* path : {"", "services", "services.", "services.balance", "services.\"a.balance",
                           "services.\"a\"balance", "services.*.balance", "node.labels."}) {
    EXPECT_NE(error_of(path, "weighted"), "") << path;
  }
}

TEST(ServiceSettingText, labels_of_the_node_are_set) {
  registry::ServiceRules rules;
  ASSERT_TRUE(apply_setting("node.labels.zone", "eu-1a", rules).has_value());
  EXPECT_EQ(rules.node_label("zone"), "eu-1a");
}

}  // namespace
}  // namespace valkyrie::server
