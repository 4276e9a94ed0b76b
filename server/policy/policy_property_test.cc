// The engine beside the plainest reading of its rules, over generated policies and questions.
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

#include "server/policy/policy.h"

namespace valkyrie::policy {
namespace {

using Random = std::mt19937;

template <class T>
const T& pick(Random& random, const std::vector<T>& from) {
  return from[std::uniform_int_distribution<std::size_t>(0, from.size() - 1)(random)];
}

std::size_t below(Random& random, std::size_t bound) {
  return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
}

// What the reference works on: texts, as people write them.
struct PlainRule {
  bool allows;
  std::string action;   // Or `*`.
  std::string pattern;  // Empty with `*`.
};
struct PlainRole {
  std::string name;
  std::vector<PlainRule> rules;
};
struct PlainBinding {
  std::string method;  // Or `any`.
  std::string tenant;
  bool group;
  std::string pattern;
  std::string role;
};
struct PlainPolicy {
  std::vector<PlainRole> roles;
  std::vector<PlainBinding> bindings;
};

bool plain_glob(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    return plain_glob(pattern.substr(1), text) ||
           (!text.empty() && plain_glob(pattern, text.substr(1)));
  }
  return !text.empty() && pattern[0] == text[0] && plain_glob(pattern.substr(1), text.substr(1));
}

std::vector<std::string> tokens_of(const std::string& text) {
  std::vector<std::string> tokens(1);
  for (const char c : text) {
    if (c == '.') {
      tokens.emplace_back();
    } else {
      tokens.back() += c;
    }
  }
  return tokens;
}

bool plain_filter(const std::vector<std::string>& filter, const std::vector<std::string>& subject,
                  bool node_too, std::size_t at = 0) {
  if (at == filter.size() || at == subject.size()) return filter.size() == subject.size();
  const bool wild = filter[at] == "*" || filter[at] == ">";
  if (wild && at == 0 && !node_too && subject[0] == "valkyrie") return false;
  if (filter[at] == ">") return true;
  return (wild || filter[at] == subject[at]) && plain_filter(filter, subject, node_too, at + 1);
}

// Every subject that can tell two of the filters below apart.
const std::vector<std::vector<std::string>>& all_subjects() {
  static const std::vector<std::vector<std::string>> all = [] {
    std::vector<std::vector<std::string>> found{{}};
    for (std::size_t from = 0, round = 0; round < 4; ++round) {
      const std::size_t end = found.size();
      for (; from < end; ++from) {
        for (const char* token : {"a", "b", "other", "valkyrie"}) {
          found.push_back(found[from]);
          found.back().emplace_back(token);
        }
      }
    }
    found.erase(found.begin());
    return found;
  }();
  return all;
}

bool plain_subjects(const PlainRule& rule, const std::string& name) {
  const auto asked = tokens_of(name);
  const auto pattern = tokens_of(rule.pattern);
  bool all = true;
  bool any = false;
  for (const auto& subject : all_subjects()) {
    if (!plain_filter(asked, subject, false)) continue;
    const bool matches = plain_filter(pattern, subject, !rule.allows);
    all = all && matches;
    any = any || matches;
  }
  return rule.allows ? all : any;
}

bool plain_service(const PlainRule& rule, const std::string& name) {
  const auto cut = [](const std::string& text) {
    const std::size_t slash = text.find('/');
    return std::pair(text.substr(0, slash),
                     slash == std::string::npos ? std::string() : text.substr(slash + 1));
  };
  const auto [service, method] = cut(name);
  const auto [service_pattern, method_pattern] = cut(rule.pattern);
  const auto of_node = [](const std::string& text) {
    return text == "valkyrie" || text.starts_with("valkyrie.");
  };
  if (rule.allows && of_node(service) && !of_node(service_pattern)) return false;
  if (!plain_glob(service_pattern, service)) return false;
  if (method_pattern.empty()) return true;
  if (method.empty()) return !rule.allows || method_pattern == "*";
  return plain_glob(method_pattern, method);
}

bool plain_match(const PlainRule& rule, const std::string& action, const std::string& name) {
  if (rule.action == "*") return true;
  if (rule.action != action) return false;
  if (action == "publish" || action == "subscribe") return plain_subjects(rule, name);
  if (action == "call" || action == "serve" || action == "watch") return plain_service(rule, name);
  return plain_glob(rule.pattern, name);
}

bool plain_holds(const PlainBinding& binding, const Identity& identity) {
  const std::string method(to_string(identity.method));
  if (binding.method == "any" ? method == "none" : binding.method != method) return false;
  if (!plain_glob(binding.tenant, identity.tenant)) return false;
  if (!binding.group) return plain_glob(binding.pattern, identity.subject);
  for (const std::string& group : identity.groups) {
    if (plain_glob(binding.pattern, group)) return true;
  }
  return false;
}

bool plain_decision(const PlainPolicy& policy, const Identity& identity, const std::string& action,
                    const std::string& name) {
  bool allowed = false;
  for (const PlainRole& role : policy.roles) {
    bool held = false;
    for (const PlainBinding& binding : policy.bindings) {
      held = held || (binding.role == role.name && plain_holds(binding, identity));
    }
    if (!held) continue;
    for (const PlainRule& rule : role.rules) {
      if (!plain_match(rule, action, name)) continue;
      if (!rule.allows) return false;
      allowed = true;
    }
  }
  return allowed;
}

const std::vector<std::string> kActionWords = {"call",      "serve",     "publish", "subscribe",
                                               "watch",     "submit",    "run",     "cancel",
                                               "read_logs", "administer"};
const std::vector<std::string> kServices = {"a",        "a.A",           "a.b.B",         "b.B",
                                            "valkyrie", "valkyrie.Node", "valkyries.Node"};
const std::vector<std::string> kServicePatterns = {"*",   "a",  "a.*",        "a.A",      "*.B",
                                                   "*a*", "v*", "valkyrie.*", "valkyrie*"};
const std::vector<std::string> kMethods = {"", "/Get", "/GetAll", "/Put"};
const std::vector<std::string> kMethodPatterns = {"", "/*", "/Get*", "/Put", "/*t*l*"};
const std::vector<std::string> kSubjects = {"a", "a.b", "a.b.a", "b", "valkyrie.a"};
const std::vector<std::string> kFilters = {">",     "*",   "a.>", "a.*",        "*.b",
                                           "*.*.a", "a.b", "b",   "valkyrie.>", "valkyrie.*"};
const std::vector<std::string> kPlainNames = {"build", "build-all", "deploy", "x"};
const std::vector<std::string> kPlainPatterns = {"*", "build*", "build", "*l*", "x"};
const std::vector<std::string> kTexts = {"", "ada", "adam", "ci@example.com", "uid:0"};
const std::vector<std::string> kTextPatterns = {"*", "ada", "ada*", "*@example.com", "uid:*"};
const std::vector<std::string> kTenants = {"", "", "acme", "acme-eu"};
const std::vector<std::string> kTenantPatterns = {"", "", "*", "acme", "acme*"};

std::string name_for(Random& random, const std::string& action) {
  if (action == "call") return pick(random, kServices) + pick(random, kMethods);
  if (action == "serve" || action == "watch") return pick(random, kServices);
  if (action == "publish") return pick(random, kSubjects);
  if (action == "subscribe") return pick(random, below(random, 2) == 0 ? kSubjects : kFilters);
  return pick(random, kPlainNames);
}

std::string pattern_for(Random& random, const std::string& action) {
  if (action == "call") return pick(random, kServicePatterns) + pick(random, kMethodPatterns);
  if (action == "serve" || action == "watch") return pick(random, kServicePatterns);
  if (action == "publish" || action == "subscribe") return pick(random, kFilters);
  return pick(random, kPlainPatterns);
}

PlainPolicy any_policy(Random& random) {
  PlainPolicy policy;
  for (std::size_t i = 0, count = below(random, 5); i < count; ++i) {
    PlainRole role{.name = std::to_string(i), .rules = {}};
    for (std::size_t j = 0, rules = below(random, 20); j < rules; ++j) {
      const bool all = below(random, 12) == 0;
      const std::string action = all ? "*" : pick(random, kActionWords);
      role.rules.push_back({.allows = below(random, 5) != 0,
                            .action = action,
                            .pattern = all ? "" : pattern_for(random, action)});
    }
    policy.roles.push_back(std::move(role));
  }
  for (std::size_t i = 0, count = policy.roles.empty() ? 0 : below(random, 12); i < count; ++i) {
    policy.bindings.push_back(
        {.method =
             below(random, 2) == 0
                 ? "any"
                 : std::string(to_string(static_cast<AuthenticationMethod>(below(random, 6)))),
         .tenant = pick(random, kTenantPatterns),
         .group = below(random, 3) == 0,
         .pattern = pick(random, kTextPatterns),
         .role = pick(random, policy.roles).name});
  }
  return policy;
}

Identity any_identity(Random& random) {
  Identity identity{.method = static_cast<AuthenticationMethod>(below(random, 6)),
                    .tenant = pick(random, kTenants),
                    .subject = pick(random, kTexts)};
  for (std::size_t i = below(random, 3); i > 0; --i) {
    identity.groups.push_back(pick(random, kTexts));
  }
  return identity;
}

PolicyDraft draft_of(const PlainPolicy& plain) {
  PolicyDraft draft;
  for (const PlainRole& role : plain.roles) {
    draft.roles.push_back({.name = role.name});
    for (const PlainRule& rule : role.rules) {
      auto parsed = Rule::parse(rule.allows ? Effect::allow : Effect::deny,
                                rule.action == "*" ? "*" : rule.action + ':' + rule.pattern);
      EXPECT_TRUE(parsed.has_value()) << parsed.error();
      draft.roles.back().rules.push_back(*std::move(parsed));
    }
  }
  for (const PlainBinding& binding : plain.bindings) {
    draft.bindings.push_back({.method = parse_method(binding.method),
                              .tenant = binding.tenant,
                              .of = binding.group ? BindingOf::group : BindingOf::subject,
                              .pattern = binding.pattern,
                              .role = binding.role});
  }
  return draft;
}

TEST(PolicyProperty, decides_as_the_plain_reading_of_generated_policies) {
  std::size_t allowed = 0;
  std::size_t asked = 0;
  for (unsigned seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    const PlainPolicy plain = any_policy(random);
    const auto policy = Policy::compile(draft_of(plain));
    ASSERT_TRUE(policy.has_value()) << policy.error();
    for (int i = 0; i < 25; ++i) {
      const Identity identity = any_identity(random);
      const std::string word = pick(random, kActionWords);
      const std::string text = name_for(random, word);
      const Action action = *parse_action(word);
      const Name name = parse_name(action, text);
      const Decision decision = policy->decide(identity, action, name);
      ASSERT_EQ(decision.allowed, plain_decision(plain, identity, word, text))
          << policy->explain(identity, action, name);
      allowed += decision.allowed ? 1 : 0;
      ++asked;
    }
  }
  // Neither answer may be so rare that the comparison says nothing.
  EXPECT_GT(allowed, asked / 20);
  EXPECT_LT(allowed, asked / 2);
}

TEST(PolicyProperty, another_deny_rule_never_allows_more) {
  for (unsigned seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    const PlainPolicy plain = any_policy(random);
    if (plain.roles.empty()) continue;
    const PolicyDraft draft = draft_of(plain);
    PolicyDraft stricter = draft;
    const std::string denied = pick(random, kActionWords);
    auto rule = Rule::parse(Effect::deny, denied + ':' + pattern_for(random, denied));
    ASSERT_TRUE(rule.has_value());
    stricter.roles[below(random, stricter.roles.size())].rules.push_back(*rule);
    const auto before = Policy::compile(draft);
    const auto after = Policy::compile(stricter);
    for (int i = 0; i < 10; ++i) {
      const Identity identity = any_identity(random);
      const std::string text = name_for(random, denied);
      const Action action = *parse_action(denied);
      const Name name = parse_name(action, text);
      if (!after->decide(identity, action, name).allowed) continue;
      ASSERT_TRUE(before->decide(identity, action, name).allowed)
          << after->explain(identity, action, name);
    }
  }
}

}  // namespace
}  // namespace valkyrie::policy
