// HELLO and HELLO_ACK: what passes encodes to something that decodes to the same options.
// Input: which frame, body.
#include "protocol/hello.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "protocol/assert.h"

namespace {

using namespace valkyrie::protocol;

bool same(const HelloOptions& a, const HelloOptions& b) {
  return a.features == b.features && a.frame_body_bytes == b.frame_body_bytes &&
         a.streams == b.streams && a.stream_credit_bytes == b.stream_credit_bytes &&
         a.keepalive_interval_ms == b.keepalive_interval_ms && a.qos_ceiling == b.qos_ceiling &&
         a.agent == b.agent && a.node_id == b.node_id && std::ranges::equal(a.token, b.token) &&
         std::ranges::equal(a.session_id, b.session_id);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > kHelloBytes) return 0;
  const auto body = std::as_bytes(std::span(data + 1, size - 1));
  std::array<std::byte, kHelloBytes> out;
  if (data[0] % 2 == 0) {
    const auto hello = decode_hello(body);
    if (!hello) return 0;
    const auto written = encode_hello(*hello, Grease::no, out);
    VALKYRIE_ASSERT(written.has_value());
    const auto again = decode_hello(std::span(out).first(*written));
    VALKYRIE_ASSERT(again.has_value() && same(hello->options, again->options));
  } else {
    const auto ack = decode_hello_ack(body);
    if (!ack) return 0;
    const auto written = encode_hello_ack(*ack, Grease::no, out);
    VALKYRIE_ASSERT(written.has_value());
    const auto again = decode_hello_ack(std::span(out).first(*written));
    VALKYRIE_ASSERT(again.has_value() && same(ack->options, again->options));
  }
  return 0;
}
