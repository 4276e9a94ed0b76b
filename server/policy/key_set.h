// The keys that verify tokens, read from a JWK set. Spec: RFC 7517, RFC 7518 section 6, RFC 8037.
//
// A key's type decides its one algorithm; what a token says about that has only to agree. So no
// token can have a public key taken for a shared secret.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/crypto/signature.h"

namespace valkyrie::policy {

// Bytes of a set, and the keys in it.
inline constexpr std::size_t kKeySetBytesMax = 64U << 10U;
inline constexpr std::size_t kKeysMax = 64;
// Bytes of a `kid`.
inline constexpr std::size_t kKeyIdBytesMax = 256;
// Bytes of a shared secret, which RFC 7518 wants no shorter than its hash.
inline constexpr std::size_t kHmacKeyBytesMin = 32;
inline constexpr std::size_t kHmacKeyBytesMax = 1024;

// How a token is signed. There is no other way, and none without a signature.
enum class TokenAlgorithm : std::uint8_t { eddsa, es256, rs256, hs256 };

// As `alg` says it: `EdDSA`.
[[nodiscard]] std::string_view to_string(TokenAlgorithm algorithm);
// The algorithm that `alg` names, exactly; nullopt for `none` and all others.
[[nodiscard]] std::optional<TokenAlgorithm> parse_algorithm(std::string_view word);

// Whether keys that sign as well as verify are taken. They must be the operator's own: whoever
// publishes a set with one gives away the right to sign.
enum class SymmetricKeys : std::uint8_t { refused, accepted };

// One key.
class TokenKey {
 public:
  // For EdDSA.
  struct Ed25519 {
    protocol::crypto::Ed25519Key key{};
  };
  // For ES256: a point.
  struct P256 {
    std::array<std::byte, 32> x{};
    std::array<std::byte, 32> y{};
  };
  // For RS256.
  struct Rsa {
    std::vector<std::byte> modulus;  // Without leading zeros.
    std::vector<std::byte> exponent;
  };
  // For HS256: signs as well.
  struct Hmac {
    std::vector<std::byte> secret;
  };
  using Material = std::variant<Ed25519, P256, Rsa, Hmac>;

  TokenKey(std::string id, Material material)
      : id_(std::move(id)), material_(std::move(material)) {}

  // `kid`; empty if it has none.
  [[nodiscard]] const std::string& id() const { return id_; }
  // The one algorithm it is for.
  [[nodiscard]] TokenAlgorithm algorithm() const;
  // Whether `signature` is this key's of `text`.
  [[nodiscard]] bool verifies(std::span<const std::byte> text,
                              std::span<const std::byte> signature) const;

 private:
  std::string id_;
  Material material_;
};

// Keys of one issuer. Immutable once made; any thread.
class KeySet {
 public:
  KeySet() = default;
  // Reads `{"keys": [...]}`. Keys for other uses and of kinds that are not known here are left out,
  // as the RFC has it. The error, for people, names the key by its place in the set: what is
  // malformed, is there twice, is private, or is symmetric and refused. It holds nothing of a key.
  [[nodiscard]] static std::expected<KeySet, std::string> parse(std::string_view text,
                                                                SymmetricKeys symmetric);

  // The key for a token: the one of this `kid`; without one the only key of that algorithm, if it
  // is the only one. Null if there is none, or not of that algorithm. Valid as long as the set.
  [[nodiscard]] const TokenKey* find(std::optional<std::string_view> id,
                                     TokenAlgorithm algorithm) const;
  // Whether a key has this `kid`, whatever its algorithm.
  [[nodiscard]] bool has(std::string_view id) const;
  // How many keys there are.
  [[nodiscard]] std::size_t size() const { return keys_.size(); }

 private:
  std::vector<TokenKey> keys_;
};

}  // namespace valkyrie::policy
