#include "server/policy/base64url.h"

#include <gtest/gtest.h>
#include <random>

namespace valkyrie::policy {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

TEST(Base64Url, decodes_the_examples_of_the_rfc) {
  EXPECT_EQ(decode_base64url(""), bytes_of(""));
  EXPECT_EQ(decode_base64url("Zg"), bytes_of("f"));
  EXPECT_EQ(decode_base64url("Zm8"), bytes_of("fo"));
  EXPECT_EQ(decode_base64url("Zm9vYmFy"), bytes_of("foobar"));
  EXPECT_EQ(decode_base64url("-_8"), (std::vector{std::byte{0xFB}, std::byte{0xFF}}));
}

TEST(Base64Url, refuses_every_second_way_to_say_it) {
  for (const std::string_view text :
       {"Zg==", "Zh", "Zm9", "Z", "Zm9vY", "Zg\n", " Zg", "+_8", "-/8", "Z.g", "\xC3\xA4"}) {
    EXPECT_FALSE(decode_base64url(text).has_value()) << text;
  }
}

TEST(Base64Url, bytes_come_back_and_each_has_one_text) {
  std::mt19937 random(5);
  for (std::size_t size = 0; size < 70; ++size) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0xFFU);
    const std::string text = encode_base64url(bytes);
    ASSERT_EQ(decode_base64url(text), bytes);
    for (std::size_t at = 0; at < text.size(); ++at) {
      std::string other = text;
      other[at] = other[at] == 'A' ? 'B' : 'A';
      ASSERT_NE(decode_base64url(other), bytes);
    }
  }
}

}  // namespace
}  // namespace valkyrie::policy
