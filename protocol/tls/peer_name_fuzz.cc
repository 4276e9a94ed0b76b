// Reads the name out of what may be a certificate: whatever is found, an IDENTITY can hold it and
// nobody takes it for another name.
#include "protocol/tls/peer_name.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "protocol/assert.h"

using namespace valkyrie::protocol::tls;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto name = peer_name(std::as_bytes(std::span(data, size)));
  if (!name) return 0;
  const auto is_printable = [](char c) { return c >= 0x20 && c <= 0x7E; };
  VALKYRIE_ASSERT(std::ranges::all_of(*name, is_printable));
  VALKYRIE_ASSERT(name->size() <= kNameBytesMax + 6);
  const bool known = name->starts_with("spiffe://") || name->starts_with("dns:") ||
                     name->starts_with("email:") || name->starts_with("cn:");
  VALKYRIE_ASSERT(known && name->find(':') + 1 < name->size());
  return 0;
}
