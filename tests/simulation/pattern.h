// Payloads that say whose they are: any byte that is lost, moved or another call's is seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace valkyrie::simulation {

// The metadata key under which a call's id travels, end to end, both ways. Nobody has to know it.
inline constexpr std::uint8_t kCallKey = 0xA7;

// `size` bytes that depend on every bit of `name`.
std::vector<std::byte> pattern(std::uint64_t name, std::size_t size);
// True if the bytes are pattern(name, bytes.size()).
bool is_pattern(std::uint64_t name, std::span<const std::byte> bytes);

// A number as the value of kCallKey, and back; 0 if it is none.
std::vector<std::byte> id_bytes(std::uint64_t id);
std::uint64_t id_of(std::span<const std::byte> bytes);

}  // namespace valkyrie::simulation
