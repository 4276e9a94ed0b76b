#include "server/ops/limit_setting_text.h"

#include <gtest/gtest.h>

namespace valkyrie::server {
namespace {

std::string error_of(std::string_view key, std::string_view value) {
  LimitSettings settings;
  const auto applied = apply_limit_setting(key, value, settings);
  return applied ? "" : applied.error();
}

TEST(LimitSettingText, every_key_is_applied) {
  LimitSettings settings;
  for (const auto& [key, value] : {std::pair{"handshakes", "7"},
                                   {"handshakes_per_address", "0"},
                                   {"half_open_per_address", "9"},
                                   {"sessions_per_identity", "10"},
                                   {"ban_after", "11"},
                                   {"keep_bans", "on"},
                                   {"loopback", "on"}}) {
    EXPECT_TRUE(apply_limit_setting(key, value, settings)) << key;
  }
  EXPECT_EQ(settings.doors.all_handshakes.per_second, 7u);
  EXPECT_EQ(settings.doors.all_handshakes.burst, 28u);
  EXPECT_EQ(settings.doors.address_handshakes.per_second, 0u) << "no limit";
  EXPECT_EQ(settings.doors.address_half_open_max, 9u);
  EXPECT_EQ(settings.doors.identity_sessions.per_second, 10u);
  EXPECT_EQ(settings.doors.bans.failures_max, 11u);
  EXPECT_TRUE(settings.keep_bans);
  EXPECT_TRUE(settings.doors.loopback);
  EXPECT_TRUE(apply_limit_setting("loopback", "off", settings));
  EXPECT_FALSE(settings.doors.loopback);
}

TEST(LimitSettingText, both_sides_of_each_limit) {
  EXPECT_EQ(error_of("handshakes", "1000000"), "");
  EXPECT_NE(error_of("handshakes", "1000001"), "");
  EXPECT_EQ(error_of("half_open_per_address", "1"), "");
  EXPECT_EQ(error_of("half_open_per_address", "0"),
            "limits.half_open_per_address: it is at least 1");
  EXPECT_NE(error_of("ban_after", "-1"), "");
  EXPECT_NE(error_of("ban_after", ""), "");
  EXPECT_EQ(error_of("loopback", "yes"), "limits.loopback: it is on or off");
  EXPECT_NE(error_of("speed", "1").find("there are handshakes"), std::string::npos);
}

}  // namespace
}  // namespace valkyrie::server
