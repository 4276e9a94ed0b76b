// Verifies tokens of the input's choice against keys of both kinds. Finds crashes, and tokens that
// verify although nobody who may sign them did.
#include "server/policy/token.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/assert.h"
#include "server/policy/base64url.h"
#include "server/policy/token_vectors.h"

using namespace valkyrie::policy;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const TokenSettings settings = [] {
    auto keys = KeySet::parse(testing::kVectorKeys, SymmetricKeys::accepted);
    VALKYRIE_ASSERT(keys.has_value());
    return TokenSettings{.keys = *std::move(keys),
                         .issuer = "https://id.example.com",
                         .audience = "valkyrie",
                         .tenant_claim = {}};
  }();
  const std::string_view token(reinterpret_cast<const char*>(data), size);
  const WallTime now{std::chrono::seconds(1'800'000'000)};
  if (const auto verified = verify_token(token, settings, now)) {
    // ES256 has a second signature for each, so the texts that were signed are compared.
    const std::string_view text = token.substr(0, token.rfind('.'));
    VALKYRIE_ASSERT(testing::kRs256Token.starts_with(text) ||
                    testing::kEs256Token.starts_with(text));
    VALKYRIE_ASSERT(verified->identity.subject == "ci@example.com");
  }
  if (const auto bytes = decode_base64url(token)) {
    VALKYRIE_ASSERT(encode_base64url(*bytes) == token);
  }
  return 0;
}
