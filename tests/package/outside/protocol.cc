// Uses the installed protocol library: opens a session, reads the header of what it sends, and has
// a broken one judged.
#include <algorithm>
#include <array>
#include <cstdio>
#include <span>

#include "protocol/buffer_pool.h"
#include "protocol/frame.h"
#include "protocol/session.h"

namespace vp = valkyrie::protocol;

int main() {
  vp::BufferPool pool;
  vp::Session session(vp::Role::dialer, {}, pool, vp::Instant{});
  std::array<std::span<const std::byte>, 8> pieces;
  const std::size_t count = session.gather(pieces, 4096);
  std::array<std::byte, vp::kHeaderBytes> bytes{};
  if (count == 0 || pieces[0].size() < bytes.size()) {
    std::puts("a dialer has nothing to say");
    return 1;
  }
  std::copy_n(pieces[0].begin(), bytes.size(), bytes.begin());
  const auto header = vp::decode_header(bytes, 65536);
  if (!header || header->type != vp::FrameType::hello) {
    std::puts("a dialer does not begin with HELLO");
    return 1;
  }
  bytes[0] = std::byte{'X'};
  if (vp::first_failed_check(bytes, 65536) != vp::HeaderCheck::magic) {
    std::puts("a wrong magic number was not noticed");
    return 1;
  }
  std::printf("protocol %u works\n", static_cast<unsigned>(vp::kProtocolVersion));
  return 0;
}
