#include "server/policy/provider.h"

#include <fmt/format.h>
#include <utility>

#include "protocol/assert.h"
#include "server/policy/pattern.h"

namespace valkyrie::policy {
namespace {

bool takes(const ChannelProvider& provider, const Identity& channel) {
  return provider.method == channel.method && glob_matches(provider.subjects, channel.subject);
}

std::unexpected<Refusal> refusal(std::string_view provider, std::string reason) {
  return std::unexpected(Refusal{.provider = std::string(provider), .reason = std::move(reason)});
}

// Whether the channel beside a credential is one that this provider wants.
std::expected<void, Refusal> check_pair(const Provider& provider, const Identity& channel) {
  if (!provider.only_with || takes(*provider.only_with, channel)) return {};
  return refusal(provider.name, "the credential does not belong to this channel");
}

}  // namespace

std::string Refusal::text() const {
  return provider.empty() ? reason : fmt::format("provider \"{}\": {}", provider, reason);
}

ProviderChain::ProviderChain(std::vector<Provider> providers) : providers_(std::move(providers)) {
  VALKYRIE_ASSERT(providers_.size() <= kProvidersMax);
}

std::expected<Authenticated, Refusal> ProviderChain::authenticate(const Shown& shown,
                                                                  WallTime now) const {
  if (providers_.empty()) return Authenticated{.identity = shown.channel};
  if (shown.credential.empty()) return by_channel(shown);
  if (!shown.confidential) {
    return refusal("", "a credential was shown on a channel that is neither encrypted nor local");
  }
  return looks_like_api_key(shown.credential) ? by_api_key(shown, now) : by_token(shown, now);
}

std::expected<Authenticated, Refusal> ProviderChain::by_channel(const Shown& shown) const {
  std::string_view last;
  for (const Provider& provider : providers_) {
    const auto* channel = std::get_if<ChannelProvider>(&provider.kind);
    if (channel == nullptr || channel->method != shown.channel.method) continue;
    if (takes(*channel, shown.channel)) {
      return Authenticated{.identity = shown.channel, .provider = provider.name};
    }
    last = provider.name;
  }
  if (!last.empty()) {
    return refusal(last, fmt::format("{} is not on its list", describe(shown.channel)));
  }
  return refusal("", shown.channel.method == AuthenticationMethod::none
                         ? "the peer showed no credential"
                         : fmt::format("no provider takes {}", describe(shown.channel)));
}

std::expected<Authenticated, Refusal> ProviderChain::by_token(const Shown& shown,
                                                              WallTime now) const {
  auto last = refusal("", "no provider takes tokens");
  for (const Provider& provider : providers_) {
    const auto* tokens = std::get_if<TokenProvider>(&provider.kind);
    if (tokens == nullptr) continue;
    auto verified = verify_token(shown.credential, tokens->settings, now);
    if (!verified) {
      last = refusal(provider.name, std::string(to_string(verified.error())));
      if (verified.error() == TokenError::issuer) continue;
      return last;
    }
    if (auto paired = check_pair(provider, shown.channel); !paired) {
      return std::unexpected(std::move(paired.error()));
    }
    return Authenticated{.identity = std::move(verified->identity),
                         .provider = provider.name,
                         .valid_until = verified->expires_at + tokens->settings.skew};
  }
  return last;
}

std::expected<Authenticated, Refusal> ProviderChain::by_api_key(const Shown& shown,
                                                                WallTime now) const {
  auto last = refusal("", "no provider takes API keys");
  for (const Provider& provider : providers_) {
    const auto* file = std::get_if<ApiKeyProvider>(&provider.kind);
    if (file == nullptr) continue;
    auto record = file->keys.verify(shown.credential, now);
    if (!record) {
      last = refusal(provider.name, std::string(to_string(record.error())));
      if (record.error() == ApiKeyError::unknown) continue;
      return last;
    }
    if (auto paired = check_pair(provider, shown.channel); !paired) {
      return std::unexpected(std::move(paired.error()));
    }
    return Authenticated{.identity = std::move(record->identity),
                         .provider = provider.name,
                         .valid_until = record->expires_at};
  }
  return last;
}

bool may_renew(const Identity& before, const Identity& after) {
  return before.method == after.method && before.tenant == after.tenant &&
         before.subject == after.subject;
}

}  // namespace valkyrie::policy
