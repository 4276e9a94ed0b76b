// API keys: a long random text as proof of who a peer is. For operators:
// docs/operating/permissions.md.
//
// A key is `vk_PREFIX_SECRET`. The prefix is shown in lists and logs; of the whole only the SHA-256
// is kept. That needs no slow hash and no salt: the secret has 256 random bits, so it can be
// guessed neither from the hash nor from a table, and a slow hash would only let strangers keep the
// node busy.
//
// No I/O, no clock, no threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto/digest.h"
#include "server/policy/identity.h"
#include "server/policy/wall_time.h"

namespace valkyrie::policy {

// What every key begins with, so that one that leaked is found by a search.
inline constexpr std::string_view kApiKeyMark = "vk_";
// Characters of a prefix, of [a-z2-7].
inline constexpr std::size_t kApiKeyPrefixBytes = 8;
// Random bytes that a new key is made of: its prefix, then its secret.
inline constexpr std::size_t kApiKeyRandomBytes = 5 + 32;
// Keys of a file, and bytes of it.
inline constexpr std::size_t kApiKeysMax = 10'000;
inline constexpr std::size_t kApiKeyFileBytesMax = 8U << 20U;

// What is kept of a key. Nothing in it is secret.
struct ApiKeyRecord {
  std::string prefix{};
  protocol::crypto::Digest hash{};  // SHA-256 of the whole key.
  Identity identity{};
  std::optional<WallTime> expires_at{};
  std::optional<WallTime> revoked_at{};

  bool operator==(const ApiKeyRecord&) const = default;
};

// Why a key is refused.
enum class ApiKeyError : std::uint8_t {
  malformed,  // Not the form of a key.
  unknown,    // No key of this file.
  revoked,
  expired,
};

// Why, for people.
[[nodiscard]] std::string_view to_string(ApiKeyError error);

// A key that was just made: the only time that its text is there.
struct NewApiKey {
  std::string text;
  ApiKeyRecord record;
};

// Makes a key for `identity`, whose method becomes api_key. REQUIRES: `random` is of a generator
// that nobody can guess
[[nodiscard]] NewApiKey make_api_key(std::span<const std::byte, kApiKeyRandomBytes> random,
                                     Identity identity, std::optional<WallTime> expires_at);

// Whether a credential is meant to be an API key.
[[nodiscard]] bool looks_like_api_key(std::string_view credential);

// The keys of a file.
class ApiKeys {
 public:
  // Reads a file: a record a line, `#` begins a comment. The error, for people, names the line.
  [[nodiscard]] static std::expected<ApiKeys, std::string> parse(std::string_view text);
  // The file of these keys, by prefix. parse() of it gives the same keys.
  [[nodiscard]] std::string format() const;

  // Adds a key. The error, for people: its prefix is taken, there are too many, or a text of its
  // identity does not fit into a line (visible ASCII; groups without commas).
  [[nodiscard]] std::expected<void, std::string> add(ApiKeyRecord record);
  // Marks a key as revoked, from now on; false if there is none of this prefix. The first time
  // stays.
  [[nodiscard]] bool revoke(std::string_view prefix, WallTime now);

  // Whose key this is. Whether it is revoked or expired learns only who knows its secret.
  [[nodiscard]] std::expected<ApiKeyRecord, ApiKeyError> verify(std::string_view key,
                                                                WallTime now) const;
  // All keys, by prefix.
  [[nodiscard]] const std::map<std::string, ApiKeyRecord, std::less<>>& records() const {
    return records_;
  }

 private:
  std::map<std::string, ApiKeyRecord, std::less<>> records_;
};

}  // namespace valkyrie::policy
