// Signatures, of BoringSSL. Nothing here copies a secret; all of it may run on any thread.
// Spec: RFC 8032 (Ed25519), RFC 7518 sections 3.3 and 3.4 (RS256, ES256).
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>

#include "protocol/crypto/secret.h"

namespace valkyrie::protocol::crypto {

// What an Ed25519 key pair is made from.
using Ed25519Seed = Secret<32>;
// An Ed25519 public key.
using Ed25519Key = std::array<std::byte, 32>;
// An Ed25519 signature.
using Ed25519Signature = std::array<std::byte, 64>;

// The public key of a seed.
[[nodiscard]] Ed25519Key ed25519_key(const Ed25519Seed& seed);
// Signs a text.
[[nodiscard]] Ed25519Signature sign_ed25519(const Ed25519Seed& seed,
                                            std::span<const std::byte> text);
// False if the key or the signature has another length, or the signature is of something else.
[[nodiscard]] bool verify_ed25519(std::span<const std::byte> key, std::span<const std::byte> text,
                                  std::span<const std::byte> signature);

// The private number of a P-256 key, big-endian.
using P256Secret = Secret<32>;

// A P-256 public key: a point's two coordinates, big-endian.
struct P256Key {
  std::array<std::byte, 32> x{};
  std::array<std::byte, 32> y{};

  bool operator==(const P256Key&) const = default;
};

// A P-256 signature: r and s, big-endian.
using P256Signature = std::array<std::byte, 64>;

// Makes a new key.
void make_p256(P256Secret& secret);
// The public key of a secret; nothing if it is none: 0, or not below the order of the group.
[[nodiscard]] std::optional<P256Key> p256_key(const P256Secret& secret);
// Signs a text with SHA-256. REQUIRES: p256_key(secret) is something
[[nodiscard]] P256Signature sign_es256(const P256Secret& secret, std::span<const std::byte> text);

// ECDSA over P-256 with SHA-256. A point is its two coordinates, a signature r and s, 32 bytes
// each, big-endian. False for other lengths, for what is no point, and if it does not verify.
[[nodiscard]] bool verify_es256(std::span<const std::byte> x, std::span<const std::byte> y,
                                std::span<const std::byte> text,
                                std::span<const std::byte> signature);

// Bits of an RSA modulus: shorter ones are broken, longer ones are a way to keep the node busy.
inline constexpr unsigned kRsaBitsMin = 2048;
inline constexpr unsigned kRsaBitsMax = 4096;

// RSASSA-PKCS1-v1_5 with SHA-256. Modulus and exponent are big-endian. False for a modulus out of
// bounds, and if it does not verify.
[[nodiscard]] bool verify_rs256(std::span<const std::byte> modulus,
                                std::span<const std::byte> exponent,
                                std::span<const std::byte> text,
                                std::span<const std::byte> signature);

}  // namespace valkyrie::protocol::crypto
