#include "server/policy/pattern.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "protocol/subject.h"

namespace valkyrie::policy {
namespace {

NamePattern pattern_of(Action action, std::string_view text) {
  auto pattern = NamePattern::parse(action, text);
  EXPECT_TRUE(pattern.has_value()) << text;
  return pattern.value_or(NamePattern());
}

bool covers(Action action, std::string_view pattern, std::string_view name) {
  return pattern_of(action, pattern).covers(parse_name(action, name));
}

bool touches(Action action, std::string_view pattern, std::string_view name) {
  return pattern_of(action, pattern).touches(parse_name(action, name));
}

// All texts of up to `length` of these bytes.
std::vector<std::string> words(std::string_view bytes, std::size_t length) {
  std::vector<std::string> all{""};
  for (std::size_t from = 0, round = 0; round < length; ++round) {
    const std::size_t end = all.size();
    for (; from < end; ++from) {
      for (const char c : bytes) all.push_back(all[from] + c);
    }
  }
  return all;
}

bool glob_by_definition(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.front() != '*') {
    return !text.empty() && text.front() == pattern.front() &&
           glob_by_definition(pattern.substr(1), text.substr(1));
  }
  for (std::size_t taken = 0; taken <= text.size(); ++taken) {
    if (glob_by_definition(pattern.substr(1), text.substr(taken))) return true;
  }
  return false;
}

TEST(Glob, matches_as_defined_for_all_short_texts) {
  const auto texts = words("ab", 5);
  for (const std::string& pattern : words("ab*", 4)) {
    for (const std::string& text : texts) {
      ASSERT_EQ(glob_matches(pattern, text), glob_by_definition(pattern, text))
          << '"' << pattern << "\" \"" << text << '"';
    }
  }
}

TEST(Glob, many_stars_do_not_take_exponential_time) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  EXPECT_FALSE(glob_matches(pattern + "b", std::string(256, 'a')));
}

TEST(Glob, two_touch_if_a_text_is_matched_by_both) {
  const auto texts = words("ab", 5);
  const auto patterns = words("ab*", 3);
  for (const std::string& a : patterns) {
    for (const std::string& b : patterns) {
      const bool both = std::ranges::any_of(texts, [&](const std::string& text) {
        return glob_by_definition(a, text) && glob_by_definition(b, text);
      });
      ASSERT_EQ(globs_touch(a, b), both) << '"' << a << "\" \"" << b << '"';
    }
  }
}

// All texts of up to three of these tokens.
std::vector<std::string> dotted(const std::vector<std::string>& tokens, std::size_t length) {
  std::vector<std::string> all(tokens);
  for (std::size_t from = 0, round = 1; round < length; ++round) {
    const std::size_t end = all.size();
    for (; from < end; ++from) {
      for (const std::string& token : tokens) all.push_back(all[from] + '.' + token);
    }
  }
  return all;
}

std::vector<std::string> legal_filters() {
  std::vector<std::string> filters;
  for (std::string& text : dotted({"a", "valkyrie", "*", ">"}, 3)) {
    if (!protocol::check_subject(text, protocol::SubjectForm::filter)) {
      filters.push_back(std::move(text));
    }
  }
  return filters;
}

// A filter whose first wildcard means the node's subjects too.
bool matches_node_too(std::string_view filter, std::string_view subject) {
  const std::string mark = "x.";
  return protocol::filter_matches(mark + std::string(filter), mark + std::string(subject));
}

TEST(FilterPattern, covers_and_touches_as_the_subjects_themselves_say) {
  // `b` is in no filter; a fourth token tells `>` from `*.*`.
  const auto subjects = dotted({"a", "b", "valkyrie"}, 4);
  for (const std::string& pattern : legal_filters()) {
    for (const std::string& filter : legal_filters()) {
      bool all = true;
      bool any = false;
      for (const std::string& subject : subjects) {
        if (!protocol::filter_matches(filter, subject)) continue;
        all = all && protocol::filter_matches(pattern, subject);
        any = any || matches_node_too(pattern, subject);
      }
      ASSERT_EQ(filter_covers(pattern, filter), all) << pattern << " over " << filter;
      ASSERT_EQ(filter_touches(pattern, filter), any) << pattern << " and " << filter;
    }
  }
}

TEST(NamePattern, service_without_method_means_all_methods) {
  EXPECT_TRUE(covers(Action::call, "hello.Greeter", "hello.Greeter/SayHello"));
  EXPECT_TRUE(covers(Action::call, "hello.*", "hello.deep.Greeter/SayHello"));
  EXPECT_TRUE(covers(Action::call, "hello.Greeter", "hello.Greeter"));
  EXPECT_FALSE(covers(Action::call, "hello.Greeter", "hello.Greeter2/SayHello"));
  EXPECT_FALSE(covers(Action::call, "hello.*", "hello/SayHello"));
}

