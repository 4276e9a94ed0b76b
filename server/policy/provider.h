// How a node finds out who a peer is: providers, asked in one order.
//
// No I/O, no clock, no threads: whoever reads the files of keys hands their text in, the caller
// says what time it is. A ProviderChain never changes; any thread may use it.
#pragma once

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "server/policy/api_key.h"
#include "server/policy/identity.h"
#include "server/policy/token.h"
#include "server/policy/wall_time.h"

namespace valkyrie::policy {

// Providers of a chain.
inline constexpr std::size_t kProvidersMax = 32;

// Takes what the channel proved.
struct ChannelProvider {
  AuthenticationMethod method = AuthenticationMethod::none;  // None: peers that proved nothing.
  std::string subjects = "*";  // Which of them; `*` stands for any bytes or none.
};

// Takes tokens of one issuer.
struct TokenProvider {
  TokenSettings settings;
};

// Takes API keys of one file.
struct ApiKeyProvider {
  ApiKeys keys;
};

// One provider and what it is called in texts and logs.
struct Provider {
  std::string name;
  std::variant<ChannelProvider, TokenProvider, ApiKeyProvider> kind;
  // With a token or key: what the channel beside it has to have proved. Nullopt: anything, since
  // who holds the credential has proved enough.
  std::optional<ChannelProvider> only_with{};
};

// What a peer shows.
struct Shown {
  Identity channel{};             // Proved by the channel; method none if it proves nothing.
  bool confidential = false;      // Encrypted, or inside one machine.
  std::string_view credential{};  // A token or API key; empty: none.
};

// Who it is.
struct Authenticated {
  Identity identity{};
  std::string_view provider{};  // Empty: there is none. Valid as long as the chain.
  // From then on it counts no more: what the credential says and the skew of clocks on top.
  std::optional<WallTime> valid_until{};
};

// Why a peer is refused. Nothing of a credential is in it.
struct Refusal {
  std::string provider;  // Which one refused; empty: none was there that takes such things.
  std::string reason;

  // Both, for people and for GOAWAY: `provider "idp": the token has expired`.
  [[nodiscard]] std::string text() const;
};

// All providers of a node.
class ProviderChain {
 public:
  // No providers: the channel's identity counts, and a credential is not looked at. The doors of
  // such a node must be local ones.
  ProviderChain() = default;
  // REQUIRES: at most kProvidersMax
  explicit ProviderChain(std::vector<Provider> providers);

  // Whether any provider is configured.
  [[nodiscard]] bool empty() const { return providers_.empty(); }

  // With a credential, it alone says who the peer is: the first provider that knows its issuer, or
  // for an API key its prefix, decides. Without one, the first provider that takes what the channel
  // proved. Credentials on a channel that is not confidential are refused unread.
  [[nodiscard]] std::expected<Authenticated, Refusal> authenticate(const Shown& shown,
                                                                   WallTime now) const;

 private:
  [[nodiscard]] std::expected<Authenticated, Refusal> by_channel(const Shown& shown) const;
  [[nodiscard]] std::expected<Authenticated, Refusal> by_token(const Shown& shown,
                                                               WallTime now) const;
  [[nodiscard]] std::expected<Authenticated, Refusal> by_api_key(const Shown& shown,
                                                                 WallTime now) const;

  std::vector<Provider> providers_;
};

// Whether a credential may take another's place in a session: it speaks for the same one.
[[nodiscard]] bool may_renew(const Identity& before, const Identity& after);

}  // namespace valkyrie::policy
