#include "server/ops/testing/policy_files.h"

#include <array>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <span>

#include "protocol/crypto/digest.h"
#include "server/policy/base64url.h"

namespace valkyrie::server::testing {
namespace {

constexpr std::string_view kSecret = "a secret of the tests, and 32 bytes at the least";

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

PolicyFiles::PolicyFiles(std::string_view policy) {
  write(policy);
  write_keys();
  const std::string set = path() + "/secrets";
  std::ofstream(set) << fmt::format(R"({{"keys":[{{"kty":"oct","k":"{}"}}]}})",
                                    policy::encode_base64url(bytes(kSecret)));
  std::filesystem::permissions(set, std::filesystem::perms::owner_read);
}

std::string PolicyFiles::add_key(policy::Identity identity,
                                 std::optional<policy::WallTime> expires_at) {
  std::array<std::byte, policy::kApiKeyRandomBytes> random{};
  random.fill(std::byte{++keys_made_});
  policy::NewApiKey made = policy::make_api_key(random, std::move(identity), expires_at);
  static_cast<void>(keys_.add(std::move(made.record)));
  write_keys();
  return made.text;
}

void PolicyFiles::revoke(std::string_view key) {
  const std::string_view prefix =
      key.substr(policy::kApiKeyMark.size(), policy::kApiKeyPrefixBytes);
  static_cast<void>(keys_.revoke(prefix, policy::WallTime(std::chrono::seconds(1))));
  write_keys();
}

void PolicyFiles::write(std::string_view policy) const {
  std::ofstream(path() + "/policy") << policy;
}

void PolicyFiles::write_keys() const { std::ofstream(path() + "/keys") << keys_.format(); }

std::string PolicyFiles::token(std::string_view subject, policy::WallTime expires_at,
                               std::string_view group) const {
  const std::string claims =
      fmt::format(R"({{"iss":"test","aud":"node","sub":"{}","exp":{},"groups":["{}"]}})", subject,
                  expires_at.time_since_epoch().count(), group);
  const std::string text = policy::encode_base64url(bytes(R"({"alg":"HS256"})")) + '.' +
                           policy::encode_base64url(bytes(claims));
  return text + '.' +
         policy::encode_base64url(protocol::crypto::hmac_sha256(bytes(kSecret), bytes(text)));
}

}  // namespace valkyrie::server::testing
