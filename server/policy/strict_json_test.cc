#include "server/policy/strict_json.h"

#include <gtest/gtest.h>
#include <string>

#include <boost/json/serialize.hpp>

namespace valkyrie::policy {
namespace {

constexpr JsonBounds kBounds{.bytes_max = 100, .depth_max = 3, .values_max = 6};

JsonError error_of(std::string_view text) {
  const auto object = parse_strict_json(text, kBounds);
  EXPECT_FALSE(object.has_value()) << text;
  return object ? JsonError::malformed : object.error();
}

TEST(StrictJson, object_is_read_as_it_stands) {
  const std::string text = R"({"a":[1,-2.5E0,true,null],"b":"\u00e4"})";
  const auto object = parse_strict_json(text, {.bytes_max = text.size()});
  ASSERT_TRUE(object.has_value());
  EXPECT_EQ(object->at("b").as_string(), "\xC3\xA4");
  EXPECT_EQ(object->at("a").as_array().size(), 4U);
}

TEST(StrictJson, name_that_is_there_twice_is_refused_at_any_depth_and_in_any_spelling) {
  EXPECT_EQ(error_of(R"({"a":1,"a":1})"), JsonError::duplicate_name);
  EXPECT_EQ(error_of(R"({"a":1,"\u0061":1})"), JsonError::duplicate_name);
  EXPECT_EQ(error_of(R"({"x":{"a":1,"b":2,"a":3}})"), JsonError::duplicate_name);
  EXPECT_TRUE(parse_strict_json(R"({"a":{"a":{}}})", kBounds).has_value());
}

TEST(StrictJson, limits_hold_on_both_sides) {
  std::string text(R"({"a":""})");
  text.insert(6, 100 - text.size(), 'x');
  EXPECT_TRUE(parse_strict_json(text, kBounds).has_value());
  text.insert(6, 1, 'x');
  EXPECT_EQ(error_of(text), JsonError::too_long);
  EXPECT_TRUE(parse_strict_json(R"({"a":[[]]})", kBounds).has_value());
  EXPECT_EQ(error_of(R"({"a":[[[]]]})"), JsonError::too_deep);
  EXPECT_TRUE(parse_strict_json(R"({"a":[1,2,3,4]})", kBounds).has_value());
  EXPECT_EQ(error_of(R"({"a":[1,2,3,4,5]})"), JsonError::too_many_values);
}

TEST(StrictJson, anything_but_one_object_is_refused) {
  for (const std::string_view text :
       {"", " ", "{", "{}x", "{} {}", "{'a':1}", "{\"a\":1,}", "{\"a\":NaN}", "{\"a\":01}",
        "{/**/}", "{\"a\":\"\xFF\"}", "{\"a\":\"\\ud800\"}", "\xEF\xBB\xBF{}"}) {
    EXPECT_EQ(error_of(text), JsonError::malformed) << text;
  }
  EXPECT_EQ(error_of("[]"), JsonError::no_object);
  EXPECT_EQ(error_of("\"a\""), JsonError::no_object);
  EXPECT_EQ(error_of("1"), JsonError::no_object);
}

}  // namespace
}  // namespace valkyrie::policy
