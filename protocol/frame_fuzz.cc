// Header checks: what passes must encode to the bytes it came from, and both paths must agree.
#include "protocol/frame.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "protocol/assert.h"

namespace {

using namespace valkyrie::protocol;

void check_header(std::span<const std::byte, kHeaderBytes> bytes) {
  const auto header = decode_header(bytes, kFrameBodyBytesDefault);
  const HeaderCheck check = first_failed_check(bytes, kFrameBodyBytesDefault);
  VALKYRIE_ASSERT(header.has_value() == (check == HeaderCheck::none));
  if (!header) {
    VALKYRIE_ASSERT(header.error() == close_code(check));
    return;
  }
  VALKYRIE_ASSERT(header->body_bytes <= kFrameBodyBytesDefault);
  std::array<std::byte, kHeaderBytes> again;
  encode_header(*header, again);
  VALKYRIE_ASSERT(std::ranges::equal(bytes, again));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto input = std::as_bytes(std::span(data, size));
  for (; input.size() >= kHeaderBytes; input = input.subspan(kHeaderBytes)) {
    check_header(input.first<kHeaderBytes>());
  }
  return 0;
}
