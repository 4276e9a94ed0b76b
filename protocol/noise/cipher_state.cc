#include "protocol/noise/cipher_state.h"

#include <limits>

#include "protocol/assert.h"

namespace valkyrie::protocol::noise {

namespace {

// Kept for REKEY.
constexpr std::uint64_t kLastNonce = std::numeric_limits<std::uint64_t>::max();

}  // namespace

void CipherState::set_key(std::span<const std::byte, kKeyBytes> key) {
  aead_ = std::make_unique<Aead>(cipher_, key);
  nonce_ = 0;
}

bool CipherState::seal(Bytes associated, std::span<std::byte> sealed) {
  if (!has_key()) return true;
  if (nonce_ == kLastNonce) return false;
  aead_->seal(nonce_++, associated, sealed);
  return true;
}

bool CipherState::open(Bytes associated, std::span<std::byte> sealed) {
  if (!has_key()) return true;
  if (nonce_ == kLastNonce || sealed.size() < kTagBytes) return false;
  if (!aead_->open(nonce_, associated, sealed)) return false;
  ++nonce_;
  return true;
}

void CipherState::rekey() {
  VALKYRIE_ASSERT(has_key());
  crypto::Secret<kKeyBytes + kTagBytes> sealed;
  aead_->seal(kLastNonce, {}, sealed.bytes());
  aead_ = std::make_unique<Aead>(cipher_, sealed.bytes().first<kKeyBytes>());
}

}  // namespace valkyrie::protocol::noise
