#include "server/policy/api_key.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <utility>

#include "protocol/crypto/secret.h"
#include "protocol/hex_text.h"
#include "server/policy/base64url.h"
#include "server/policy/credential_limits.h"
#include "server/policy/text_lines.h"

namespace valkyrie::policy {
namespace {

namespace crypto = protocol::crypto;

constexpr std::string_view kPrefixAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kSecretTextBytes = 43;
constexpr std::size_t kKeyTextBytes =
    kApiKeyMark.size() + kApiKeyPrefixBytes + 1 + kSecretTextBytes;

std::string prefix_of(std::span<const std::byte> random) {
  std::uint64_t bits = 0;
  for (const std::byte byte : random) bits = bits << 8U | std::to_integer<std::uint64_t>(byte);
  std::string prefix;
  for (std::size_t i = 0; i < kApiKeyPrefixBytes; ++i, bits >>= 5U) {
    prefix += kPrefixAlphabet[bits & 31U];
  }
  return prefix;
}

bool legal_prefix(std::string_view text) {
  return text.size() == kApiKeyPrefixBytes &&
         text.find_first_not_of(kPrefixAlphabet) == std::string_view::npos;
}

crypto::Digest hash_of(std::string_view key) {
  return crypto::sha256(std::as_bytes(std::span(key)));
}

// What is wrong with the identity of a record.
std::optional<std::string_view> fault_of(const Identity& identity) {
  if (identity.subject.empty()) return "a key has a subject";
  if (identity.tenant.size() > kTenantBytesMax ||
      identity.tenant.size() + identity.subject.size() > kIdentityBytesMax) {
    return "tenant and subject are too long";
  }
  if (identity.groups.size() > kGroupsMax) return "there are too many groups";
  const auto legal_group = [](std::string_view group) {
    return !group.empty() && group.size() <= kGroupBytesMax && is_visible(group) &&
           group.find(',') == std::string_view::npos;
  };
  if (!std::ranges::all_of(identity.groups, legal_group)) return "a group is not legal";
  if (!is_visible(identity.tenant) || !is_visible(identity.subject)) {
    return "tenant and subject are visible ASCII";
  }
  return std::nullopt;
}

std::vector<std::string> split_groups(std::string_view text) {
  std::vector<std::string> groups;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    groups.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return groups;
}

std::optional<std::string> set_field(std::string_view word, ApiKeyRecord& record) {
  const std::size_t equals = std::min(word.find('='), word.size());
  const std::string_view name = word.substr(0, equals);
  const std::string_view value = word.substr(std::min(word.size(), equals + 1));
  if (value.empty()) return fmt::format("{} has no value", quoted(name));
  if (name == "subject") {
    record.identity.subject = value;
  } else if (name == "tenant") {
    record.identity.tenant = value;
  } else if (name == "groups") {
    record.identity.groups = split_groups(value);
  } else if (name == "expires" || name == "revoked") {
    auto& time = name == "expires" ? record.expires_at : record.revoked_at;
    time = parse_wall_time(value);
    if (!time) return fmt::format("{}: write 2030-01-31T00:00:00Z", name);
  } else {
    return fmt::format("unknown field {}", quoted(name));
  }
  return std::nullopt;
}

std::expected<ApiKeyRecord, std::string> read_record(const std::vector<std::string_view>& words) {
  ApiKeyRecord record{.identity = {.method = AuthenticationMethod::api_key}};
  if (words.size() < 2 || !protocol::read_hex_text(words[1], record.hash)) {
    return std::unexpected("write PREFIX SHA256 subject=...");
  }
  record.prefix = words[0];
  for (std::size_t i = 2; i < words.size(); ++i) {
    const std::string_view name = words[i].substr(0, words[i].find('='));
    for (std::size_t j = 2; j < i; ++j) {
      if (words[j].substr(0, words[j].find('=')) == name) {
        return std::unexpected(fmt::format("{} is there twice", quoted(name)));
      }
    }
    if (auto error = set_field(words[i], record)) return std::unexpected(*std::move(error));
  }
  return record;
}

}  // namespace

std::string_view to_string(ApiKeyError error) {
  switch (error) {
    case ApiKeyError::malformed:
      return "the API key is malformed";
    case ApiKeyError::unknown:
      return "the API key is not known";
    case ApiKeyError::revoked:
      return "the API key is revoked";
    case ApiKeyError::expired:
      return "the API key has expired";
  }
  return "unknown";
}

NewApiKey make_api_key(std::span<const std::byte, kApiKeyRandomBytes> random, Identity identity,
                       std::optional<WallTime> expires_at) {
  const std::string prefix = prefix_of(random.first<kApiKeyRandomBytes - kSecretBytes>());
  std::string text =
      fmt::format("{}{}_{}", kApiKeyMark, prefix, encode_base64url(random.last<kSecretBytes>()));
  identity.method = AuthenticationMethod::api_key;
  const crypto::Digest hash = hash_of(text);
  return {.text = std::move(text),
          .record = {.prefix = prefix,
                     .hash = hash,
                     .identity = std::move(identity),
                     .expires_at = expires_at}};
}

bool looks_like_api_key(std::string_view credential) { return credential.starts_with(kApiKeyMark); }

std::expected<ApiKeys, std::string> ApiKeys::parse(std::string_view text) {
  if (text.size() > kApiKeyFileBytesMax) return std::unexpected("the file is too long");
  ApiKeys keys;
  TextLines lines(text);
  while (lines.next()) {
    auto record = read_record(lines.words());
    auto added = record ? keys.add(*std::move(record)) : std::unexpected(std::move(record.error()));
    if (!added) return std::unexpected(fmt::format("line {}: {}", lines.number(), added.error()));
  }
  return keys;
}

std::string ApiKeys::format() const {
  std::string text;
  for (const auto& [prefix, record] : records_) {
    text += fmt::format("{} {} subject={}", prefix, protocol::hex_text(record.hash),
                        record.identity.subject);
    if (!record.identity.tenant.empty()) text += " tenant=" + record.identity.tenant;
    if (!record.identity.groups.empty()) {
      text += fmt::format(" groups={}", fmt::join(record.identity.groups, ","));
    }
    if (record.expires_at) text += " expires=" + wall_time_text(*record.expires_at);
    if (record.revoked_at) text += " revoked=" + wall_time_text(*record.revoked_at);
    text += '\n';
  }
  return text;
}

std::expected<void, std::string> ApiKeys::add(ApiKeyRecord record) {
  if (!legal_prefix(record.prefix)) return std::unexpected("a prefix is 8 characters of a-z 2-7");
  if (const auto fault = fault_of(record.identity)) return std::unexpected(std::string(*fault));
  if (records_.size() >= kApiKeysMax) return std::unexpected("there are too many keys");
  std::string prefix = record.prefix;
  if (!records_.try_emplace(std::move(prefix), std::move(record)).second) {
    return std::unexpected("the prefix is there twice");
  }
  return {};
}

bool ApiKeys::revoke(std::string_view prefix, WallTime now) {
  const auto found = records_.find(prefix);
  if (found == records_.end()) return false;
  if (!found->second.revoked_at) found->second.revoked_at = now;
  return true;
}

std::expected<ApiKeyRecord, ApiKeyError> ApiKeys::verify(std::string_view key, WallTime now) const {
  if (key.size() != kKeyTextBytes || !looks_like_api_key(key)) {
    return std::unexpected(ApiKeyError::malformed);
  }
  const std::string_view prefix = key.substr(kApiKeyMark.size(), kApiKeyPrefixBytes);
  const auto found = records_.find(prefix);
  if (found == records_.end()) return std::unexpected(ApiKeyError::unknown);
  const ApiKeyRecord& record = found->second;
  if (!crypto::equal_in_constant_time(hash_of(key), record.hash)) {
    return std::unexpected(ApiKeyError::unknown);
  }
  if (record.revoked_at) return std::unexpected(ApiKeyError::revoked);
  if (record.expires_at && now >= *record.expires_at) return std::unexpected(ApiKeyError::expired);
  return record;
}

}  // namespace valkyrie::policy
