#include "server/policy/policy.h"

#include <gtest/gtest.h>

namespace valkyrie::policy {
namespace {

Rule rule(Effect effect, std::string_view text) {
  auto parsed = Rule::parse(effect, text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(Rule{.effect = Effect::deny});
}

Rule allow(std::string_view text) { return rule(Effect::allow, text); }
Rule deny(std::string_view text) { return rule(Effect::deny, text); }

Binding bind_token(std::string subject, std::string role) {
  return {.method = AuthenticationMethod::token,
          .pattern = std::move(subject),
          .role = std::move(role)};
}

Policy compiled(PolicyDraft draft) {
  auto policy = Policy::compile(std::move(draft));
  EXPECT_TRUE(policy.has_value()) << policy.error();
  return policy.value_or(Policy());
}

Identity token(std::string subject, std::vector<std::string> groups = {}) {
  return {.method = AuthenticationMethod::token,
          .subject = std::move(subject),
          .groups = std::move(groups)};
}

Decision ask(const Policy& policy, const Identity& who, Action action, std::string_view name) {
  return policy.decide(who, action, parse_name(action, name));
}

TEST(Policy, without_configuration_everything_is_allowed_and_says_so) {
  const Decision decision = ask(Policy(), {}, Action::administer, "bans");
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.ground, Ground::open);
  EXPECT_TRUE(Policy().is_open());
  EXPECT_FALSE(ask(Policy(), {}, Action::publish, "a..b").allowed);
}

TEST(Policy, configured_without_rules_denies_everything) {
  const Policy policy = compiled({});
  for (std::size_t i = 0; i < kActions; ++i) {
    const Decision decision = ask(policy, token("ci"), static_cast<Action>(i), "a");
    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.ground, Ground::no_role);
  }
}

TEST(Policy, deny_of_one_role_beats_allow_of_another) {
  const Policy policy = compiled({
      .roles = {{.name = "all", .rules = {allow("call:deploy.*")}},
                {.name = "careful", .rules = {deny("call:deploy.Db/Drop*")}}},
      .bindings = {bind_token("ci", "careful"), bind_token("ci", "all")},
  });
  EXPECT_TRUE(ask(policy, token("ci"), Action::call, "deploy.Db/Read").allowed);
  const Decision denied = ask(policy, token("ci"), Action::call, "deploy.Db/DropAll");
  EXPECT_FALSE(denied.allowed);
  EXPECT_EQ(denied.role, "careful");
  EXPECT_EQ(denied.rule_index, 0U);
  EXPECT_EQ(denied.reason(), "role \"careful\" denies it: rule 1, call:deploy.Db/Drop*");
}

TEST(Policy, methods_of_authentication_are_not_interchangeable) {
  const Policy policy = compiled({
      .roles = {{.name = "root", .rules = {allow("*")}}},
      .bindings = {{.method = AuthenticationMethod::unix_user, .pattern = "uid:0", .role = "root"}},
  });
  const Identity root{.method = AuthenticationMethod::unix_user, .subject = "uid:0"};
  EXPECT_TRUE(ask(policy, root, Action::administer, "bans").allowed);
  EXPECT_FALSE(ask(policy, token("uid:0"), Action::administer, "bans").allowed);
}

TEST(Policy, any_method_does_not_mean_none) {
  const Policy policy = compiled({
      .roles = {{.name = "guest", .rules = {allow("call:hello.*")}}},
      .bindings = {{.pattern = "*", .role = "guest"}},
  });
  EXPECT_TRUE(ask(policy, token("ada"), Action::call, "hello.A/B").allowed);
  EXPECT_EQ(ask(policy, {}, Action::call, "hello.A/B").ground, Ground::no_role);
}

TEST(Policy, unauthenticated_peers_are_bound_only_by_name) {
  const Policy policy = compiled({
      .roles = {{.name = "anyone", .rules = {allow("call:hello.*")}}},
      .bindings = {{.method = AuthenticationMethod::none, .pattern = "*", .role = "anyone"}},
  });
  EXPECT_TRUE(ask(policy, {}, Action::call, "hello.A/B").allowed);
  EXPECT_FALSE(ask(policy, token("ada"), Action::call, "hello.A/B").allowed);
}

TEST(Policy, binding_without_a_tenant_holds_in_no_other_one) {
  PolicyDraft draft{.roles = {{.name = "ops", .rules = {allow("*")}}},
                    .bindings = {bind_token("admin", "ops")}};
  Identity stranger = token("admin");
  stranger.tenant = "acme";
  EXPECT_FALSE(ask(compiled(draft), stranger, Action::cancel, "job").allowed);
  draft.bindings[0].tenant = "acm*";
  EXPECT_TRUE(ask(compiled(draft), stranger, Action::cancel, "job").allowed);
  EXPECT_FALSE(ask(compiled(draft), token("admin"), Action::cancel, "job").allowed);
}

TEST(Policy, groups_give_roles_but_a_subject_of_their_name_does_not) {
  const Policy policy = compiled({
      .roles = {{.name = "dev", .rules = {allow("subscribe:orders.>")}}},
      .bindings = {{.method = AuthenticationMethod::token,
                    .of = BindingOf::group,
                    .pattern = "devs",
                    .role = "dev"}},
  });
  EXPECT_TRUE(ask(policy, token("ada", {"x", "devs"}), Action::subscribe, "orders.*").allowed);
  EXPECT_FALSE(ask(policy, token("devs"), Action::subscribe, "orders.*").allowed);
  EXPECT_FALSE(ask(policy, token("ada", {"devs"}), Action::subscribe, ">").allowed);
}

TEST(Policy, filter_that_reaches_one_denied_subject_is_denied) {
  const Policy policy = compiled({
      .roles = {{.name = "r", .rules = {allow("subscribe:>"), deny("subscribe:pay.*.card")}}},
      .bindings = {bind_token("*", "r")},
  });
  EXPECT_TRUE(ask(policy, token("a"), Action::subscribe, "pay.1.amount").allowed);
  for (const std::string_view filter : {">", "pay.>", "*.*.*", "pay.1.*", "pay.1.card"}) {
    EXPECT_EQ(ask(policy, token("a"), Action::subscribe, filter).ground, Ground::denied) << filter;
  }
}

TEST(Policy, strictest_limit_of_all_roles_holds) {
  using protocol::QosClass;
  const Policy policy = compiled({
      .roles = {{.name = "a", .limits = {QosClass::system, 100, std::nullopt}},
                {.name = "b", .limits = {QosClass::data, 5000, 64}},
                {.name = "silent"}},
      .bindings = {bind_token("*", "a"), bind_token("b*", "b"), bind_token("*", "silent")},
  });
  EXPECT_EQ(policy.grants_of(token("a")).limits(),
            (RoleLimits{QosClass::system, 100, std::nullopt}));
  EXPECT_EQ(policy.grants_of(token("b")).limits(), (RoleLimits{QosClass::data, 100, 64}));
  EXPECT_EQ(policy.grants_of({}).limits(), RoleLimits{});
}

TEST(Policy, grants_outlive_the_policy_they_came_from) {
  Policy policy = compiled({.roles = {{.name = "r", .rules = {allow("serve:a.*")}}},
                            .bindings = {bind_token("a", "r")}});
  const Grants grants = policy.grants_of(token("a"));
  policy = Policy();
  const Decision decision = grants.decide(Action::serve, {.name = "a.B"});
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.role, "r");
  EXPECT_EQ(grants.roles(), std::vector<std::string_view>{"r"});
}

