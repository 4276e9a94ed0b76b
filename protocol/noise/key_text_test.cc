#include "protocol/noise/key_text.h"

#include <gtest/gtest.h>

#include "protocol/noise/test_entropy.h"

namespace valkyrie::protocol::noise {
namespace {

// Any 32 bytes.
constexpr std::string_view kSecret =
    "77076d0a7318a57d3c16c17251b26645df4c2f92ebc0995c0fe3cd5b1a9cfc2a";

TEST(NoiseKeyText, reads_what_it_has_written) {
  KeyPair key;
  TestEntropy entropy;
  make_key(entropy, key);
  KeyPair again;
  ASSERT_TRUE(read_key(key_text(key.secret), again));
  EXPECT_EQ(again.shared, key.shared);
  EXPECT_EQ(public_key_of(key_text(key.shared)), key.shared);
}

TEST(NoiseKeyText, takes_digits_of_either_case) {
  KeyPair lower;
  KeyPair upper;
  std::string capitals(kSecret);
  for (char& c : capitals) {
    if (c >= 'a' && c <= 'f') c = static_cast<char>(c - 'a' + 'A');
  }
  ASSERT_TRUE(read_key(kSecret, lower));
  ASSERT_TRUE(read_key(capitals, upper));
  EXPECT_EQ(lower.shared, upper.shared);
}

TEST(NoiseKeyText, refuses_what_is_no_key) {
  KeyPair key;
  const std::string text(kSecret);
  EXPECT_FALSE(read_key(text.substr(1), key));
  EXPECT_FALSE(read_key(text + "0", key));
  EXPECT_FALSE(read_key("g" + text.substr(1), key));
  EXPECT_FALSE(read_key("", key));
  EXPECT_EQ(public_key_of("not a key"), std::nullopt);
}

}  // namespace
}  // namespace valkyrie::protocol::noise
