#include "protocol/noise/primitives.h"

#include <algorithm>
#include <openssl/aead.h>
#include <openssl/bytestring.h>
#include <openssl/digest.h>
#include <openssl/hkdf.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/mlkem.h>

#include <openssl/curve25519.h>

#include "protocol/assert.h"
#include "protocol/big_endian.h"
#include "protocol/crypto/raw.h"

namespace valkyrie::protocol::noise {

namespace {

using crypto::out_of;
using crypto::raw;
using crypto::wipe;

void hmac(Bytes key, Bytes first, Bytes second, std::span<std::byte, kHashBytes> out) {
  HMAC_CTX context;
  HMAC_CTX_init(&context);
  unsigned size = 0;
  const bool done = HMAC_Init_ex(&context, raw(key), key.size(), EVP_sha256(), nullptr) == 1 &&
                    HMAC_Update(&context, raw(first), first.size()) == 1 &&
                    HMAC_Update(&context, raw(second), second.size()) == 1 &&
                    HMAC_Final(&context, out_of(out), &size) == 1;
  HMAC_CTX_cleanup(&context);
  VALKYRIE_ASSERT(done && size == kHashBytes);
}

class SystemEntropy final : public Entropy {
 public:
  void fill(std::span<std::byte> bytes) override { crypto::random_bytes(bytes); }

  bool encapsulate(const EncapsulationKey& key, Encapsulated& out) override {
    CBS encoded;
    CBS_init(&encoded, raw(key), key.size());
    MLKEM768_public_key parsed;
    if (MLKEM768_parse_public_key(&parsed, &encoded) != 1) return false;
    MLKEM768_encap(out_of(out.ciphertext), out_of(out.secret.bytes()), &parsed);
    return true;
  }
};

}  // namespace

void KeyPair::set_secret(std::span<const std::byte, kKeyBytes> bytes) {
  secret.set(bytes);
  X25519_public_from_private(out_of(shared), raw(secret.bytes()));
}

Entropy& system_entropy() {
  static SystemEntropy entropy;
  return entropy;
}

bool is_canonical(const PublicKey& key) {
  const auto is_ones = [](std::byte byte) { return byte == std::byte{0xFF}; };
  const bool near_the_top =
      key.back() == std::byte{0x7F} && std::all_of(key.begin() + 1, key.end() - 1, is_ones);
  return key.back() <= std::byte{0x7F} && (!near_the_top || key.front() < std::byte{0xED});
}

bool diffie_hellman(const SecretKey& secret, const PublicKey& peer, SecretKey& out) {
  return X25519(out_of(out.bytes()), raw(secret.bytes()), raw(peer)) == 1;
}

void hkdf(std::span<const std::byte, kHashBytes> chaining_key, Bytes input, SecretKey& first,
          SecretKey& second, SecretKey* third) {
  SecretKey temporary;
  hmac(chaining_key, input, {}, temporary.bytes());
  constexpr std::array kCounters = {std::byte{1}, std::byte{2}, std::byte{3}};
  const std::span counters(kCounters);
  hmac(temporary.bytes(), counters.subspan(0, 1), {}, first.bytes());
  hmac(temporary.bytes(), first.bytes(), counters.subspan(1, 1), second.bytes());
  if (third != nullptr) {
    hmac(temporary.bytes(), second.bytes(), counters.subspan(2, 1), third->bytes());
  }
}

void extract_and_expand(Bytes salt, Bytes input, Bytes info, SecretKey& out) {
  const int done = HKDF(out_of(out.bytes()), SecretKey::kBytes, EVP_sha256(), raw(input),
                        input.size(), raw(salt), salt.size(), raw(info), info.size());
  VALKYRIE_ASSERT(done == 1);
}

struct KemKeyPair::Private {
  MLKEM768_private_key key;
};

KemKeyPair::KemKeyPair(const crypto::Secret<kKemSeedBytes>& seed)
    : private_(std::make_unique<Private>()) {
  const int made = MLKEM768_private_key_from_seed(&private_->key, raw(seed.bytes()), kKemSeedBytes);
  VALKYRIE_ASSERT(made == 1);
  MLKEM768_public_key key;
  MLKEM768_public_from_private(&key, &private_->key);
  CBB encoded;
  CBB_init_fixed(&encoded, out_of(encapsulation_key_), encapsulation_key_.size());
  const int written = MLKEM768_marshal_public_key(&encoded, &key);
  VALKYRIE_ASSERT(written == 1 && CBB_len(&encoded) == kEncapsulationKeyBytes);
}

KemKeyPair::~KemKeyPair() { wipe(std::as_writable_bytes(std::span(&private_->key, 1))); }

void KemKeyPair::decapsulate(const KemCiphertext& ciphertext, SecretKey& out) const {
  const int done =
      MLKEM768_decap(out_of(out.bytes()), raw(ciphertext), ciphertext.size(), &private_->key);
  VALKYRIE_ASSERT(done == 1);
}

struct Aead::Context {
  EVP_AEAD_CTX aead;
};

Aead::Aead(Cipher cipher, std::span<const std::byte, kKeyBytes> key)
    : context_(std::make_unique<Context>()), cipher_(cipher) {
  const EVP_AEAD* aead =
      cipher == Cipher::aes_gcm ? EVP_aead_aes_256_gcm() : EVP_aead_chacha20_poly1305();
  const int made =
      EVP_AEAD_CTX_init(&context_->aead, aead, raw(key), key.size(), kTagBytes, nullptr);
  VALKYRIE_ASSERT(made == 1);
}

Aead::~Aead() {
  EVP_AEAD_CTX_cleanup(&context_->aead);
  wipe(std::as_writable_bytes(std::span(context_.get(), 1)));
}

namespace {

using Nonce = std::array<std::byte, 12>;

Nonce nonce_of(Cipher cipher, std::uint64_t counter) {
  Nonce nonce{};
  if (cipher == Cipher::aes_gcm) {
    store_big_endian(nonce.data() + 4, counter);
  } else {
    store_big_endian(nonce.data() + 4, __builtin_bswap64(counter));
  }
  return nonce;
}

}  // namespace

void Aead::seal(std::uint64_t nonce, Bytes associated, std::span<std::byte> sealed) const {
  VALKYRIE_ASSERT(sealed.size() >= kTagBytes);
  const Nonce bytes = nonce_of(cipher_, nonce);
  std::size_t written = 0;
  const int done = EVP_AEAD_CTX_seal(&context_->aead, out_of(sealed), &written, sealed.size(),
                                     raw(bytes), bytes.size(), raw(sealed),
                                     sealed.size() - kTagBytes, raw(associated), associated.size());
  VALKYRIE_ASSERT(done == 1 && written == sealed.size());
}

bool Aead::open(std::uint64_t nonce, Bytes associated, std::span<std::byte> sealed) const {
  VALKYRIE_ASSERT(sealed.size() >= kTagBytes);
  const Nonce bytes = nonce_of(cipher_, nonce);
  std::size_t written = 0;
  return EVP_AEAD_CTX_open(&context_->aead, out_of(sealed), &written, sealed.size(), raw(bytes),
                           bytes.size(), raw(sealed), sealed.size(), raw(associated),
                           associated.size()) == 1;
}

}  // namespace valkyrie::protocol::noise
