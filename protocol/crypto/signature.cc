#include "protocol/crypto/signature.h"

#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>

#include <openssl/curve25519.h>

#include "protocol/assert.h"
#include "protocol/crypto/digest.h"
#include "protocol/crypto/raw.h"

namespace valkyrie::protocol::crypto {

namespace {

constexpr std::size_t kCoordinateBytes = 32;  // Of P-256.
constexpr std::size_t kExponentBytesMax = 4;

bssl::UniquePtr<BIGNUM> number(std::span<const std::byte> bytes) {
  return bssl::UniquePtr<BIGNUM>(BN_bin2bn(raw(bytes), bytes.size(), nullptr));
}

// The library keeps the public key behind the seed.
struct Pair {
  explicit Pair(const Ed25519Seed& seed) {
    ED25519_keypair_from_seed(out_of(key), out_of(secret.bytes()), raw(seed.bytes()));
  }

  Ed25519Key key;
  Secret<ED25519_PRIVATE_KEY_LEN> secret;
};

}  // namespace

Ed25519Key ed25519_key(const Ed25519Seed& seed) { return Pair(seed).key; }

Ed25519Signature sign_ed25519(const Ed25519Seed& seed, std::span<const std::byte> text) {
  const Pair pair(seed);
  Ed25519Signature signature;
  const int done =
      ED25519_sign(out_of(signature), raw(text), text.size(), raw(pair.secret.bytes()));
  VALKYRIE_ASSERT(done == 1);
  return signature;
}

bool verify_ed25519(std::span<const std::byte> key, std::span<const std::byte> text,
                    std::span<const std::byte> signature) {
  if (key.size() != Ed25519Key().size() || signature.size() != Ed25519Signature().size()) {
    return false;
  }
  return ED25519_verify(raw(text), text.size(), raw(signature), raw(key)) == 1;
}

bool verify_es256(std::span<const std::byte> x, std::span<const std::byte> y,
                  std::span<const std::byte> text, std::span<const std::byte> signature) {
  if (x.size() != kCoordinateBytes || y.size() != kCoordinateBytes ||
      signature.size() != 2 * kCoordinateBytes) {
    return false;
  }
  const bssl::UniquePtr<EC_KEY> key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  if (!EC_KEY_set_public_key_affine_coordinates(key.get(), number(x).get(), number(y).get())) {
    return false;
  }
  const bssl::UniquePtr<ECDSA_SIG> numbers(ECDSA_SIG_new());
  // Takes both.
  VALKYRIE_ASSERT(ECDSA_SIG_set0(numbers.get(), number(signature.first(kCoordinateBytes)).release(),
                                 number(signature.last(kCoordinateBytes)).release()) == 1);
  const Digest digest = sha256(text);
  return ECDSA_do_verify(raw(digest), digest.size(), numbers.get(), key.get()) == 1;
}

bool verify_rs256(std::span<const std::byte> modulus, std::span<const std::byte> exponent,
                  std::span<const std::byte> text, std::span<const std::byte> signature) {
  if (modulus.size() > kRsaBitsMax / 8 || exponent.size() > kExponentBytesMax) return false;
  const auto n = number(modulus);
  if (BN_num_bits(n.get()) < kRsaBitsMin) return false;
  const bssl::UniquePtr<RSA> key(RSA_new_public_key(n.get(), number(exponent).get()));
  if (key == nullptr) return false;
  const Digest digest = sha256(text);
  return RSA_verify(NID_sha256, raw(digest), digest.size(), raw(signature), signature.size(),
                    key.get()) == 1;
}

}  // namespace valkyrie::protocol::crypto
