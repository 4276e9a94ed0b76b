// The Noise suites that a connection may speak, and their numbers in the preamble.
// Spec: docs/spec/noise.md, "Suites".
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

namespace valkyrie::protocol::noise {

// Who knows whose static key when. Revision 34, section 7.5.
enum class Pattern : std::uint8_t {
  xx,  // Both sides send their static key, encrypted.
  xk,  // The dialer knows the acceptor's static key before.
};

// The AEAD.
enum class Cipher : std::uint8_t { chacha_poly, aes_gcm };

// A number in a preamble. Those from 0x10 on are hybrid: their forward secrecy also rests on
// ML-KEM-768, so that a recording is of no use to who breaks X25519 alone.
enum class Suite : std::uint8_t {
  xx_chacha_poly = 0x01,
  xx_aes_gcm = 0x02,
  xk_chacha_poly = 0x03,
  xk_aes_gcm = 0x04,
  xx_mlkem_chacha_poly = 0x11,
  xx_mlkem_aes_gcm = 0x12,
  xk_mlkem_chacha_poly = 0x13,
  xk_mlkem_aes_gcm = 0x14,
};

// All of them, best first.
inline constexpr std::array kSuites = {
    Suite::xx_mlkem_aes_gcm,     Suite::xx_mlkem_chacha_poly, Suite::xk_mlkem_aes_gcm,
    Suite::xk_mlkem_chacha_poly, Suite::xx_aes_gcm,           Suite::xx_chacha_poly,
    Suite::xk_aes_gcm,           Suite::xk_chacha_poly,
};

// The suite with this number, if there is one.
[[nodiscard]] std::optional<Suite> suite_of(std::uint8_t number);
// Its handshake pattern.
[[nodiscard]] Pattern pattern_of(Suite suite);
// Its cipher.
[[nodiscard]] Cipher cipher_of(Suite suite);
// Whether it is hybrid.
[[nodiscard]] bool is_hybrid(Suite suite);
// The protocol name by which the handshake hash begins, such as Noise_XXpsk3_25519_AESGCM_SHA256.
[[nodiscard]] std::string_view protocol_name(Suite suite);

}  // namespace valkyrie::protocol::noise
