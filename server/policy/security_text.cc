#include "server/policy/security_text.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <utility>

#include "server/policy/text_lines.h"

namespace valkyrie::policy {
namespace {

using Words = std::vector<std::string_view>;
using Read = std::expected<void, std::string>;

// Skew that can be asked for: more would make expiry mean little.
constexpr std::uint32_t kSkewSecondsMax = 600;

template <class... Args>
std::unexpected<std::string> wrong(fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(fmt::format(format, std::forward<Args>(args)...));
}

// A whole number from 1 on that ends in `unit`.
std::optional<std::uint32_t> count_of(std::string_view text, std::string_view unit) {
  if (!text.ends_with(unit)) return std::nullopt;
  text.remove_suffix(unit.size());
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0) return std::nullopt;
  return value;
}

bool uses_tokens(const ProviderDraft& draft) { return draft.method == AuthenticationMethod::token; }
bool uses_keys(const ProviderDraft& draft) {
  return uses_tokens(draft) || draft.method == AuthenticationMethod::api_key;
}

Read set_only_with(ProviderDraft& draft, std::string_view value) {
  const std::size_t colon = std::min(value.find(':'), value.size());
  const auto method = parse_method(value.substr(0, colon));
  if (!method || colon == value.size())
    return wrong("write with=METHOD:SUBJECT, such as with=unix:*");
  draft.only_with = {.method = *method, .subjects = std::string(value.substr(colon + 1))};
  return {};
}

Read set_option(ProviderDraft& draft, std::string_view name, std::string_view value) {
  if (name == "subjects" && !uses_keys(draft)) {
    draft.subjects = value;
  } else if (name == "keys" && uses_keys(draft)) {
    draft.keys_path = value;
  } else if (name == "with" && uses_keys(draft)) {
    return set_only_with(draft, value);
  } else if (name == "issuer" && uses_tokens(draft)) {
    draft.issuer = value;
  } else if (name == "audience" && uses_tokens(draft)) {
    draft.audience = value;
  } else if (name == "groups" && uses_tokens(draft)) {
    draft.groups_claim = value;
  } else if (name == "tenant" && uses_tokens(draft)) {
    draft.tenant_claim = value;
  } else if (name == "as" && uses_tokens(draft)) {
    if (value.size() > kTenantBytesMax)
      return wrong("as=TENANT has at most {} bytes", kTenantBytesMax);
    draft.tenant = value;
  } else if (name == "secrets" && uses_tokens(draft)) {
    if (value != "accept") return wrong("write secrets=accept, or leave it out");
    draft.symmetric = SymmetricKeys::accepted;
  } else if (name == "skew" && uses_tokens(draft)) {
    const auto seconds = value == "0s" ? std::optional(0U) : count_of(value, "s");
    if (!seconds || *seconds > kSkewSecondsMax) {
      return wrong("write skew=60s; at most {}s", kSkewSecondsMax);
    }
    draft.skew = std::chrono::seconds(*seconds);
  } else {
    return wrong("a provider of {} has no option {}", to_string(draft.method), quoted(name));
  }
  return {};
}

Read read_provider(const Words& words, SecurityDraft& into) {
  const auto method = words.size() < 3 ? std::nullopt : parse_method(words[2]);
  if (!method) {
    return wrong("write provider NAME none|unix|noise|certificate|token|api_key [OPTION=VALUE]...");
  }
  ProviderDraft draft{.name = std::string(words[1]), .method = *method};
  if (into.providers.size() >= kProvidersMax)
    return wrong("there are over {} providers", kProvidersMax);
  if (std::ranges::find(into.providers, draft.name, &ProviderDraft::name) != into.providers.end()) {
    return wrong("provider \"{}\" is there twice", printable(draft.name));
  }
  Words seen;
  for (const std::string_view word : std::span(words).subspan(3)) {
    const std::size_t equals = std::min(word.find('='), word.size());
    const std::string_view name = word.substr(0, equals);
    if (equals + 1 >= word.size()) return wrong("{}: write OPTION=VALUE", quoted(word));
    if (std::ranges::find(seen, name) != seen.end()) {
      return wrong("{} is there twice", quoted(name));
    }
    seen.push_back(name);
    if (auto set = set_option(draft, name, word.substr(equals + 1)); !set) return set;
  }
  if (uses_keys(draft) && draft.keys_path.empty()) return wrong("keys=PATH is missing");
  if (uses_tokens(draft) && (draft.issuer.empty() || draft.audience.empty())) {
    return wrong("issuer=TEXT or audience=TEXT is missing");
  }
  if (!draft.tenant.empty() && !draft.tenant_claim.empty()) {
    return wrong("as= says which tenant its peers are of, tenant= that tokens say it: write one");
  }
  into.providers.push_back(std::move(draft));
  return {};
}

Read read_role(const Words& words, SecurityDraft& into) {
  if (words.size() != 2) return wrong("write role NAME");
  into.policy.roles.push_back({.name = std::string(words[1])});
  return {};
}

Read read_rule(Effect effect, const Words& words, Role& role) {
  if (words.size() < 2) return wrong("write {} ACTION:PATTERN...", words[0]);
  for (const std::string_view text : std::span(words).subspan(1)) {
    auto rule = Rule::parse(effect, text);
    if (!rule) return std::unexpected(std::move(rule.error()));
    role.rules.push_back(*std::move(rule));
  }
  return {};
}

std::optional<protocol::QosClass> class_of(std::string_view word) {
  for (std::uint8_t i = 0; i < protocol::kClassWeights.size(); ++i) {
    const auto candidate = static_cast<protocol::QosClass>(i);
    if (protocol::to_string(candidate) == word) return candidate;
  }
  return std::nullopt;
}

template <class T>
Read set_limit(std::optional<T>& limit, std::optional<T> value, const Words& words,
               std::string_view form) {
  if (words.size() != 2 || !value) return wrong("write {}", form);
  if (limit) return wrong("the role has \"{}\" twice", words[0]);
  limit = value;
  return {};
}

// A line that belongs to the role above it.
Read read_role_line(const Words& words, Role& role) {
  const std::string_view value = words.size() > 1 ? words[1] : std::string_view();
  if (words[0] == "allow") return read_rule(Effect::allow, words, role);
  if (words[0] == "deny") return read_rule(Effect::deny, words, role);
  if (words[0] == "qos")
    return set_limit(role.limits.qos_ceiling, class_of(value), words, "qos CLASS");
  if (words[0] == "rate") {
    return set_limit(role.limits.calls_per_second, count_of(value, "/s"), words, "rate 100/s");
  }
  if (words[0] == "require_pq") {
    if (words.size() != 1) return wrong("write require_pq alone");
    role.limits.require_pq = true;
    return {};
  }
  return set_limit(role.limits.in_flight_max, count_of(value, ""), words, "in_flight 64");
}

Read read_binding(const Words& words, SecurityDraft& into) {
  const bool with_tenant = words.size() == 7 && words[2] == "tenant";
  if (words.size() != 5 && !with_tenant) {
    return wrong("write bind METHOD [tenant PATTERN] subject|group PATTERN ROLE");
  }
  Binding binding;
  if (words[1] != "any") {
    binding.method = parse_method(words[1]);
    if (!binding.method) return wrong("{} is no method; or write any", quoted(words[1]));
  }
  if (with_tenant) binding.tenant = words[3];
  const std::size_t at = with_tenant ? 4 : 2;
  if (words[at] != "subject" && words[at] != "group") {
    return wrong("write subject or group instead of {}", quoted(words[at]));
  }
  binding.of = words[at] == "subject" ? BindingOf::subject : BindingOf::group;
  binding.pattern = words[at + 1];
  binding.role = words[at + 2];
  into.policy.bindings.push_back(std::move(binding));
  return {};
}

Read read_line(const Words& words, SecurityDraft& into) {
  constexpr std::string_view kOfRoles[] = {"allow", "deny",      "qos",
                                           "rate",  "in_flight", "require_pq"};
  if (words[0] == "provider") return read_provider(words, into);
  if (words[0] == "role") return read_role(words, into);
  if (words[0] == "bind") return read_binding(words, into);
  if (std::ranges::find(kOfRoles, words[0]) == std::end(kOfRoles)) {
    return wrong("{}: a line begins with provider, role, bind, or in a role with {}",
                 quoted(words[0]), "allow, deny, qos, rate, in_flight, require_pq");
  }
  if (into.policy.roles.empty()) return wrong("\"{}\" stands in no role", words[0]);
  return read_role_line(words, into.policy.roles.back());
}

}  // namespace

