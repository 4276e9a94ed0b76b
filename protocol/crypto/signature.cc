#include "protocol/crypto/signature.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>
#include <utility>

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

// The pair of a secret; null if it is none.
bssl::UniquePtr<EC_KEY> pair_of(const P256Secret& secret) {
  bssl::UniquePtr<EC_KEY> pair(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  const auto private_number = number(secret.bytes());
  const EC_GROUP* const group = EC_KEY_get0_group(pair.get());
  const bssl::UniquePtr<EC_POINT> point(EC_POINT_new(group));
  const bool is_one =
      !BN_is_zero(private_number.get()) &&
      EC_KEY_set_private_key(pair.get(), private_number.get()) &&
      EC_POINT_mul(group, point.get(), private_number.get(), nullptr, nullptr, nullptr) &&
      EC_KEY_set_public_key(pair.get(), point.get());
  ERR_clear_error();
  return is_one ? std::move(pair) : nullptr;
}

void write_number(const BIGNUM* value, std::span<std::byte> bytes) {
  VALKYRIE_ASSERT(BN_bn2bin_padded(out_of(bytes), bytes.size(), value) == 1);
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

void make_p256(P256Secret& secret) {
  const bssl::UniquePtr<EC_KEY> pair(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  VALKYRIE_ASSERT(EC_KEY_generate_key(pair.get()) == 1);
  write_number(EC_KEY_get0_private_key(pair.get()), secret.bytes());
}

std::optional<P256Key> p256_key(const P256Secret& secret) {
  const auto pair = pair_of(secret);
  if (pair == nullptr) return std::nullopt;
  const bssl::UniquePtr<BIGNUM> x(BN_new());
  const bssl::UniquePtr<BIGNUM> y(BN_new());
  VALKYRIE_ASSERT(EC_POINT_get_affine_coordinates(EC_KEY_get0_group(pair.get()),
                                                  EC_KEY_get0_public_key(pair.get()), x.get(),
                                                  y.get(), nullptr) == 1);
  P256Key key;
  write_number(x.get(), key.x);
  write_number(y.get(), key.y);
  return key;
}

P256Signature sign_es256(const P256Secret& secret, std::span<const std::byte> text) {
  const auto pair = pair_of(secret);
  VALKYRIE_ASSERT(pair != nullptr);
  const Digest digest = sha256(text);
  const bssl::UniquePtr<ECDSA_SIG> made(ECDSA_do_sign(raw(digest), digest.size(), pair.get()));
  VALKYRIE_ASSERT(made != nullptr);
  P256Signature signature;
  write_number(ECDSA_SIG_get0_r(made.get()), std::span(signature).first<kCoordinateBytes>());
  write_number(ECDSA_SIG_get0_s(made.get()), std::span(signature).last<kCoordinateBytes>());
  return signature;
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
