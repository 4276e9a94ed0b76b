#include "transport/door.h"

#include <array>
#include <gtest/gtest.h>
#include <string_view>
#include <utility>
#include <vector>

namespace valkyrie::transport {
namespace {

Door door_of(std::string_view first) {
  return detect_door(std::as_bytes(std::span(first.data(), first.size())));
}

TEST(Door, first_bytes_name_the_protocol) {
  const std::vector<std::pair<std::string_view, Door>> cases{
      {"VK", Door::valkyrie},     {"VN", Door::noise},   {"\x16\x03", Door::tls},
      {"GE", Door::http},         {"PR", Door::http},    {"VE", Door::http},
      {"M-", Door::http},         {"VX", Door::http},    {"\x16\x04", Door::garbage},
      {"Vk", Door::garbage},      {"vk", Door::garbage}, {"ge", Door::garbage},
      {"\xff\xff", Door::garbage}};
  for (const auto& [first, expected] : cases) EXPECT_EQ(door_of(first), expected) << first;
  EXPECT_EQ(door_of(std::string_view("\0\0", 2)), Door::garbage);
}

TEST(Door, only_a_prefix_of_a_known_door_is_undecided) {
  EXPECT_EQ(door_of(""), Door::undecided);
  for (int byte = 0; byte < 256; ++byte) {
    const std::array first{static_cast<std::byte>(byte)};
    const bool undecided = byte == 'V' || byte == 0x16;
    EXPECT_EQ(detect_door(first) == Door::undecided, undecided) << byte;
    for (int next = 0; next < 256; ++next) {
      const std::array both{static_cast<std::byte>(byte), static_cast<std::byte>(next)};
      ASSERT_NE(detect_door(both), Door::undecided) << byte << ' ' << next;
    }
  }
}

}  // namespace
}  // namespace valkyrie::transport