TEST(NamePattern, whole_service_is_covered_only_by_all_methods_but_touched_by_each) {
  EXPECT_FALSE(covers(Action::call, "hello.Greeter/Say*", "hello.Greeter"));
  EXPECT_TRUE(covers(Action::call, "hello.Greeter/**", "hello.Greeter"));
  EXPECT_TRUE(touches(Action::call, "hello.Greeter/SayHello", "hello.Greeter"));
  EXPECT_FALSE(touches(Action::call, "hello.Greeter/SayHello", "hello.Greeter/SayBye"));
}

TEST(NamePattern, version_of_a_service_does_not_matter) {
  EXPECT_TRUE(covers(Action::call, "hello.Greeter/SayHello", "hello.Greeter@2/SayHello"));
  EXPECT_TRUE(covers(Action::serve, "hello.Greeter", "hello.Greeter@2.1-rc"));
}

TEST(NamePattern, names_of_the_node_are_allowed_only_when_spelled_but_denied_by_wildcards) {
  for (const std::string_view wide : {"*", "v*", "*.Node", "valkyrie*"}) {
    EXPECT_FALSE(covers(Action::call, wide, "valkyrie.Node/Echo")) << wide;
    EXPECT_TRUE(touches(Action::call, wide, "valkyrie.Node/Echo")) << wide;
  }
  EXPECT_TRUE(covers(Action::call, "valkyrie.Node/Echo", "valkyrie.Node/Echo"));
  EXPECT_TRUE(covers(Action::serve, "valkyrie.*", "valkyrie.Node"));
  EXPECT_TRUE(covers(Action::call, "*", "valkyries.Node/Echo"));
  EXPECT_FALSE(covers(Action::publish, ">", "valkyrie.events"));
  EXPECT_TRUE(touches(Action::publish, ">", "valkyrie.events"));
  EXPECT_TRUE(covers(Action::subscribe, "valkyrie.>", "valkyrie.*"));
  EXPECT_TRUE(NamePattern().covers({.name = "valkyrie.Node", .method = "Echo"}));
}

TEST(NamePattern, watching_all_names_of_a_prefix_is_covered_and_touched_as_a_whole) {
  EXPECT_TRUE(covers(Action::watch, "hello.*", "hello.a*"));
  EXPECT_FALSE(covers(Action::watch, "hello.*", "hello*"));
  EXPECT_FALSE(covers(Action::watch, "hello.*", "*"));
  EXPECT_TRUE(touches(Action::watch, "hello.Secret", "hello*"));
  EXPECT_TRUE(touches(Action::watch, "*.Secret", "hello*"));
  EXPECT_FALSE(touches(Action::watch, "other.*", "hello*"));
}

TEST(NamePattern, slashes_cannot_move_a_name_into_another_service) {
  EXPECT_FALSE(pattern_of(Action::call, "a/b*").covers({.name = "a/b", .method = "c"}));
  EXPECT_TRUE(pattern_of(Action::call, "a/b*").covers({.name = "a", .method = "b/c"}));
}

TEST(NamePattern, text_that_is_no_pattern_is_refused) {
  const std::string long_name(kNameBytesMax + 1, 'a');
  EXPECT_TRUE(NamePattern::parse(Action::call, long_name.substr(1)).has_value());
  EXPECT_FALSE(NamePattern::parse(Action::call, long_name).has_value());
  EXPECT_FALSE(NamePattern::parse(Action::call, "a/" + long_name).has_value());
  EXPECT_FALSE(NamePattern::parse(Action::call, "").has_value());
  EXPECT_FALSE(NamePattern::parse(Action::call, "a/").has_value());
  EXPECT_FALSE(NamePattern::parse(Action::call, "a@1/b").has_value());
  EXPECT_FALSE(NamePattern::parse(Action::call, "a b").has_value());
  EXPECT_FALSE(NamePattern::parse(Action::serve, "a/b").has_value());
  EXPECT_FALSE(NamePattern::parse(Action::publish, "a.>.b").has_value());
  EXPECT_FALSE(NamePattern::parse(Action::subscribe, "a..b").has_value());
}

TEST(LegalName, sizes_and_grammar_are_checked_on_both_sides) {
  const std::string longest(kNameBytesMax, 'a');
  EXPECT_TRUE(legal(Action::call, {.name = longest, .method = longest}));
  EXPECT_FALSE(legal(Action::call, {.name = longest + 'a', .method = "m"}));
  EXPECT_FALSE(legal(Action::call, {.name = "s", .method = longest + 'a'}));
  EXPECT_FALSE(legal(Action::call, {.name = ""}));
  EXPECT_FALSE(legal(Action::serve, {.name = "s", .method = "m"}));
  EXPECT_TRUE(legal(Action::subscribe, {.name = "a.*"}));
  EXPECT_FALSE(legal(Action::publish, {.name = "a.*"}));
  EXPECT_FALSE(legal(Action::publish, {.name = "a", .method = "m"}));
}

}  // namespace
}  // namespace valkyrie::policy
