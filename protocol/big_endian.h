// Big-endian integers at unaligned addresses: the only byte order of the wire.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace valkyrie::protocol {

// `value` with its bytes reversed on little-endian machines, unchanged on others.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T to_big_endian(T value) {
  if constexpr (std::endian::native == std::endian::big || sizeof(T) == 1) {
    return value;
  } else if constexpr (sizeof(T) == 2) {
    return __builtin_bswap16(value);
  } else if constexpr (sizeof(T) == 4) {
    return __builtin_bswap32(value);
  } else {
    return __builtin_bswap64(value);
  }
}

// Reads sizeof(T) bytes at `from`.
template <std::unsigned_integral T>
[[nodiscard]] inline T load_big_endian(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return to_big_endian(value);
}

// Writes sizeof(T) bytes at `to`.
template <std::unsigned_integral T>
inline void store_big_endian(std::byte* to, T value) {
  value = to_big_endian(value);
  std::memcpy(to, &value, sizeof(T));
}

}  // namespace valkyrie::protocol
