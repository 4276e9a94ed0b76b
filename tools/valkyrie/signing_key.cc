#include "tools/valkyrie/signing_key.h"

#include <algorithm>
#include <array>
#include <span>

#include <boost/json/serialize.hpp>

#include "protocol/assert.h"
#include "protocol/crypto/digest.h"
#include "protocol/crypto/secret.h"
#include "protocol/crypto/signature.h"
#include "server/policy/base64url.h"
#include "server/policy/strict_json.h"

namespace valkyrie::tools {

namespace {

namespace crypto = protocol::crypto;
namespace json = boost::json;
using policy::TokenAlgorithm;

constexpr std::size_t kSecretBytes = 32;
// Enough of a digest to tell an operator's keys apart.
constexpr std::size_t kIdDigestBytes = 9;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string set_text(const json::object& key) {
  return json::serialize(json::object{{"keys", json::array{key}}}) + "\n";
}

crypto::Secret<kSecretBytes> fixed(std::span<const std::byte> secret) {
  return crypto::Secret<kSecretBytes>(secret.first<kSecretBytes>());
}

std::string text_of(const json::object& key, std::string_view name) {
  const json::value* value = key.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

struct Kind {
  TokenAlgorithm algorithm;
  std::string_view secret;  // The member that holds it.
};

std::optional<Kind> kind_of(const json::object& key) {
  const std::string type = text_of(key, "kty");
  const std::string curve = text_of(key, "crv");
  if (type == "OKP" && curve == "Ed25519") return Kind{TokenAlgorithm::eddsa, "d"};
  if (type == "EC" && curve == "P-256") return Kind{TokenAlgorithm::es256, "d"};
  if (type == "oct") return Kind{TokenAlgorithm::hs256, "k"};
  return std::nullopt;
}

bool usable(const Kind& kind, std::span<const std::byte> secret) {
  if (kind.algorithm == TokenAlgorithm::hs256) {
    return secret.size() >= policy::kHmacKeyBytesMin && secret.size() <= policy::kHmacKeyBytesMax;
  }
  if (secret.size() != kSecretBytes) return false;
  return kind.algorithm != TokenAlgorithm::es256 || crypto::p256_key(fixed(secret)).has_value();
}

}  // namespace

std::unique_ptr<SigningKey> SigningKey::make(TokenAlgorithm algorithm) {
  VALKYRIE_ASSERT(algorithm != TokenAlgorithm::rs256);
  crypto::Secret<kSecretBytes> secret;
  if (algorithm == TokenAlgorithm::es256) {
    crypto::make_p256(secret);
  } else {
    crypto::random_bytes(secret.bytes());
  }
  std::array<std::byte, kIdDigestBytes> id{};
  crypto::random_bytes(id);
  const auto bytes = secret.bytes();
  return std::unique_ptr<SigningKey>(
      new SigningKey(algorithm, policy::encode_base64url(id), {bytes.begin(), bytes.end()}));
}

std::expected<std::unique_ptr<SigningKey>, std::string> SigningKey::parse(std::string_view text) {
  const auto set = policy::parse_strict_json(text, {.bytes_max = policy::kKeySetBytesMax});
  if (!set) return std::unexpected(std::string(to_string(set.error())));
  const json::value* keys = set->if_contains("keys");
  const json::array* all = keys == nullptr ? nullptr : keys->if_array();
  const json::object* key = all == nullptr || all->size() != 1 ? nullptr : all->front().if_object();
  if (key == nullptr) {
    return std::unexpected("it is no set of one key, as `valkyrie security keygen token` makes it");
  }
  const auto kind = kind_of(*key);
  if (!kind) return std::unexpected("its key is none of EdDSA, ES256 or HS256");
  if (!key->contains(kind->secret)) {
    return std::unexpected(
        "it is a public key, which verifies; tokens are signed by its other half");
  }
  auto secret = policy::decode_base64url(text_of(*key, kind->secret));
  if (!secret || !usable(*kind, *secret)) return std::unexpected("its private part is damaged");
  std::unique_ptr<SigningKey> made(
      new SigningKey(kind->algorithm, text_of(*key, "kid"), std::move(*secret)));
  const json::object is = made->described();
  for (const char* half : {"x", "y"}) {
    if (text_of(*key, half) != text_of(is, half)) {
      return std::unexpected("its public and its private part do not belong together");
    }
  }
  return made;
}

SigningKey::~SigningKey() { crypto::wipe(secret_); }

json::object SigningKey::described() const {
  json::object key{{"alg", to_string(algorithm_)}, {"use", "sig"}};
  if (!id_.empty()) key["kid"] = id_;
  if (algorithm_ == TokenAlgorithm::hs256) {
    key["kty"] = "oct";
    key["k"] = policy::encode_base64url(secret_);
  } else if (algorithm_ == TokenAlgorithm::eddsa) {
    key["kty"] = "OKP";
    key["crv"] = "Ed25519";
    key["x"] = policy::encode_base64url(crypto::ed25519_key(fixed(secret_)));
  } else {
    const auto point = crypto::p256_key(fixed(secret_));
    VALKYRIE_ASSERT(point.has_value());
    key["kty"] = "EC";
    key["crv"] = "P-256";
    key["x"] = policy::encode_base64url(point->x);
    key["y"] = policy::encode_base64url(point->y);
  }
  return key;
}

std::string SigningKey::private_text() const {
  json::object key = described();
  if (algorithm_ != TokenAlgorithm::hs256) key["d"] = policy::encode_base64url(secret_);
  return set_text(key);
}

std::string SigningKey::public_text() const {
  return algorithm_ == TokenAlgorithm::hs256 ? std::string() : set_text(described());
}

std::vector<std::byte> SigningKey::sign(std::string_view text) const {
  const auto copy = [](const auto& signature) {
    return std::vector<std::byte>(signature.begin(), signature.end());
  };
  if (algorithm_ == TokenAlgorithm::hs256) {
    return copy(crypto::hmac_sha256(secret_, bytes_of(text)));
  }
  if (algorithm_ == TokenAlgorithm::eddsa) {
    return copy(crypto::sign_ed25519(fixed(secret_), bytes_of(text)));
  }
  return copy(crypto::sign_es256(fixed(secret_), bytes_of(text)));
}

std::string SigningKey::token(const json::object& claims) const {
  json::object header{{"alg", to_string(algorithm_)}, {"typ", "JWT"}};
  if (!id_.empty()) header["kid"] = id_;
  const std::string signed_part = policy::encode_base64url(bytes_of(json::serialize(header))) +
                                  "." + policy::encode_base64url(bytes_of(json::serialize(claims)));
  return signed_part + "." + policy::encode_base64url(sign(signed_part));
}

}  // namespace valkyrie::tools
