// Our bytes as the library spells them.
// Private to protocol/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace valkyrie::protocol::crypto {

// Where the library writes.
[[nodiscard]] inline std::uint8_t* out_of(std::span<std::byte> bytes) {
  return reinterpret_cast<std::uint8_t*>(bytes.data());
}

// What it reads.
[[nodiscard]] inline const std::uint8_t* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

}  // namespace valkyrie::protocol::crypto
