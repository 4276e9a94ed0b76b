#include "server/policy/json_text.h"

#include <gtest/gtest.h>

namespace valkyrie::policy {
namespace {

TEST(JsonText, escapes_what_would_end_or_break_a_string) {
  EXPECT_EQ(json_quote("plain \xc3\xa4"), "\"plain \xc3\xa4\"");
  EXPECT_EQ(json_quote("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(json_quote(std::string("\0\n\x1f\x7f", 4)), R"("\u0000\u000a\u001f\u007f")");
}

}  // namespace
}  // namespace valkyrie::policy
