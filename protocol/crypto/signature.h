// Signatures, of BoringSSL. Nothing here copies a secret; all of it may run on any thread.
// Spec: RFC 8032 (Ed25519), RFC 7518 sections 3.3 and 3.4 (RS256, ES256).
#pragma once

#include <array>
#include <cstddef>
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
