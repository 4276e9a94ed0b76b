#include "server/ops/noise_setting_text.h"

#include <gtest/gtest.h>

namespace valkyrie::server {
namespace {

TEST(NoiseSettings, are_read_by_their_path) {
  NoiseSettings settings;
  EXPECT_TRUE(apply_noise_setting("keys", "/etc/keys", settings));
  EXPECT_TRUE(apply_noise_setting("psk", "/etc/psk", settings));
  EXPECT_TRUE(apply_noise_setting("cipher", "chacha_poly", settings));
  EXPECT_EQ(settings.keys, "/etc/keys");
  EXPECT_EQ(settings.psk, "/etc/psk");
  EXPECT_TRUE(settings.require_pq);
  EXPECT_EQ(settings.cipher, protocol::noise::Cipher::chacha_poly);
  EXPECT_TRUE(check_noise_settings(settings, /*has_door=*/true));
  EXPECT_TRUE(apply_noise_setting("cipher", "aes_gcm", settings));
  EXPECT_EQ(settings.cipher, protocol::noise::Cipher::aes_gcm);
}

TEST(NoiseSettings, what_is_wrong_is_named) {
  NoiseSettings settings;
  EXPECT_EQ(apply_noise_setting("keys", "", settings).error(),
            "noise.keys: the file's path is missing");
  EXPECT_EQ(apply_noise_setting("require_pq", "yes", settings).error(),
            "noise.require_pq: it is true or false");
  EXPECT_EQ(apply_noise_setting("cipher", "des", settings).error(),
            "noise.cipher: it is aes_gcm or chacha_poly");
  EXPECT_TRUE(apply_noise_setting("key", "x", settings).error().starts_with("noise.key: "));
  EXPECT_EQ(settings, NoiseSettings{});
}

TEST(NoiseSettings, ask_for_a_door) {
  NoiseSettings settings;
  EXPECT_TRUE(check_noise_settings(settings, /*has_door=*/false));
  settings.keys = "/etc/keys";
  EXPECT_FALSE(check_noise_settings(settings, /*has_door=*/false));
}

TEST(NoiseSettings, a_psk_is_not_to_be_gone_around_by_a_classical_suite) {
  NoiseSettings settings{.require_pq = false};
  EXPECT_TRUE(check_noise_settings(settings, /*has_door=*/true));
  settings.psk = "/etc/psk";
  EXPECT_FALSE(check_noise_settings(settings, /*has_door=*/true));
}

}  // namespace
}  // namespace valkyrie::server
