// Reads sets of keys of the input's choice. Finds crashes, and keys that are of another algorithm
// than what they are found by.
#include "server/policy/key_set.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/assert.h"

using namespace valkyrie::policy;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto strict = KeySet::parse(text, SymmetricKeys::refused);
  const auto loose = KeySet::parse(text, SymmetricKeys::accepted);
  VALKYRIE_ASSERT(!strict || (loose && loose->size() == strict->size()));
  if (!loose) return 0;
  const std::array<std::byte, 64> signature{};
  for (const TokenAlgorithm algorithm : {TokenAlgorithm::eddsa, TokenAlgorithm::es256,
                                         TokenAlgorithm::rs256, TokenAlgorithm::hs256}) {
    const TokenKey* key = loose->find(std::nullopt, algorithm);
    if (key == nullptr) continue;
    VALKYRIE_ASSERT(key->algorithm() == algorithm);
    VALKYRIE_ASSERT(!strict || algorithm != TokenAlgorithm::hs256);
    static_cast<void>(key->verifies(std::as_bytes(std::span(text)), signature));
  }
  return 0;
}
