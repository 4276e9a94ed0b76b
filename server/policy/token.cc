#include "server/policy/token.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "server/policy/base64url.h"
#include "server/policy/strict_json.h"

namespace valkyrie::policy {
namespace {

namespace json = boost::json;
using Bytes = std::vector<std::byte>;
using Error = std::unexpected<TokenError>;

// The end of year 9999: later times are mistakes, and sums with them stay far from overflow.
constexpr std::int64_t kTimeMax = 253'402'300'799;

struct Parts {
  std::string_view header;
  std::string_view claims;
  std::string_view signature;
  std::string_view signed_text;  // The first two, with the dot between.
};

struct Header {
  TokenAlgorithm algorithm;
  std::optional<std::string> key_id;
};

std::optional<Parts> split(std::string_view token) {
  const std::size_t first = token.find('.');
  const std::size_t second = first == token.npos ? token.npos : token.find('.', first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos) return std::nullopt;
  return Parts{.header = token.substr(0, first),
               .claims = token.substr(first + 1, second - first - 1),
               .signature = token.substr(second + 1),
               .signed_text = token.substr(0, second)};
}

std::expected<json::object, TokenError> read_object(std::string_view part) {
  const auto bytes = decode_base64url(part);
  if (!bytes) return Error(TokenError::malformed);
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  auto object = parse_strict_json(text, {.bytes_max = kTokenBytesMax});
  if (object) return *std::move(object);
  return Error(object.error() == JsonError::duplicate_name ? TokenError::duplicate_claim
                                                           : TokenError::malformed);
}

std::optional<std::string_view> text_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string_view(value->get_string().data(), value->get_string().size());
}

bool same_letters(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::expected<Header, TokenError> read_header(std::string_view part) {
  const auto header = read_object(part);
  if (!header) return Error(header.error());
  if (header->contains("crit")) return Error(TokenError::critical_extension);
  if (header->contains("typ")) {
    const std::string_view type = text_in(*header, "typ").value_or("");
    if (!same_letters(type, "JWT") && !same_letters(type, "at+jwt")) {
      return Error(TokenError::wrong_type);
    }
  }
  const auto word = text_in(*header, "alg");
  if (!word) return Error(TokenError::malformed);
  if (same_letters(*word, "none")) return Error(TokenError::unsigned_token);
  const auto algorithm = parse_algorithm(*word);
  if (!algorithm) return Error(TokenError::algorithm);
  Header read{.algorithm = *algorithm, .key_id = std::nullopt};
  if (header->contains("kid")) {
    const auto id = text_in(*header, "kid");
    if (!id || id->empty() || id->size() > kKeyIdBytesMax) return Error(TokenError::malformed);
    read.key_id = std::string(*id);
  }
  return read;
}

// A NumericDate; nullopt if the claim is missing.
std::expected<std::optional<WallTime>, TokenError> time_in(const json::object& claims,
                                                           std::string_view name) {
  const json::value* value = claims.if_contains(name);
  if (value == nullptr) return std::nullopt;
  double seconds = -1;
  if (value->is_int64()) seconds = static_cast<double>(value->get_int64());
  if (value->is_double()) seconds = std::floor(value->get_double());
  if (!(seconds >= 0) || seconds > static_cast<double>(kTimeMax)) {
    return Error(TokenError::bad_claim);
  }
  return WallTime(std::chrono::seconds(static_cast<std::int64_t>(seconds)));
}

std::expected<WallTime, TokenError> check_times(const json::object& claims,
                                                std::chrono::seconds skew, WallTime now) {
  const auto expires = time_in(claims, "exp");
  if (!expires) return Error(expires.error());
  if (!*expires) return Error(TokenError::no_expiry);
  for (const std::string_view name : {"nbf", "iat"}) {
    const auto from = time_in(claims, name);
    if (!from) return Error(from.error());
    if (*from && **from > now + skew) return Error(TokenError::not_yet_valid);
  }
  if (now >= **expires + skew) return Error(TokenError::expired);
  return **expires;
}

bool names(const json::value* audience, std::string_view wanted) {
  if (audience == nullptr) return false;
  if (const json::string* one = audience->if_string()) return *one == wanted;
  const json::array* several = audience->if_array();
  if (several == nullptr) return false;
  return std::ranges::any_of(*several, [&](const json::value& one) {
    return one.is_string() && one.get_string() == wanted;
  });
}

bool printable_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

std::expected<std::vector<std::string>, TokenError> read_groups(const json::object& claims,
                                                                std::string_view name) {
  std::vector<std::string> groups;
  const json::value* value = claims.if_contains(name);
  if (value == nullptr) return groups;
  const json::array* all = value->if_array();
  if (all == nullptr || all->size() > kGroupsMax) return Error(TokenError::bad_claim);
  for (const json::value& one : *all) {
    const json::string* group = one.if_string();
    if (group == nullptr || group->empty() || group->size() > kGroupBytesMax) {
      return Error(TokenError::bad_claim);
    }
    groups.emplace_back(group->data(), group->size());
  }
  return groups;
}

std::expected<Identity, TokenError> read_identity(const json::object& claims,
                                                  const TokenSettings& settings) {
  Identity identity{.method = AuthenticationMethod::token, .tenant = settings.tenant};
  const auto subject = text_in(claims, "sub");
  if (!subject || subject->empty()) return Error(TokenError::bad_claim);
  identity.subject = *subject;
  if (!settings.tenant_claim.empty()) {
    const auto tenant = text_in(claims, settings.tenant_claim);
    // Without its tenant a token must not end up in the node's own.
    if (!tenant || tenant->empty()) return Error(TokenError::bad_claim);
    identity.tenant = *tenant;
  }
  const bool fits = identity.tenant.size() <= kTenantBytesMax &&
                    identity.tenant.size() + identity.subject.size() <= kIdentityBytesMax;
  if (!fits || !printable_text(identity.subject) || !printable_text(identity.tenant)) {
    return Error(TokenError::bad_claim);
  }
  auto groups = read_groups(claims, settings.groups_claim);
  if (!groups) return Error(groups.error());
  identity.groups = *std::move(groups);
  return identity;
}

std::expected<void, TokenError> check_signature(const Parts& parts, const Header& header,
                                                const KeySet& keys) {
  if (parts.signature.empty()) return Error(TokenError::unsigned_token);
  const auto signature = decode_base64url(parts.signature);
  if (!signature) return Error(TokenError::malformed);
  const TokenKey* key = keys.find(header.key_id, header.algorithm);
  if (key == nullptr) {
    const bool other = header.key_id && keys.has(*header.key_id);
    return Error(other ? TokenError::key_mismatch : TokenError::unknown_key);
  }
  if (!key->verifies(std::as_bytes(std::span(parts.signed_text)), *signature)) {
    return Error(TokenError::bad_signature);
  }
  return {};
}

}  // namespace

std::string_view to_string(TokenError error) {
  static constexpr std::array<std::string_view, 16> kTexts = {
      "the token is too long",
      "the token is malformed",
      "the token has a claim twice",
      "the token is not signed",
      "the token's algorithm is not accepted",
      "the token has a critical extension",
      "the token's type is not that of an access token",
      "the token is of another issuer",
      "the token is for another audience",
      "the token has no expiry",
      "the token has expired",
      "the token is not valid yet; is a clock wrong?",
      "the token's key is not known",
      "the token's key is of another algorithm",
      "the token's signature does not verify",
      "the token has a claim of the wrong kind",
  };
  const auto index = static_cast<std::size_t>(error);
  return index < kTexts.size() ? kTexts[index] : "unknown";
}

std::expected<VerifiedToken, TokenError> verify_token(std::string_view token,
                                                      const TokenSettings& settings, WallTime now) {
  if (token.size() > kTokenBytesMax) return Error(TokenError::too_long);
  const auto parts = split(token);
  if (!parts) return Error(TokenError::malformed);
  const auto header = read_header(parts->header);
  if (!header) return Error(header.error());
  const auto claims = read_object(parts->claims);
  if (!claims) return Error(claims.error());
  if (text_in(*claims, "iss") != std::string_view(settings.issuer)) {
    return Error(TokenError::issuer);
  }
  if (!names(claims->if_contains("aud"), settings.audience)) return Error(TokenError::audience);
  const auto expires = check_times(*claims, settings.skew, now);
  if (!expires) return Error(expires.error());
  auto identity = read_identity(*claims, settings);
  if (!identity) return Error(identity.error());
  if (auto verified = check_signature(*parts, *header, settings.keys); !verified) {
    return Error(verified.error());
  }
  return VerifiedToken{.identity = *std::move(identity), .expires_at = *expires};
}

}  // namespace valkyrie::policy
