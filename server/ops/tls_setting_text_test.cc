#include "server/ops/tls_setting_text.h"

#include <gtest/gtest.h>
#include <string>

namespace valkyrie::server {
namespace {

TEST(TlsSettingText, sets_what_it_names) {
  TlsSettings settings;
  EXPECT_TRUE(apply_tls_setting("certificate", "a.crt", settings).has_value());
  EXPECT_TRUE(apply_tls_setting("key", "a.key", settings).has_value());
  EXPECT_TRUE(apply_tls_setting("client_ca", "ca.crt", settings).has_value());
  EXPECT_TRUE(apply_tls_setting("crl", "ca.crl", settings).has_value());
  EXPECT_TRUE(apply_tls_setting("client", "optional", settings).has_value());
  EXPECT_TRUE(apply_tls_setting("require_pq", "true", settings).has_value());
  EXPECT_EQ(settings, (TlsSettings{"a.crt", "a.key", "ca.crt", "ca.crl", true, true}));
  EXPECT_TRUE(apply_tls_setting("client", "required", settings).has_value());
  EXPECT_TRUE(apply_tls_setting("require_pq", "false", settings).has_value());
  EXPECT_FALSE(settings.client_optional || settings.require_pq);
}

TEST(TlsSettingText, says_what_is_wrong) {
  TlsSettings settings;
  for (const auto& [path, value] : {std::pair{"require_pq", "yes"}, std::pair{"client", "never"},
                                    std::pair{"key", ""}, std::pair{"certificates", "x"}}) {
    const auto applied = apply_tls_setting(path, value, settings);
    ASSERT_FALSE(applied.has_value()) << path;
    EXPECT_NE(applied.error().find(std::string("tls.") + path), std::string::npos);
  }
  EXPECT_EQ(settings, TlsSettings{});
}

TEST(TlsSettingText, a_door_needs_a_certificate_and_settings_need_a_door) {
  const TlsSettings none;
  const TlsSettings own{.certificate = "a.crt", .key = "a.key"};
  EXPECT_TRUE(check_tls_settings(none, false).has_value());
  EXPECT_TRUE(check_tls_settings(own, true).has_value());
  EXPECT_FALSE(check_tls_settings(none, true).has_value());
  EXPECT_FALSE(check_tls_settings(own, false).has_value());
  EXPECT_FALSE(check_tls_settings({.certificate = "a.crt"}, true).has_value());
  EXPECT_FALSE(check_tls_settings({.key = "a.key"}, true).has_value());
}

TEST(TlsSettingText, what_is_about_clients_needs_their_authority) {
  TlsSettings settings{.certificate = "a.crt", .key = "a.key", .crl = "ca.crl"};
  EXPECT_FALSE(check_tls_settings(settings, true).has_value());
  settings.client_ca = "ca.crt";
  EXPECT_TRUE(check_tls_settings(settings, true).has_value());
}

}  // namespace
}  // namespace valkyrie::server
