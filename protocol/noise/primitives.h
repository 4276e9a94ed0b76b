// What Noise asks of the cryptographic library, in its words: DH, HASH, HKDF, AEAD, and the KEM of
// the hybrid suites. All of it is BoringSSL's; nothing is computed here.
// Spec: the Noise Protocol Framework, revision 34, sections 4 and 12; FIPS 203 for ML-KEM-768.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "protocol/crypto/digest.h"
#include "protocol/crypto/secret.h"
#include "protocol/noise/suite.h"

namespace valkyrie::protocol::noise {

// Bytes of X25519 keys, of keys of the ciphers and of shared secrets.
inline constexpr std::size_t kKeyBytes = 32;
// Bytes of a SHA-256.
inline constexpr std::size_t kHashBytes = crypto::kDigestBytes;
// Bytes of what seals a text, behind it.
inline constexpr std::size_t kTagBytes = 16;
// Bytes of an ML-KEM-768 encapsulation key, "ek".
inline constexpr std::size_t kEncapsulationKeyBytes = 1184;
// Bytes of an ML-KEM-768 ciphertext, "c".
inline constexpr std::size_t kKemCiphertextBytes = 1088;
// Bytes of what an ML-KEM key pair is made from, "d" and "z".
inline constexpr std::size_t kKemSeedBytes = 64;

// An X25519 public key, little-endian as RFC 7748 has it.
using PublicKey = std::array<std::byte, kKeyBytes>;
// An X25519 secret key, a cipher key or a shared secret.
using SecretKey = crypto::Secret<kKeyBytes>;
// A SHA-256.
using Hash = crypto::Digest;
// What others need to agree on a secret with the owner of a KEM key.
using EncapsulationKey = std::array<std::byte, kEncapsulationKeyBytes>;
// What tells the owner of a KEM key the secret.
using KemCiphertext = std::array<std::byte, kKemCiphertextBytes>;
// Borrowed bytes.
using Bytes = std::span<const std::byte>;

// An X25519 key pair, static or of one handshake.
struct KeyPair {
  SecretKey secret;
  PublicKey shared{};  // What the other side is told.

  // Fills in the public half of a secret key.
  void set_secret(std::span<const std::byte, kKeyBytes> bytes);
};

// A shared secret and what tells it to the owner of the encapsulation key.
struct Encapsulated {
  KemCiphertext ciphertext{};
  SecretKey secret;
};

// Where fresh secrets come from. Tests inject their own, to replay a handshake.
class Entropy {
 public:
  virtual ~Entropy() = default;
  // Random bytes that nobody can guess.
  virtual void fill(std::span<std::byte> bytes) = 0;
  // A fresh secret for the owner of `key`; false if the key is not a valid one.
  [[nodiscard]] virtual bool encapsulate(const EncapsulationKey& key, Encapsulated& out) = 0;
};

// The generator of the library, which takes from the kernel. Any thread.
[[nodiscard]] Entropy& system_entropy();

// Whether a key is written in the one way of RFC 7748, section 5: below 2^255-19. Other encodings
// of the same point compute the same, so that one secret would have several names.
[[nodiscard]] bool is_canonical(const PublicKey& key);

// X25519. False if the result would be all zero, as with a public key of low order: nobody honest
// has one. RFC 7748, section 6.1.
[[nodiscard]] bool diffie_hellman(const SecretKey& secret, const PublicKey& peer, SecretKey& out);

using crypto::sha256;

// HKDF of the Noise framework, section 4.3: two or three keys from a chaining key and input.
void hkdf(std::span<const std::byte, kHashBytes> chaining_key, Bytes input, SecretKey& first,
          SecretKey& second, SecretKey* third = nullptr);
// RFC 5869: extract with `salt`, expand with `info` to 32 bytes.
void extract_and_expand(Bytes salt, Bytes input, Bytes info, SecretKey& out);

// The KEM key of one handshake.
class KemKeyPair {
 public:
  // Makes the pair of a seed, FIPS 203 "d" and "z".
  explicit KemKeyPair(const crypto::Secret<kKemSeedBytes>& seed);
  ~KemKeyPair();
  KemKeyPair(const KemKeyPair&) = delete;
  KemKeyPair& operator=(const KemKeyPair&) = delete;

  // The half that others are told.
  [[nodiscard]] const EncapsulationKey& encapsulation_key() const { return encapsulation_key_; }
  // The secret in a ciphertext; of an altered one a secret that nobody else has, so that the
  // handshake fails where its tags are checked.
  void decapsulate(const KemCiphertext& ciphertext, SecretKey& out) const;

 private:
  struct Private;
  std::unique_ptr<Private> private_;
  EncapsulationKey encapsulation_key_{};
};

// An AEAD with a key. Nonces are those of Noise: 64 bits, big-endian for AES-GCM, little-endian
// for ChaChaPoly, behind 32 zero bits. Not thread-safe.
class Aead {
 public:
  Aead(Cipher cipher, std::span<const std::byte, kKeyBytes> key);
  ~Aead();
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;

  // Encrypts `text` in place and writes its tag behind it: `sealed` is text and kTagBytes more.
  void seal(std::uint64_t nonce, Bytes associated, std::span<std::byte> sealed) const;
  // Decrypts in place; the text is what is before the tag. False if it is not authentic; then
  // `sealed` holds nothing of use. REQUIRES: sealed holds kTagBytes at least
  [[nodiscard]] bool open(std::uint64_t nonce, Bytes associated, std::span<std::byte> sealed) const;

 private:
  struct Context;
  std::unique_ptr<Context> context_;
  Cipher cipher_;
};

}  // namespace valkyrie::protocol::noise
