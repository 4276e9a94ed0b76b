#include "server/policy/key_set.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "protocol/crypto/digest.h"
#include "protocol/crypto/secret.h"
#include "server/policy/base64url.h"
#include "server/policy/strict_json.h"

namespace valkyrie::policy {
namespace {

namespace json = boost::json;
namespace crypto = protocol::crypto;
using Bytes = std::vector<std::byte>;

constexpr std::array<std::string_view, 4> kAlgorithmWords = {"EdDSA", "ES256", "RS256", "HS256"};

// Nullopt: a key that is none of ours and is left out.
using ReadKey = std::expected<std::optional<TokenKey>, std::string>;

// A member that is a string; empty if it is missing or something else.
std::string_view text_of(const json::object& key, std::string_view name) {
  const json::value* value = key.if_contains(name);
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(text->data(), text->size());
}

std::expected<Bytes, std::string> bytes_of(const json::object& key, std::string_view name) {
  auto bytes = decode_base64url(text_of(key, name));
  if (bytes && !bytes->empty()) return *std::move(bytes);
  return std::unexpected(fmt::format("\"{}\" is not base64url", name));
}

std::expected<std::array<std::byte, 32>, std::string> coordinate_of(const json::object& key,
                                                                    std::string_view name) {
  const auto bytes = bytes_of(key, name);
  if (!bytes) return std::unexpected(bytes.error());
  std::array<std::byte, 32> coordinate{};
  if (bytes->size() != coordinate.size()) {
    return std::unexpected(fmt::format("\"{}\" is not 32 bytes", name));
  }
  std::ranges::copy(*bytes, coordinate.begin());
  return coordinate;
}

ReadKey read_ed25519(const json::object& key, std::string id) {
  const auto point = coordinate_of(key, "x");
  if (!point) return std::unexpected(point.error());
  return TokenKey(std::move(id), TokenKey::Ed25519{*point});
}

ReadKey read_p256(const json::object& key, std::string id) {
  const auto x = coordinate_of(key, "x");
  const auto y = coordinate_of(key, "y");
  if (!x || !y) return std::unexpected(x ? y.error() : x.error());
  return TokenKey(std::move(id), TokenKey::P256{*x, *y});
}

ReadKey read_rsa(const json::object& key, std::string id) {
  auto modulus = bytes_of(key, "n");
  auto exponent = bytes_of(key, "e");
  if (!modulus || !exponent) {
    return std::unexpected(modulus ? std::move(exponent.error()) : std::move(modulus.error()));
  }
  if (modulus->front() == std::byte{0} || exponent->front() == std::byte{0}) {
    return std::unexpected("\"n\" or \"e\" has a leading zero");
  }
  if (modulus->size() * 8 < crypto::kRsaBitsMin || modulus->size() * 8 > crypto::kRsaBitsMax) {
    return std::unexpected(
        fmt::format("\"n\" is not {} to {} bits", crypto::kRsaBitsMin, crypto::kRsaBitsMax));
  }
  return TokenKey(std::move(id), TokenKey::Rsa{*std::move(modulus), *std::move(exponent)});
}

ReadKey read_hmac(const json::object& key, std::string id, SymmetricKeys symmetric) {
  if (symmetric == SymmetricKeys::refused) {
    return std::unexpected("it is a shared secret, which this provider does not take");
  }
  auto secret = bytes_of(key, "k");
  if (!secret) return std::unexpected(std::move(secret.error()));
  if (secret->size() < kHmacKeyBytesMin || secret->size() > kHmacKeyBytesMax) {
    return std::unexpected(
        fmt::format("\"k\" is not {} to {} bytes", kHmacKeyBytesMin, kHmacKeyBytesMax));
  }
  return TokenKey(std::move(id), TokenKey::Hmac{*std::move(secret)});
}

// The algorithm that the type of a key stands for; nullopt for other types.
std::optional<TokenAlgorithm> algorithm_of(const json::object& key) {
  const std::string_view type = text_of(key, "kty");
  const std::string_view curve = text_of(key, "crv");
  if (type == "OKP" && curve == "Ed25519") return TokenAlgorithm::eddsa;
  if (type == "EC" && curve == "P-256") return TokenAlgorithm::es256;
  if (type == "RSA") return TokenAlgorithm::rs256;
  if (type == "oct") return TokenAlgorithm::hs256;
  return std::nullopt;
}

// Whether a key says that it is for something else.
bool for_other_use(const json::object& key, TokenAlgorithm algorithm) {
  if (key.contains("use") && text_of(key, "use") != "sig") return true;
  if (const json::value* operations = key.if_contains("key_ops")) {
    const json::array* all = operations->if_array();
    const auto verify = [](const json::value& one) {
      return one.is_string() && one.get_string() == "verify";
    };
    if (all == nullptr || std::ranges::none_of(*all, verify)) return true;
  }
  return key.contains("alg") && text_of(key, "alg") != to_string(algorithm);
}

ReadKey read_key(const json::object& key, SymmetricKeys symmetric) {
  const auto algorithm = algorithm_of(key);
  if (!algorithm || for_other_use(key, *algorithm)) return std::nullopt;
  if (key.contains("d")) return std::unexpected("it is a private key");
  const std::string_view id = text_of(key, "kid");
  if ((key.contains("kid") && id.empty()) || id.size() > kKeyIdBytesMax) {
    return std::unexpected(fmt::format("\"kid\" is not 1 to {} bytes", kKeyIdBytesMax));
  }
  switch (*algorithm) {
    case TokenAlgorithm::eddsa:
      return read_ed25519(key, std::string(id));
    case TokenAlgorithm::es256:
      return read_p256(key, std::string(id));
    case TokenAlgorithm::rs256:
      return read_rsa(key, std::string(id));
    case TokenAlgorithm::hs256:
      return read_hmac(key, std::string(id), symmetric);
  }
  return std::nullopt;
}

struct Verifier {
  std::span<const std::byte> text;
  std::span<const std::byte> signature;

