#include "server/policy/noise_keys.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace valkyrie::policy {
namespace {

const std::string kKey(64, 'a');

TEST(NoiseKeys, are_found_by_their_lower_case_digits) {
  const auto keys = NoiseKeys::parse("# who\n" + kKey + " build-runner  # in the cellar\n\n" +
                                     std::string(64, 'B') + " ci@example.com/2\n");
  ASSERT_TRUE(keys.has_value()) << keys.error();
  EXPECT_EQ(keys->size(), 2u);
  EXPECT_EQ(keys->name_of(kKey), "build-runner");
  EXPECT_EQ(keys->name_of(std::string(64, 'b')), "ci@example.com/2");
  EXPECT_EQ(keys->name_of(std::string(64, 'c')), std::nullopt);
  EXPECT_EQ(keys->name_of(""), std::nullopt);
}

TEST(NoiseKeys, an_empty_list_knows_nobody) {
  const auto keys = NoiseKeys::parse("# nobody yet\n");
  ASSERT_TRUE(keys.has_value());
  EXPECT_EQ(keys->name_of(kKey), std::nullopt);
}

TEST(NoiseKeys, several_keys_may_have_one_name_but_no_key_two) {
  EXPECT_TRUE(NoiseKeys::parse(kKey + " ci\n" + std::string(64, 'b') + " ci\n"));
  const auto twice = NoiseKeys::parse(kKey + " ci\n" + std::string(64, 'A') + " robot\n");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error(), "line 2: the key is there twice");
}

TEST(NoiseKeys, what_is_no_key_or_no_name_is_refused_with_its_line) {
  for (const std::string& text :
       {kKey, kKey + " a b", kKey.substr(1) + " a", kKey + "a a", "g" + kKey.substr(1) + " a",
        kKey + " uid:0", kKey + " caf\xC3\xA9", kKey + " a*"}) {
    const auto keys = NoiseKeys::parse("\n" + text);
    ASSERT_FALSE(keys) << text;
    EXPECT_TRUE(keys.error().starts_with("line 2: ")) << keys.error();
  }
}

TEST(NoiseKeys, names_have_a_length) {
  EXPECT_TRUE(NoiseKeys::parse(kKey + ' ' + std::string(kNoiseNameMax, 'n')));
  EXPECT_FALSE(NoiseKeys::parse(kKey + ' ' + std::string(kNoiseNameMax + 1, 'n')));
}

TEST(NoiseKeys, lists_have_a_length) {
  std::string text;
  for (std::size_t i = 0; i < kNoiseKeysMax; ++i) text += fmt::format("{:064x} n{}\n", i, i);
  EXPECT_TRUE(NoiseKeys::parse(text));
  EXPECT_FALSE(NoiseKeys::parse(text + kKey + " one-more\n"));
}

}  // namespace
}  // namespace valkyrie::policy
