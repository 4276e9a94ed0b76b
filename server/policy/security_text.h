// The file that says who may come in and what each may do: docs/operating/permissions.md has the
// grammar and an example.
//
// Pure: the files that it names are read by the caller.
#pragma once

#include <chrono>
#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/policy/identity.h"
#include "server/policy/policy.h"
#include "server/policy/provider.h"

namespace valkyrie::policy {

// Bytes of the file.
inline constexpr std::size_t kSecurityFileBytesMax = 1U << 20U;

// A provider as the file describes it, before its keys are read.
struct ProviderDraft {
  std::string name;
  AuthenticationMethod method = AuthenticationMethod::none;
  std::string subjects = "*";  // Of a channel.
  std::string keys_path{};     // Of tokens and API keys: the file of keys.
  SymmetricKeys symmetric = SymmetricKeys::refused;
  std::string issuer{};  // These and the rest: of tokens.
  std::string audience{};
  std::chrono::seconds skew{60};
  std::string groups_claim = "groups";
  std::string tenant_claim{};
  std::string tenant{};
  std::optional<ChannelProvider> only_with{};
};

// What the file says.
struct SecurityDraft {
  std::vector<ProviderDraft> providers{};
  PolicyDraft policy{};
};

// Reads the file. The error, for people, names the line, what is wrong there, and what to write.
[[nodiscard]] std::expected<SecurityDraft, std::string> parse_security_text(std::string_view text);

// The provider of a draft; `keys` is the text of the file at its `keys_path`, empty if it has none.
// The error, for people, names the provider and holds nothing of a key.
[[nodiscard]] std::expected<Provider, std::string> make_provider(const ProviderDraft& draft,
                                                                 std::string_view keys);

}  // namespace valkyrie::policy
