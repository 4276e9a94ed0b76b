#include "tests/simulation/pattern.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace valkyrie::simulation {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);

std::uint64_t word(std::uint64_t name, std::uint64_t index) {
  std::uint64_t x = (name + 1) * 0x9E3779B97F4A7C15U + index * 0xBF58476D1CE4E5B9U;
  x ^= x >> 29U;
  return x * 0x94D049BB133111EBU;
}

}  // namespace

std::vector<std::byte> pattern(std::uint64_t name, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t at = 0; at < size; at += kWord) {
    const std::uint64_t value = word(name, at);
    std::memcpy(bytes.data() + at, &value, std::min(kWord, size - at));
  }
  return bytes;
}

bool is_pattern(std::uint64_t name, std::span<const std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kWord) {
    const std::uint64_t value = word(name, at);
    if (std::memcmp(bytes.data() + at, &value, std::min(kWord, bytes.size() - at)) != 0) {
      return false;
    }
  }
  return true;
}

std::vector<std::byte> id_bytes(std::uint64_t id) {
  std::vector<std::byte> bytes(sizeof id);
  std::memcpy(bytes.data(), &id, sizeof id);
  return bytes;
}

std::uint64_t id_of(std::span<const std::byte> bytes) {
  std::uint64_t id = 0;
  if (bytes.size() == sizeof id) std::memcpy(&id, bytes.data(), sizeof id);
  return id;
}

}  // namespace valkyrie::simulation
