#include "protocol/noise/suite.h"

#include <algorithm>

namespace valkyrie::protocol::noise {

std::optional<Suite> suite_of(std::uint8_t number) {
  const auto found = std::ranges::find(kSuites, static_cast<Suite>(number));
  if (found == kSuites.end()) return std::nullopt;
  return *found;
}

Pattern pattern_of(Suite suite) {
  const unsigned low = static_cast<unsigned>(suite) & 0x0F;
  return low <= 2 ? Pattern::xx : Pattern::xk;
}

Cipher cipher_of(Suite suite) {
  return (static_cast<unsigned>(suite) & 1) != 0 ? Cipher::chacha_poly : Cipher::aes_gcm;
}

bool is_hybrid(Suite suite) { return static_cast<unsigned>(suite) >= 0x10; }

std::string_view protocol_name(Suite suite) {
  switch (suite) {
    case Suite::xx_chacha_poly:
      return "Noise_XX_25519_ChaChaPoly_SHA256";
    case Suite::xx_aes_gcm:
      return "Noise_XX_25519_AESGCM_SHA256";
    case Suite::xk_chacha_poly:
      return "Noise_XK_25519_ChaChaPoly_SHA256";
    case Suite::xk_aes_gcm:
      return "Noise_XK_25519_AESGCM_SHA256";
    case Suite::xx_mlkem_chacha_poly:
      return "Noise_XXpsk3_25519_ChaChaPoly_SHA256";
    case Suite::xx_mlkem_aes_gcm:
      return "Noise_XXpsk3_25519_AESGCM_SHA256";
    case Suite::xk_mlkem_chacha_poly:
      return "Noise_XKpsk3_25519_ChaChaPoly_SHA256";
    case Suite::xk_mlkem_aes_gcm:
      return "Noise_XKpsk3_25519_AESGCM_SHA256";
  }
  return "";
}

}  // namespace valkyrie::protocol::noise
