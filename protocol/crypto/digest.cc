#include "protocol/crypto/digest.h"

#include <cstring>
#include <openssl/digest.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "protocol/assert.h"
#include "protocol/crypto/raw.h"

namespace valkyrie::protocol::crypto {

Digest sha256(std::span<const std::byte> first, std::span<const std::byte> second) {
  Digest digest;
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, first.data(), first.size());
  SHA256_Update(&context, second.data(), second.size());
  SHA256_Final(out_of(digest), &context);
  return digest;
}

Sha256::Sha256() {
  static_assert(sizeof(SHA256_CTX) == sizeof(state_) && alignof(SHA256_CTX) <= 8);
  SHA256_CTX context;
  SHA256_Init(&context);
  std::memcpy(state_.data(), &context, sizeof(context));
}

void Sha256::update(std::span<const std::byte> bytes) {
  SHA256_CTX context;
  std::memcpy(&context, state_.data(), sizeof(context));
  SHA256_Update(&context, bytes.data(), bytes.size());
  std::memcpy(state_.data(), &context, sizeof(context));
}

Digest Sha256::digest() const {
  SHA256_CTX context;
  std::memcpy(&context, state_.data(), sizeof(context));
  Digest digest;
  SHA256_Final(out_of(digest), &context);
  return digest;
}

Digest hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> text) {
  Digest digest;
  unsigned size = 0;
  const void* const done =
      HMAC(EVP_sha256(), key.data(), key.size(), raw(text), text.size(), out_of(digest), &size);
  VALKYRIE_ASSERT(done != nullptr && size == kDigestBytes);
  return digest;
}

}  // namespace valkyrie::protocol::crypto