TEST(Identity, value_is_what_services_are_told) {
  Identity identity = token("ada");
  identity.tenant = "acme";
  EXPECT_EQ(identity_value(identity), std::string("\x04\x04"
                                                  "acmeada"));
  EXPECT_EQ(subject_of_value(identity_value(identity)), "ada");
  EXPECT_EQ(identity_of_value(identity_value(identity)), identity);
  EXPECT_EQ(identity_of_value(""), Identity());
  EXPECT_EQ(identity_value({}), "");
}

TEST(Policy, draft_with_a_fault_is_refused_by_name) {
  const Role role{.name = "r"};
  EXPECT_EQ(Policy::compile({.roles = {role, role}}).error(), "role \"r\" is there twice");
  EXPECT_EQ(Policy::compile({.roles = {role}, .bindings = {bind_token("a", "s")}}).error(),
            "the binding of token subject a names role \"s\", which is not there");
  EXPECT_FALSE(Policy::compile({.roles = {{.name = ""}}}).has_value());
  EXPECT_FALSE(Policy::compile({.roles = {role}, .bindings = {bind_token("", "r")}}).has_value());
}

TEST(Policy, sizes_are_bounded_on_both_sides) {
  Role big{.name = "big"};
  big.rules.assign(kRulesMax, allow("*"));
  EXPECT_TRUE(Policy::compile({.roles = {big}}).has_value());
  big.rules.push_back(allow("*"));
  EXPECT_FALSE(Policy::compile({.roles = {big}}).has_value());
  PolicyDraft draft;
  for (std::size_t i = 0; i < kRolesMax; ++i) draft.roles.push_back({.name = std::to_string(i)});
  draft.bindings.assign(kBindingsMax, bind_token("a", "0"));
  EXPECT_TRUE(Policy::compile(draft).has_value());
  draft.bindings.push_back(draft.bindings.back());
  EXPECT_FALSE(Policy::compile(draft).has_value());
  draft.bindings.clear();
  draft.roles.push_back({.name = "more"});
  EXPECT_FALSE(Policy::compile(draft).has_value());
}

TEST(Policy, explanation_names_roles_bindings_rules_and_limits) {
  const Policy policy = compiled({
      .roles = {{.name = "dev",
                 .rules = {deny("call:deploy.Db"), allow("call:deploy.*")},
                 .limits = {.calls_per_second = 50}}},
      .bindings = {{.method = AuthenticationMethod::token,
                    .of = BindingOf::group,
                    .pattern = "devs",
                    .role = "dev"}},
  });
  EXPECT_EQ(policy.explain(token("ada\n", {"devs"}), Action::call,
                           parse_name(Action::call, "deploy.Db/Read")),
            "identity: token ada?\n"
            "role: dev (bound by token group devs)\n"
            "rule: role \"dev\" denies it: rule 1, call:deploy.Db\n"
            "rule: role \"dev\" allows it: rule 2, call:deploy.*\n"
            "rate: 50/s\n"
            "denied: call deploy.Db/Read: role \"dev\" denies it: rule 1, call:deploy.Db\n");
}

TEST(Rule, text_is_an_action_and_a_pattern) {
  EXPECT_EQ(allow("read_logs:build-*").action, Action::read_logs);
  for (const std::string_view wrong : {"", "call", "call:", ":x", "calls:x", "*:x", "call x"}) {
    EXPECT_FALSE(Rule::parse(Effect::allow, wrong).has_value()) << wrong;
  }
}

}  // namespace
}  // namespace valkyrie::policy
