// The files that a node with a policy reads, for tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/ops/testing/server_process.h"
#include "server/policy/api_key.h"

namespace valkyrie::server::testing {

// A folder with a policy, a file of API keys and a set with one HS256 key, gone at the end. In the
// policy they are `keys=keys` and `keys=secrets secrets=accept`.
class PolicyFiles {
 public:
  // Writes the policy; there is no API key yet.
  explicit PolicyFiles(std::string_view policy);

  // Adds an API key for `identity` and writes the file; its text.
  std::string add_key(policy::Identity identity,
                      std::optional<policy::WallTime> expires_at = std::nullopt);
  // Revokes the key of this text and writes the file.
  void revoke(std::string_view key);
  // Writes another policy.
  void write(std::string_view policy) const;
  // A signed token for issuer `test` and audience `node` that expires then.
  [[nodiscard]] std::string token(std::string_view subject, policy::WallTime expires_at,
                                  std::string_view group = {}) const;
  // For valkyrie-server.
  [[nodiscard]] std::vector<std::string> arguments() const {
    return {"--security", directory_.path() + "/policy"};
  }
  // Of the folder, without a slash at the end.
  [[nodiscard]] const std::string& path() const { return directory_.path(); }

 private:
  void write_keys() const;

  const ScratchDirectory directory_;
  policy::ApiKeys keys_;
  std::uint8_t keys_made_ = 0;
};

}  // namespace valkyrie::server::testing
