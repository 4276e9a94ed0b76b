// Vectors of standards, as their texts have them, for tests.
// Private to this folder.
#pragma once

#include <charconv>
#include <cstddef>
#include <string_view>
#include <vector>

namespace valkyrie::protocol::crypto::testing {

// The bytes of lower-case hexadecimal digits, two each.
inline std::vector<std::byte> bytes_of_hex(std::string_view digits) {
  std::vector<std::byte> bytes;
  for (; digits.size() >= 2; digits.remove_prefix(2)) {
    unsigned value = 0;
    std::from_chars(digits.data(), digits.data() + 2, value, 16);
    bytes.push_back(static_cast<std::byte>(value));
  }
  return bytes;
}

}  // namespace valkyrie::protocol::crypto::testing
