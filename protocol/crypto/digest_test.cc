// SHA-256 against FIPS 180-4's examples, HMAC against RFC 4231, section 4.
#include "protocol/crypto/digest.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto/hex.h"
#include "protocol/crypto/secret.h"

namespace valkyrie::protocol::crypto {
namespace {

using testing::bytes_of_hex;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::vector<std::byte> all_of(const Digest& digest) { return {digest.begin(), digest.end()}; }

TEST(Sha256, is_the_standards) {
  EXPECT_EQ(all_of(sha256({})), bytes_of_hex("e3b0c44298fc1c149afbf4c8996fb924"
                                             "27ae41e4649b934ca495991b7852b855"));
  EXPECT_EQ(all_of(sha256(bytes_of("abc"))), bytes_of_hex("ba7816bf8f01cfea414140de5dae2223"
                                                          "b00361a396177a9cb410ff61f20015ad"));
}

TEST(Sha256, of_two_pieces_is_that_of_both_together) {
  EXPECT_EQ(sha256(bytes_of("a"), bytes_of("bc")), sha256(bytes_of("abc")));
}

TEST(Sha256, in_pieces_of_any_size_is_that_of_all_at_once) {
  const std::string text(300, 'x');
  for (std::size_t size = 1; size <= text.size(); ++size) {
    Sha256 running;
    for (std::size_t from = 0; from < text.size(); from += size) {
      EXPECT_EQ(running.digest(), sha256(bytes_of(text.substr(0, from))));
      running.update(bytes_of(text).subspan(from, std::min(size, text.size() - from)));
    }
    EXPECT_EQ(running.digest(), sha256(bytes_of(text)));
  }
}

TEST(HmacSha256, is_the_standards_for_short_and_long_keys) {
  EXPECT_EQ(all_of(hmac_sha256(std::vector(20, std::byte{0x0B}), bytes_of("Hi There"))),
            bytes_of_hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"));
  EXPECT_EQ(all_of(hmac_sha256(std::vector(131, std::byte{0xAA}),
                               bytes_of("Test Using Larger Than Block-Size Key - Hash Key First"))),
            bytes_of_hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
}

TEST(EqualInConstantTime, compares_length_and_every_byte) {
  EXPECT_TRUE(equal_in_constant_time(bytes_of(""), bytes_of("")));
  EXPECT_TRUE(equal_in_constant_time(bytes_of("secret"), bytes_of("secret")));
  EXPECT_FALSE(equal_in_constant_time(bytes_of("secret"), bytes_of("secreu")));
  EXPECT_FALSE(equal_in_constant_time(bytes_of("secret"), bytes_of("tecret")));
  EXPECT_FALSE(equal_in_constant_time(bytes_of("secret"), bytes_of("secre")));
}

TEST(RandomBytes, are_other_ones_each_time) {
  Digest first{};
  Digest second{};
  random_bytes(first);
  random_bytes(second);
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace valkyrie::protocol::crypto
