#include "protocol/subject.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace valkyrie::protocol {
namespace {

std::string verdict(std::string_view text, SubjectForm form = SubjectForm::subject) {
  const auto error = check_subject(text, form);
  return error ? std::string(to_string(*error)) : "ok";
}

std::string tokens(std::size_t count) {
  std::string text = "t";
  for (std::size_t i = 1; i < count; ++i) text += ".t";
  return text;
}

TEST(Subject, is_tokens_joined_by_single_dots) {
  EXPECT_EQ(verdict("a"), "ok");
  EXPECT_EQ(verdict("Orders.eu_west-1.0"), "ok");
  for (const std::string_view bad : {".a", "a.", "a..b", "."}) {
    EXPECT_EQ(verdict(bad), to_string(SubjectError::empty_token)) << bad;
  }
  EXPECT_EQ(verdict(""), to_string(SubjectError::empty));
}

TEST(Subject, takes_letters_digits_underscore_and_dash_and_no_other_byte) {
  const std::string_view legal = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (c == '.' || c == '*' || c == '>') continue;
    const bool is_legal = legal.find(c) != std::string_view::npos;
    for (const SubjectForm form : {SubjectForm::subject, SubjectForm::filter}) {
      EXPECT_EQ(verdict(std::string("a.x") + c, form),
                is_legal ? "ok" : to_string(SubjectError::illegal_byte))
          << byte;
    }
  }
}

TEST(Subject, has_16_tokens_at_most) {
  EXPECT_EQ(verdict(tokens(16)), "ok");
  EXPECT_EQ(verdict(tokens(17)), to_string(SubjectError::too_many_tokens));
  EXPECT_EQ(verdict(tokens(15) + ".>", SubjectForm::filter), "ok");
  EXPECT_EQ(verdict(tokens(16) + ".>", SubjectForm::filter),
            to_string(SubjectError::too_many_tokens));
}

TEST(Subject, has_255_bytes_at_most) {
  EXPECT_EQ(verdict(std::string(255, 'a')), "ok");
  EXPECT_EQ(verdict(std::string(256, 'a')), to_string(SubjectError::too_long));
}

TEST(Subject, has_no_wildcards) {
  for (const std::string_view bad : {"*", ">", "a.*", "a.>", "a.*.b", "a*", "a>b"}) {
    EXPECT_EQ(verdict(bad), to_string(SubjectError::wildcard)) << bad;
  }
}

TEST(Filter, has_wildcards_as_whole_tokens_and_tail_only_at_the_end) {
  for (const std::string_view good : {"*", ">", "a.*", "a.>", "*.*", "*.>", "a.*.b", "a.b"}) {
    EXPECT_EQ(verdict(good, SubjectForm::filter), "ok") << good;
  }
  for (const std::string_view bad : {"a*", "*a", "a.>.b", ">.a", ">>", "**", "a.b>"}) {
    EXPECT_EQ(verdict(bad, SubjectForm::filter), to_string(SubjectError::wildcard)) << bad;
  }
}

TEST(Subject, of_the_node_begins_with_the_token_valkyrie) {
  EXPECT_TRUE(is_node_subject("valkyrie"));
  EXPECT_TRUE(is_node_subject("valkyrie.>"));
  EXPECT_FALSE(is_node_subject("valkyries"));
  EXPECT_FALSE(is_node_subject("Valkyrie.a"));
  EXPECT_FALSE(is_node_subject("a.valkyrie"));
}

TEST(SubjectTokens, are_the_parts_between_dots) {
  const SubjectTokens parts("a.bc.>");
  EXPECT_EQ(std::vector<std::string_view>(parts.begin(), parts.end()),
            (std::vector<std::string_view>{"a", "bc", ">"}));
}

}  // namespace
}  // namespace valkyrie::protocol
