// Encodes a frame header with the installed library and has it judged: once whole, once broken.
#include <array>
#include <cstdio>

#include "protocol/frame.h"

namespace vp = valkyrie::protocol;

int main() {
  const vp::FrameHeader ping{.type = vp::FrameType::ping, .body_bytes = 8};
  std::array<std::byte, vp::kHeaderBytes> bytes{};
  vp::encode_header(ping, bytes);
  const auto decoded = vp::decode_header(bytes, 1024);
  if (!decoded || *decoded != ping) {
    std::puts("an encoded header does not decode to itself");
    return 1;
  }
  bytes[0] = std::byte{'X'};
  if (vp::first_failed_check(bytes, 1024) != vp::HeaderCheck::magic) {
    std::puts("a wrong magic number was not noticed");
    return 1;
  }
  std::printf("protocol %u works\n", static_cast<unsigned>(vp::kProtocolVersion));
  return 0;
}