std::expected<SecurityDraft, std::string> parse_security_text(std::string_view text) {
  if (text.size() > kSecurityFileBytesMax) return wrong("the file is too long");
  SecurityDraft draft;
  TextLines lines(text);
  while (lines.next()) {
    if (!std::ranges::all_of(lines.words(), is_visible)) {
      return wrong("line {}: it has bytes that are not visible ASCII", lines.number());
    }
    if (auto read = read_line(lines.words(), draft); !read) {
      return wrong("line {}: {}", lines.number(), read.error());
    }
  }
  return draft;
}

std::expected<Provider, std::string> make_provider(const ProviderDraft& draft,
                                                   std::string_view keys) {
  Provider provider{.name = draft.name,
                    .kind = ChannelProvider{draft.method, draft.subjects},
                    .only_with = draft.only_with};
  const auto faulty = [&](std::string_view why) {
    return wrong("provider \"{}\": {}", draft.name, why);
  };
  if (draft.method == AuthenticationMethod::api_key) {
    auto read = ApiKeys::parse(keys);
    if (!read) return faulty(read.error());
    provider.kind = ApiKeyProvider{*std::move(read)};
  } else if (uses_tokens(draft)) {
    auto read = KeySet::parse(keys, draft.symmetric);
    if (!read) return faulty(read.error());
    provider.kind = TokenProvider{{.keys = *std::move(read),
                                   .issuer = draft.issuer,
                                   .audience = draft.audience,
                                   .skew = draft.skew,
                                   .groups_claim = draft.groups_claim,
                                   .tenant_claim = draft.tenant_claim,
                                   .tenant = draft.tenant}};
  }
  return provider;
}

}  // namespace valkyrie::policy
