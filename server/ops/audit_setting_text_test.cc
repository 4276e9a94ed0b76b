#include "server/ops/audit_setting_text.h"

#include <gtest/gtest.h>

namespace valkyrie::server {
namespace {

std::string error_of(std::string_view key, std::string_view value) {
  AuditSettings settings;
  const auto applied = apply_audit_setting(key, value, settings);
  return applied ? "" : applied.error();
}

TEST(AuditSettingText, every_key_is_applied) {
  AuditSettings settings;
  ASSERT_TRUE(apply_audit_setting("on_failure", "refuse", settings));
  ASSERT_TRUE(apply_audit_setting("sync", "record", settings));
  ASSERT_TRUE(apply_audit_setting("file_max", "1MiB", settings));
  ASSERT_TRUE(apply_audit_setting("checkpoint_interval", "2s", settings));
  EXPECT_EQ(settings.on_failure, AuditFailure::refuse);
  EXPECT_EQ(settings.sync, AuditSync::record);
  EXPECT_EQ(settings.file_bytes_max, 1U << 20U);
  EXPECT_EQ(settings.checkpoint_interval, std::chrono::seconds(2));
  ASSERT_TRUE(apply_audit_setting("on_failure", "continue", settings));
  ASSERT_TRUE(apply_audit_setting("sync", "checkpoint", settings));
  EXPECT_EQ(settings.on_failure, AuditFailure::proceed);
  EXPECT_EQ(settings.sync, AuditSync::checkpoint);
}

TEST(AuditSettingText, both_sides_of_each_limit) {
  EXPECT_EQ(error_of("file_max", "64KiB"), "");
  EXPECT_NE(error_of("file_max", "63KiB"), "");
  EXPECT_EQ(error_of("file_max", "256MiB"), "");
  EXPECT_NE(error_of("file_max", "257MiB"), "");
  EXPECT_EQ(error_of("checkpoint_interval", "100ms"), "");
  EXPECT_NE(error_of("checkpoint_interval", "99ms"), "");
  EXPECT_EQ(error_of("checkpoint_interval", "1h"), "");
  EXPECT_NE(error_of("checkpoint_interval", "61m"), "");
}

TEST(AuditSettingText, an_error_names_the_key_and_what_there_is) {
  EXPECT_EQ(error_of("sink", "x"),
            "audit.sink: no such key; there are on_failure, sync, file_max, checkpoint_interval");
  EXPECT_EQ(error_of("on_failure", "panic"), "audit.on_failure: it is continue or refuse");
  EXPECT_EQ(error_of("sync", ""), "audit.sync: it is checkpoint or record");
  EXPECT_EQ(error_of("file_max", "99999999999999MiB"),
            "audit.file_max: 99999999999999MiB is too much");
}

}  // namespace
}  // namespace valkyrie::server
