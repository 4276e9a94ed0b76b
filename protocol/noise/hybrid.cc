#include "protocol/noise/hybrid.h"

#include <algorithm>
#include <string_view>

namespace valkyrie::protocol::noise {

namespace {

constexpr std::string_view kLabel = "valkyrie/2 noise psk3 mlkem768";

}  // namespace

void derive_psk(const SecretKey& kem_secret, const EncapsulationKey& key,
                const KemCiphertext& ciphertext, Bytes provisioned, SecretKey& psk) {
  std::array<std::byte, kLabel.size() + 2 * kHashBytes> info;
  const Hash key_hash = sha256(key);
  const Hash ciphertext_hash = sha256(ciphertext);
  auto at = std::ranges::copy(std::as_bytes(std::span(kLabel)), info.begin()).out;
  at = std::ranges::copy(key_hash, at).out;
  std::ranges::copy(ciphertext_hash, at);
  extract_and_expand(provisioned, kem_secret.bytes(), info, psk);
}

}  // namespace valkyrie::protocol::noise
