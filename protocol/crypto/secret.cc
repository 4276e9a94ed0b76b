#include "protocol/crypto/secret.h"

#include <openssl/mem.h>
#include <openssl/rand.h>

#include "protocol/crypto/raw.h"

namespace valkyrie::protocol::crypto {

void wipe(std::span<std::byte> bytes) { OPENSSL_cleanse(bytes.data(), bytes.size()); }

bool equal_in_constant_time(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void random_bytes(std::span<std::byte> bytes) { RAND_bytes(out_of(bytes), bytes.size()); }

}  // namespace valkyrie::protocol::crypto
