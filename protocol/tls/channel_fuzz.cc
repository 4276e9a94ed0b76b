// Feeds one side of a TLS channel what a peer could send: bytes of the input's choice from the
// start, or behind a handshake that went well. Nothing of it may open a channel or come out as
// text.
//
// Input: u8 whom and when, u8 size of the pieces, bytes.
#include "protocol/tls/channel.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "protocol/assert.h"
#include "protocol/tls/testing/pair.h"

using valkyrie::protocol::tls::testing::End;
using valkyrie::protocol::tls::testing::Pair;
using valkyrie::protocol::tls::testing::World;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  if (size < 2) return 0;
  Pair pair = world.dial();
  const bool later = (data[0] & 2U) != 0;
  if (later) {
    pair.carry();
    VALKYRIE_ASSERT(pair.open());
  }
  End& end = (data[0] & 1U) != 0 ? pair.acceptor : pair.dialer;
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(2);
  end.take(std::vector<std::byte>(bytes.begin(), bytes.end()), data[1] + std::size_t{1});
  VALKYRIE_ASSERT(end.received.text().empty());
  VALKYRIE_ASSERT(later || !end.channel->open());
  return 0;
}
