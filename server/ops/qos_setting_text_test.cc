#include "server/ops/qos_setting_text.h"

#include <gtest/gtest.h>

namespace valkyrie::server {
namespace {

using protocol::QosClass;

TEST(QosSettingText, each_key_says_what_it_means) {
  QosSettings settings;
  for (const auto& [path, value] :
       std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"shares.system", "10%"},
           {"shares.telemetry", "70"},
           {"ceiling", "data"},
           {"ceiling.\"uid:1000\"", "critical"},
           {"listener_ceiling.\"127.0.0.1:7000\"", "data"},
           {"rules.\"hello.*/Slow\"", "telemetry"},
           {"rules.hello.Greeter", "job"},
           {"slow_peer.queue_max", "1MiB"},
           {"slow_peer.stall", "5s"}}) {
    const auto applied = apply_qos_setting(path, value, settings);
    EXPECT_TRUE(applied.has_value()) << applied.error();
  }
  EXPECT_EQ(settings.shares, (protocol::ClassWeights{0, 10, 30, 20, 70}));
  EXPECT_EQ(settings.rules.ceiling_of("uid:1"), QosClass::data);
  EXPECT_EQ(settings.rules.ceiling_of("uid:1000"), QosClass::critical);
  EXPECT_EQ(settings.listener_ceiling(*transport::parse_address("valkyrie://127.0.0.1:7000")),
            QosClass::data);
  EXPECT_EQ(settings.listener_ceiling(*transport::parse_address("valkyrie://127.0.0.1:7001")),
            QosClass::critical)
      << "none of its own";
  EXPECT_EQ(settings.rules.candidates("hello.Greeter", {}).size(), 2U);
  EXPECT_EQ(settings.queued_bytes_max, 1U << 20U);
  EXPECT_EQ(settings.stall_timeout, std::chrono::seconds(5));
}

TEST(QosSettingText, both_sides_of_each_limit) {
  QosSettings settings;
  EXPECT_TRUE(apply_qos_setting("shares.job", "1%", settings));
  EXPECT_FALSE(apply_qos_setting("shares.job", "0%", settings));
  EXPECT_TRUE(apply_qos_setting("shares.job", "100%", settings));
  EXPECT_FALSE(apply_qos_setting("shares.job", "101%", settings));
  EXPECT_TRUE(apply_qos_setting("slow_peer.queue_max", "64KiB", settings));
  EXPECT_FALSE(apply_qos_setting("slow_peer.queue_max", "63KiB", settings));
  EXPECT_TRUE(apply_qos_setting("slow_peer.queue_max", "64MiB", settings));
  EXPECT_FALSE(apply_qos_setting("slow_peer.queue_max", "65MiB", settings));
  EXPECT_TRUE(apply_qos_setting("slow_peer.stall", "100ms", settings));
  EXPECT_FALSE(apply_qos_setting("slow_peer.stall", "99ms", settings));
  EXPECT_TRUE(apply_qos_setting("slow_peer.stall", "10m", settings));
  EXPECT_FALSE(apply_qos_setting("slow_peer.stall", "601s", settings));
}

TEST(QosSettingText, errors_name_the_key_and_what_is_wrong) {
  QosSettings settings;
  const auto error = [&](std::string_view path, std::string_view value) {
    const auto applied = apply_qos_setting(path, value, settings);
    return applied ? std::string() : applied.error();
  };
  EXPECT_EQ(error("sharez.job", "1%"),
            "unknown key \"sharez\" in qos; there are shares, ceiling, listener_ceiling, rules, "
            "slow_peer");
  EXPECT_EQ(
      error("shares.critical", "1%"),
      "qos.shares.critical: critical has no share: it goes first, up to a tenth of the bytes");
  EXPECT_EQ(
      error("ceiling", "urgent"),
      "qos.ceiling: \"urgent\" is no class; there are critical, system, job, data, telemetry");
  EXPECT_EQ(error("slow_peer.queue_max", "4"),
            "qos.slow_peer.queue_max: 4 has no unit; write 4KiB or 4MiB");
  EXPECT_EQ(error("rules.\"\"", "job"),
            "qos.rules.\"\": a rule needs SERVICE, subject:FILTER, identity:SUBJECT or "
            "pair:NAME:VALUE");
  EXPECT_EQ(error("listener_ceiling.\"unix:x\"", "job").substr(0, 29),
            "qos.listener_ceiling.\"unix:x\"");
  EXPECT_EQ(error("slow_peer.size", "4"),
            "qos.slow_peer.size: slow_peer has the keys queue_max and stall");
}

}  // namespace
}  // namespace valkyrie::server
