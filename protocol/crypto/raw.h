// Our bytes as the library spells them: to write to, and to read.
// Private to protocol/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace valkyrie::protocol::crypto {

[[nodiscard]] inline std::uint8_t* out_of(std::span<std::byte> bytes) {
  return reinterpret_cast<std::uint8_t*>(bytes.data());
}

[[nodiscard]] inline const std::uint8_t* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

}  // namespace valkyrie::protocol::crypto
