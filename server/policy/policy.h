// Who may do what: roles of rules, bindings of identities and groups to roles, and the decision.
// For operators: docs/operating/permissions.md.
//
// Two kinds of things are in a role. What it grants adds up over the roles that an identity has.
// What it withholds, a deny rule or a limit, no other role gives back: a deny rule of one role
// beats the allow rules of all, and of each limit the strictest holds. So a role can be judged by
// reading it alone: nothing it forbids comes back through another one.
//
// No I/O, no clock, no threads. A Policy never changes and may be used from any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/constants.h"
#include "server/policy/action.h"
#include "server/policy/identity.h"
#include "server/policy/pattern.h"

namespace valkyrie::policy {

// Roles of a policy, and bindings: enough for people to keep in mind, and bounds what a decision
// takes.
inline constexpr std::size_t kRolesMax = 256;
inline constexpr std::size_t kBindingsMax = 4096;
// Rules of one role.
inline constexpr std::size_t kRulesMax = 1024;

// What a rule does to the names that it matches.
enum class Effect : std::uint8_t { allow, deny };

// One line of a role.
struct Rule {
  Effect effect = Effect::allow;
  std::optional<Action> action{};  // Nullopt: all of them, on all names.
  NamePattern pattern{};
  std::string text{};  // As it was written, such as `call:deploy.*`.

  // Reads `ACTION:PATTERN`, or `*` for everything that there is. The error is for people.
  [[nodiscard]] static std::expected<Rule, std::string> parse(Effect effect, std::string_view text);
};

// Limits of an identity; nullopt: none of its roles says one.
struct RoleLimits {
  std::optional<protocol::QosClass> qos_ceiling{};  // The most urgent class it may use.
  std::optional<std::uint32_t> calls_per_second{};  // Calls and messages that it begins.
  std::optional<std::uint32_t> in_flight_max{};     // Its calls without an answer yet.
  bool require_pq = false;  // It comes in only by a hybrid key exchange, or inside one machine.

  // Makes each limit the stricter one of both.
  void tighten(const RoleLimits& other);
  bool operator==(const RoleLimits&) const = default;
};

// A named set of rules and limits.
struct Role {
  std::string name;
  std::vector<Rule> rules{};
  RoleLimits limits{};
};

// What a binding looks at.
enum class BindingOf : std::uint8_t { subject, group };

// Gives a role to whoever meets all its conditions.
struct Binding {
  // Nullopt: any. Methods are not interchangeable: an issuer of tokens could otherwise name a
  // subject like one that the kernel or a certificate vouches for.
  std::optional<AuthenticationMethod> method{};
  std::string tenant{};  // `*` stands for any bytes or none; empty is the node's own tenant alone.
  BindingOf of = BindingOf::subject;
  std::string pattern;  // Of the subject, or of one of the groups; `*` as in `tenant`.
  std::string role;

  // Whether the identity meets them.
  [[nodiscard]] bool matches(const Identity& identity) const;
  // The binding as people read it, such as `token group devs`.
  [[nodiscard]] std::string text() const;
};

// What a policy is made of.
struct PolicyDraft {
  std::vector<Role> roles{};
  std::vector<Binding> bindings{};
};

// On what a decision rests.
enum class Ground : std::uint8_t {
  open,          // No policy was configured: who came in through a local door may do all.
  allowed,       // A rule allows it, none denies it.
  denied,        // A rule denies it.
  no_rule,       // No rule of the identity's roles allows it.
  no_role,       // The identity has no role.
  illegal_name,  // The action cannot be done to such a name.
};

// The one word for a ground in logs and audit records.
[[nodiscard]] std::string_view to_string(Ground ground);

// The answer to one question. The views are valid as long as the policy or a Grants of it.
struct Decision {
  bool allowed = false;
  Ground ground = Ground::no_role;
  std::string_view role{};     // Whose rule decided; empty if none did.
  std::size_t rule_index = 0;  // Which of that role's rules, from 0.
  std::string_view rule{};     // Its text.

  // Why, for people: `role "ci" denies it: rule 2, call:deploy.Secret`.
  [[nodiscard]] std::string reason() const;
};

class CompiledPolicy;

// What a policy gives to one identity: resolve it once for a session and ask it often. Keeps the
// policy alive. Deciding does not allocate.
class Grants {
 public:
  // Of the open policy.
  Grants() = default;

  // Whether there is no policy: everything is allowed.
  [[nodiscard]] bool is_open() const { return policy_ == nullptr; }
  // Decides about `name`, of which nothing is assumed.
  [[nodiscard]] Decision decide(Action action, const Name& name) const;
  // The strictest of the limits of all its roles.
  [[nodiscard]] const RoleLimits& limits() const { return limits_; }
  // The names of its roles, in the order of the policy.
  [[nodiscard]] std::vector<std::string_view> roles() const;

 private:
  friend class Policy;
  explicit Grants(std::shared_ptr<const CompiledPolicy> policy) : policy_(std::move(policy)) {}

  std::shared_ptr<const CompiledPolicy> policy_;  // Null: open.
  std::vector<std::size_t> roles_;
  RoleLimits limits_;
};

// An immutable policy, cheap to copy.
class Policy {
 public:
  // The policy of a node for which none was configured: everything is allowed. Its doors must be
  // local ones.
  Policy() = default;
  // Denies what `draft` does not allow. The error, for people, names what is wrong: a role that is
  // there twice or that a binding lacks, or one of the limits above.
  [[nodiscard]] static std::expected<Policy, std::string> compile(PolicyDraft draft);

  // Whether none was configured.
  [[nodiscard]] bool is_open() const { return compiled_ == nullptr; }
  // What the identity may do.
  [[nodiscard]] Grants grants_of(const Identity& identity) const;
  // One decision. Who asks more than one thing of an identity should keep its Grants.
  [[nodiscard]] Decision decide(const Identity& identity, Action action, const Name& name) const;
  // The decision and all that led to it, for people, one fact a line: identity, roles with the
  // bindings that gave them, every rule that matches, limits, and the decision last.
  [[nodiscard]] std::string explain(const Identity& identity, Action action,
                                    const Name& name) const;

 private:
  std::shared_ptr<const CompiledPolicy> compiled_;
};

}  // namespace valkyrie::policy
