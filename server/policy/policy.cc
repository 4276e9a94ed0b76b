#include "server/policy/policy.h"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <set>
#include <utility>

#include "protocol/assert.h"
#include "server/policy/text_lines.h"

namespace valkyrie::policy {
namespace {

constexpr std::string_view kEverything = "*";

bool matches(const Rule& rule, const Name& name) {
  return rule.effect == Effect::allow ? rule.pattern.covers(name) : rule.pattern.touches(name);
}

std::string_view verb_of(Effect effect) { return effect == Effect::allow ? "allows" : "denies"; }

template <class T>
void keep_lower(std::optional<T>& mine, const std::optional<T>& other) {
  if (other && (!mine || *other < *mine)) mine = other;
}

}  // namespace

// A draft that was checked, its rules sorted by what they are asked about.
class CompiledPolicy {
 public:
  // Where a rule stands.
  struct Place {
    std::size_t role;
    std::size_t rule;
  };

  explicit CompiledPolicy(PolicyDraft draft) : draft_(std::move(draft)) {
    sorted_.resize(draft_.roles.size());
    for (std::size_t i = 0; i < draft_.roles.size(); ++i) sort(i);
  }

  // The first of the roles' rules with this effect that matches.
  [[nodiscard]] std::optional<Place> find(const std::vector<std::size_t>& roles, Effect effect,
                                          Action action, const Name& name) const {
    for (const std::size_t role : roles) {
      const auto& rules = sorted_[role][static_cast<std::size_t>(effect)];
      for (const std::size_t rule : rules[static_cast<std::size_t>(action)]) {
        if (matches(draft_.roles[role].rules[rule], name)) return Place{role, rule};
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] const std::vector<Role>& roles() const { return draft_.roles; }
  [[nodiscard]] const std::vector<Binding>& bindings() const { return draft_.bindings; }

 private:
  // Indices of rules by effect and action.
  using Sorted = std::array<std::array<std::vector<std::size_t>, kActions>, 2>;

  void sort(std::size_t role) {
    const std::vector<Rule>& rules = draft_.roles[role].rules;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      auto& of_effect = sorted_[role][static_cast<std::size_t>(rules[i].effect)];
      for (std::size_t action = 0; action < kActions; ++action) {
        const bool asked = !rules[i].action || static_cast<std::size_t>(*rules[i].action) == action;
        if (asked) of_effect[action].push_back(i);
      }
    }
  }

  PolicyDraft draft_;
  std::vector<Sorted> sorted_;  // One for each role.
};

std::expected<Rule, std::string> Rule::parse(Effect effect, std::string_view text) {
  Rule rule{.effect = effect, .text = std::string(text)};
  if (text == kEverything) return rule;
  const std::size_t colon = text.find(':');
  rule.action = parse_action(text.substr(0, colon));
  if (!rule.action || colon == std::string_view::npos) {
    return std::unexpected(
        fmt::format("{}: write ACTION:PATTERN, such as call:hello.*, or *", quoted(text)));
  }
  auto pattern = NamePattern::parse(*rule.action, text.substr(colon + 1));
  if (!pattern) return std::unexpected(std::move(pattern.error()));
  rule.pattern = *std::move(pattern);
  return rule;
}

void RoleLimits::tighten(const RoleLimits& other) {
  // Classes are numbered from the most urgent one.
  if (other.qos_ceiling && (!qos_ceiling || *other.qos_ceiling > *qos_ceiling)) {
    qos_ceiling = other.qos_ceiling;
  }
  keep_lower(calls_per_second, other.calls_per_second);
  keep_lower(in_flight_max, other.in_flight_max);
  require_pq = require_pq || other.require_pq;
}

bool Binding::matches(const Identity& identity) const {
  if (identity.method == AuthenticationMethod::none && method != identity.method) return false;
  if (method && *method != identity.method) return false;
  if (!glob_matches(tenant, identity.tenant)) return false;
  if (of == BindingOf::subject) return glob_matches(pattern, identity.subject);
  return std::ranges::any_of(
      identity.groups, [&](const std::string& group) { return glob_matches(pattern, group); });
}

std::string Binding::text() const {
  return fmt::format("{}{} {} {}", method ? to_string(*method) : "any",
                     tenant.empty() ? std::string() : fmt::format(" tenant {}", printable(tenant)),
                     of == BindingOf::subject ? "subject" : "group", printable(pattern));
}

std::string_view to_string(Ground ground) {
  switch (ground) {
    case Ground::open:
      return "open";
    case Ground::allowed:
      return "allowed";
    case Ground::denied:
      return "denied";
    case Ground::no_rule:
      return "no_rule";
    case Ground::no_role:
      return "no_role";
    case Ground::illegal_name:
      return "illegal_name";
  }
  return "unknown";
}

std::string Decision::reason() const {
  switch (ground) {
    case Ground::open:
      return "no policy is configured: local doors allow everything";
    case Ground::allowed:
    case Ground::denied:
      return fmt::format("role \"{}\" {} it: rule {}, {}", role, allowed ? "allows" : "denies",
                         rule_index + 1, rule);
    case Ground::no_rule:
      return "no rule of its roles allows it";
    case Ground::no_role:
      return "no binding gives it a role";
    case Ground::illegal_name:
      return "the name is not one that this can be done to";
  }
  return "unknown";
}

Decision Grants::decide(Action action, const Name& name) const {
  if (!legal(action, name)) return {.ground = Ground::illegal_name};
  if (policy_ == nullptr) return {.allowed = true, .ground = Ground::open};
  if (roles_.empty()) return {.ground = Ground::no_role};
  Ground ground = Ground::denied;
  auto place = policy_->find(roles_, Effect::deny, action, name);
  if (!place) {
    ground = Ground::allowed;
    place = policy_->find(roles_, Effect::allow, action, name);
  }
  if (!place) return {.ground = Ground::no_rule};
  const Role& role = policy_->roles()[place->role];
  return {.allowed = ground == Ground::allowed,
          .ground = ground,
          .role = role.name,
          .rule_index = place->rule,
          .rule = role.rules[place->rule].text};
}

std::vector<std::string_view> Grants::roles() const {
  std::vector<std::string_view> names;
  for (const std::size_t role : roles_) names.push_back(policy_->roles()[role].name);
  return names;
}

std::expected<Policy, std::string> Policy::compile(PolicyDraft draft) {
  if (draft.roles.size() > kRolesMax) {
    return std::unexpected(fmt::format("a policy has at most {} roles", kRolesMax));
  }
  if (draft.bindings.size() > kBindingsMax) {
    return std::unexpected(fmt::format("a policy has at most {} bindings", kBindingsMax));
  }
  std::set<std::string_view> names;
  for (const Role& role : draft.roles) {
    if (role.name.empty()) return std::unexpected("a role has no name");
    if (!names.insert(role.name).second) {
      return std::unexpected(fmt::format("role \"{}\" is there twice", printable(role.name)));
    }
    if (role.rules.size() > kRulesMax) {
      return std::unexpected(
          fmt::format("role \"{}\" has over {} rules", printable(role.name), kRulesMax));
    }
  }
  for (const Binding& binding : draft.bindings) {
    if (binding.pattern.empty()) return std::unexpected("a binding has no pattern");
    if (!names.contains(binding.role)) {
      return std::unexpected(fmt::format("the binding of {} names role \"{}\", which is not there",
                                         binding.text(), printable(binding.role)));
    }
  }
  Policy policy;
  policy.compiled_ = std::make_shared<const CompiledPolicy>(std::move(draft));
  return policy;
}

Grants Policy::grants_of(const Identity& identity) const {
  Grants grants(compiled_);
  if (is_open()) return grants;
  std::set<std::string_view> held;
  for (const Binding& binding : compiled_->bindings()) {
    if (binding.matches(identity)) held.insert(binding.role);
  }
  const std::vector<Role>& roles = compiled_->roles();
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (!held.contains(roles[i].name)) continue;
    grants.roles_.push_back(i);
    grants.limits_.tighten(roles[i].limits);
  }
  return grants;
}

Decision Policy::decide(const Identity& identity, Action action, const Name& name) const {
  Decision decision = grants_of(identity).decide(action, name);
  VALKYRIE_ASSERT(decision.allowed ==
                  (decision.ground == Ground::allowed || decision.ground == Ground::open));
  return decision;
}

std::string Policy::explain(const Identity& identity, Action action, const Name& name) const {
  const Grants grants = grants_of(identity);
  const Decision decision = grants.decide(action, name);
  std::string text = fmt::format("identity: {}\n", describe(identity));
  if (!is_open()) {
    for (const Binding& binding : compiled_->bindings()) {
      if (!binding.matches(identity)) continue;
      text += fmt::format("role: {} (bound by {})\n", printable(binding.role), binding.text());
    }
    for (const std::size_t index : grants.roles_) {
      const Role& role = compiled_->roles()[index];
      for (std::size_t i = 0; i < role.rules.size() && legal(action, name); ++i) {
        const Rule& rule = role.rules[i];
        if ((rule.action && *rule.action != action) || !matches(rule, name)) continue;
        text += fmt::format("rule: role \"{}\" {} it: rule {}, {}\n", printable(role.name),
                            verb_of(rule.effect), i + 1, rule.text);
      }
    }
  }
  const RoleLimits& limits = grants.limits();
  if (limits.qos_ceiling) text += fmt::format("qos ceiling: {}\n", to_string(*limits.qos_ceiling));
  if (limits.calls_per_second) text += fmt::format("rate: {}/s\n", *limits.calls_per_second);
  if (limits.in_flight_max) text += fmt::format("in flight: {}\n", *limits.in_flight_max);
  if (limits.require_pq) text += "key exchange: post-quantum\n";
  return text + fmt::format("{}: {} {}: {}\n", decision.allowed ? "allowed" : "denied",
                            to_string(action), name_text(name), decision.reason());
}

}  // namespace valkyrie::policy
