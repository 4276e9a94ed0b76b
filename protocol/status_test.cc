#include "protocol/status.h"

#include <array>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace valkyrie::protocol {
namespace {

std::vector<std::byte> value(unsigned code, unsigned outcome, std::string_view text) {
  std::vector<std::byte> out{static_cast<std::byte>(code), static_cast<std::byte>(outcome)};
  for (const char c : text) out.push_back(static_cast<std::byte>(c));
  return out;
}

TEST(Status, text_fits_at_the_limit_and_is_refused_one_byte_over) {
  EXPECT_TRUE(decode_status(value(0, 0, "")));
  EXPECT_FALSE(decode_status(std::array{std::byte{0}}));
  EXPECT_TRUE(decode_status(value(0, 0, std::string(kStatusTextBytes, 'a'))));
  EXPECT_FALSE(decode_status(value(0, 0, std::string(kStatusTextBytes + 1, 'a'))));
}

TEST(Status, codes_of_a_later_version_read_as_unknown) {
  EXPECT_EQ(decode_status(value(16, 2, ""))->code, StatusCode::unauthenticated);
  EXPECT_EQ(decode_status(value(17, 2, ""))->code, StatusCode::unknown);
  EXPECT_EQ(decode_status(value(0, 3, ""))->outcome, Outcome::maybe_executed);
}

TEST(Status, a_longer_text_is_cut_between_characters) {
  std::array<std::byte, kStatusBytesMax> out;
  const std::string exact(kStatusTextBytes, 'a');
  EXPECT_EQ(encode_status({.text = exact}, out), kStatusBytesMax);
  EXPECT_EQ(encode_status({.text = exact + "b"}, out), kStatusBytesMax);
  const std::string umlaut_over = std::string(kStatusTextBytes - 1, 'a') + "ä";
  const std::size_t size = encode_status({.text = umlaut_over}, out);
  EXPECT_EQ(size, kStatusBytesMax - 1);
  EXPECT_TRUE(decode_status(std::span(out).first(size)));
}

TEST(Utf8, follows_rfc_3629) {
  for (const char* good : {"", "a", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                           "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "z\xC3\xA4z"}) {
    EXPECT_TRUE(is_utf8(good)) << testing::PrintToString(good);
  }
  for (const char* bad : {"\x80", "\xC1\xBF", "\xC2", "\xC2z", "\xE0\x9F\xBF", "\xED\xA0\x80",
                          "\xE1\x80", "\xE1\x80z", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "\xF1\x80\x80", "\xFF"}) {
    EXPECT_FALSE(is_utf8(bad)) << testing::PrintToString(bad);
  }
}

}  // namespace
}  // namespace valkyrie::protocol
