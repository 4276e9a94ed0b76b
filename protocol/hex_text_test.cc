#include "protocol/hex_text.h"

#include <array>
#include <gtest/gtest.h>

namespace valkyrie::protocol {
namespace {

TEST(HexText, every_byte_survives_the_way_there_and_back) {
  std::array<std::byte, 256> all{};
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::byte>(i);
  const std::string text = hex_text(all);
  EXPECT_TRUE(text.starts_with("000102030405060708090a0b"));
  std::array<std::byte, 256> back{};
  ASSERT_TRUE(read_hex_text(text, back));
  EXPECT_EQ(back, all);
}

TEST(HexText, digits_of_either_case_are_read) {
  std::array<std::byte, 2> bytes{};
  ASSERT_TRUE(read_hex_text("aBfF", bytes));
  EXPECT_EQ(hex_text(bytes), "abff");
}

TEST(HexText, other_lengths_and_other_characters_are_refused) {
  std::array<std::byte, 2> bytes{};
  for (const std::string_view text :
       {"", "abc", "abcde", "abcdef", "ag00", "00 0", "/0:0", "@0`0"}) {
    EXPECT_FALSE(read_hex_text(text, bytes)) << text;
  }
}

}  // namespace
}  // namespace valkyrie::protocol
