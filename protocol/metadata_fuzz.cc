// Metadata: what passes can be read, written again entry by entry, and rewritten for a next hop.
// Input: frame type, reader, metadata.
#include "protocol/metadata.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "protocol/assert.h"
#include "protocol/properties.h"

namespace {

using namespace valkyrie::protocol;

void use(const MetadataView& view) {
  std::size_t entries_bytes = 0;
  view.for_each([&](std::uint8_t key, std::span<const std::byte> value) {
    entries_bytes += kEntryHeaderBytes + value.size();
    VALKYRIE_ASSERT(view.find(key).has_value());
  });
  VALKYRIE_ASSERT(entries_bytes == view.bytes().size());
  view.for_each_pair([&](std::string_view name, std::string_view) {
    VALKYRIE_ASSERT(!name.empty() && view.pair(name).has_value());
  });
  VALKYRIE_ASSERT(view.service() == view.service() && view.method() == view.method());
  VALKYRIE_ASSERT(view.deadline().value_or(Duration::zero()) >= Duration::zero());
  VALKYRIE_ASSERT(view.status().has_value() == view.find(MetadataKey::status).has_value());
  VALKYRIE_ASSERT(view.identity().has_value() == view.find(MetadataKey::identity).has_value());
}

void rewrite(const MetadataView& view, FrameType type) {
  std::array<std::byte, kMetadataBytes> out;
  const auto size = rewrite_for_next_hop(view, {}, PairTrust::strip_node_pairs, out);
  VALKYRIE_ASSERT(size.has_value() && *size <= view.end_bytes().size());
  const auto next = parse_metadata(std::span(out).first(*size), type, MetadataReader::relay);
  VALKYRIE_ASSERT(next.has_value() && !next->has_node_pair());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const FrameType type = kMetadataFrames[data[0] % kMetadataFrames.size()];
  const auto reader = data[1] % 2 == 0 ? MetadataReader::end : MetadataReader::relay;
  const auto bytes = std::as_bytes(std::span(data + 2, size - 2));
  const auto view = parse_metadata(bytes, type, reader);
  if (!view) {
    VALKYRIE_ASSERT(!is_unimplemented(view.error()) || reader == MetadataReader::end);
    return 0;
  }
  VALKYRIE_ASSERT(bytes.size() <= kMetadataBytes);
  use(*view);
  rewrite(*view, type);
  return 0;
}
