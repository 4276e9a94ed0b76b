// Bytes as hexadecimal digits: keys, hashes and signatures as people and files have them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace valkyrie::protocol {

// Two digits a byte, lower case.
[[nodiscard]] std::string hex_text(std::span<const std::byte> bytes);
// Fills `bytes` from digits of either case; false if the text is anything but two of them for each
// byte, which leaves `bytes` half filled.
[[nodiscard]] bool read_hex_text(std::string_view text, std::span<std::byte> bytes);

}  // namespace valkyrie::protocol