  bool operator()(const TokenKey::Ed25519& key) const {
    return crypto::verify_ed25519(key.key, text, signature);
  }
  bool operator()(const TokenKey::P256& key) const {
    return crypto::verify_es256(key.x, key.y, text, signature);
  }
  bool operator()(const TokenKey::Rsa& key) const {
    return crypto::verify_rs256(key.modulus, key.exponent, text, signature);
  }
  bool operator()(const TokenKey::Hmac& key) const {
    return crypto::equal_in_constant_time(crypto::hmac_sha256(key.secret, text), signature);
  }
};

}  // namespace

std::string_view to_string(TokenAlgorithm algorithm) {
  return kAlgorithmWords[static_cast<std::size_t>(algorithm)];
}

std::optional<TokenAlgorithm> parse_algorithm(std::string_view word) {
  const auto found = std::ranges::find(kAlgorithmWords, word);
  if (found == kAlgorithmWords.end()) return std::nullopt;
  return static_cast<TokenAlgorithm>(found - kAlgorithmWords.begin());
}

TokenAlgorithm TokenKey::algorithm() const {
  // The alternatives stand in the order of the algorithms.
  return static_cast<TokenAlgorithm>(material_.index());
}

bool TokenKey::verifies(std::span<const std::byte> text,
                        std::span<const std::byte> signature) const {
  return std::visit(Verifier{text, signature}, material_);
}

std::expected<KeySet, std::string> KeySet::parse(std::string_view text, SymmetricKeys symmetric) {
  const auto set = parse_strict_json(text, {.bytes_max = kKeySetBytesMax, .values_max = 4096});
  if (!set) return std::unexpected(fmt::format("key set: {}", to_string(set.error())));
  const json::value* value = set->if_contains("keys");
  const json::array* all = value == nullptr ? nullptr : value->if_array();
  if (all == nullptr) return std::unexpected("key set: there is no array \"keys\"");
  if (all->size() > kKeysMax) {
    return std::unexpected(fmt::format("key set: it has over {} keys", kKeysMax));
  }
  KeySet keys;
  for (std::size_t i = 0; i < all->size(); ++i) {
    const auto wrong = [&](std::string_view why) {
      return std::unexpected(fmt::format("key set: key {}: {}", i + 1, why));
    };
    const json::object* described = (*all)[i].if_object();
    if (described == nullptr) return wrong("it is no object");
    auto key = read_key(*described, symmetric);
    if (!key) return wrong(key.error());
    if (!key->has_value()) continue;
    if (!(*key)->id().empty() && keys.has((*key)->id())) return wrong("its \"kid\" is there twice");
    keys.keys_.push_back(**std::move(key));
  }
  if (keys.keys_.empty()) return std::unexpected("key set: no key in it verifies tokens");
  return keys;
}

const TokenKey* KeySet::find(std::optional<std::string_view> id, TokenAlgorithm algorithm) const {
  const TokenKey* found = nullptr;
  for (const TokenKey& key : keys_) {
    if (key.algorithm() != algorithm || (id && key.id() != *id)) continue;
    if (found != nullptr) return nullptr;
    found = &key;
  }
  return found;
}

bool KeySet::has(std::string_view id) const {
  return std::ranges::any_of(keys_, [&](const TokenKey& key) { return key.id() == id; });
}

}  // namespace valkyrie::policy
