// Signed tokens (JWT) as proof of who a peer is. Spec: RFC 7519, RFC 7515, RFC 8725.
//
// No I/O, no clock, no threads: the caller says what time it is.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "server/policy/credential_limits.h"
#include "server/policy/identity.h"
#include "server/policy/key_set.h"
#include "server/policy/wall_time.h"

namespace valkyrie::policy {

// Bytes of a token, which is what HELLO has room for beside its other options.
inline constexpr std::size_t kTokenBytesMax = 8U << 10U;
// Why a token is refused.
enum class TokenError : std::uint8_t {
  too_long,
  malformed,           // Not three parts of base64url with JSON in them.
  duplicate_claim,     // A name twice, in the header or the claims.
  unsigned_token,      // `none`, in any spelling, or an empty signature.
  algorithm,           // One that is not known here.
  critical_extension,  // `crit`: none is known here.
  wrong_type,          // `typ` says that it is for something else.
  issuer,              // Another one, or none.
  audience,            // It is not for this node.
  no_expiry,           // Tokens without end are not taken.
  expired,
  not_yet_valid,  // `nbf` or `iat` is in the future: somebody's clock is wrong.
  unknown_key,
  key_mismatch,  // The key is of another algorithm than the token says.
  bad_signature,
  bad_claim,  // A claim of the wrong kind or out of bounds.
};

// Why, for people; the same text for every token, so nothing of one is in it.
[[nodiscard]] std::string_view to_string(TokenError error);

// What a provider of tokens expects.
struct TokenSettings {
  KeySet keys{};
  std::string issuer;
  std::string audience;
  std::chrono::seconds skew{60};  // By how much clocks may differ.
  std::string groups_claim = "groups";
  std::string tenant_claim{};  // Empty: all are of one tenant,
  std::string tenant{};        // this; empty: the node's own.
};

// What a token proves.
struct VerifiedToken {
  Identity identity{};
  WallTime expires_at{};  // `exp`, without the skew.
};

// Verifies a compact JWS. All that is cheap is checked first; at most one signature is.
[[nodiscard]] std::expected<VerifiedToken, TokenError> verify_token(std::string_view token,
                                                                    const TokenSettings& settings,
                                                                    WallTime now);

}  // namespace valkyrie::policy
