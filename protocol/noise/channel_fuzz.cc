// Feeds one side of a Noise channel what a peer could send: bytes of the input's choice, or what an
// honest peer says with some of its bytes altered. Finds crashes, broken invariants, and text that
// was let through although its bytes were not those of the peer.
#include "protocol/noise/channel.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "protocol/assert.h"
#include "protocol/noise/test_entropy.h"

using namespace valkyrie::protocol::noise;
using valkyrie::protocol::PlainSink;

namespace {

class Counter final : public PlainSink {
 public:
  void on_plain(std::span<std::byte> text) override { bytes += text.size(); }
  std::size_t bytes = 0;
};

struct Side {
  Side(HandshakeRole role, Suite suite, const PublicKey& known)
      : suites{suite},
        channel({.role = role,
                 .suites = suites,
                 .key = own(role),
                 .peer = role == HandshakeRole::initiator && pattern_of(suite) == Pattern::xk
                             ? std::optional(known)
                             : std::nullopt,
                 .entropy = entropy}) {}

  static const KeyPair& own(HandshakeRole role) {
    static KeyPair keys[2];
    static const bool made = [] {
      TestEntropy first;
      for (KeyPair& key : keys) {
        SecretKey secret;
        first.fill(secret.bytes());
        key.set_secret(secret.bytes());
      }
      return true;
    }();
    VALKYRIE_ASSERT(made);
    return keys[static_cast<std::size_t>(role)];
  }

  TestEntropy entropy;
  std::array<Suite, 1> suites;
  Channel channel;
  Counter text;
};

// Bytes as they are, in pieces.
void feed(Side& side, std::span<const std::uint8_t> input) {
  while (!input.empty()) {
    const std::size_t size = std::min<std::size_t>(input.size(), std::size_t{1} + input[0] % 64);
    const auto bytes = std::as_bytes(input.first(size));
    std::vector<std::byte> piece(bytes.begin(), bytes.end());
    if (!side.channel.receive(piece, side.text)) return;
    input = input.subspan(size);
  }
  // Nobody without keys gets as far as text.
  VALKYRIE_ASSERT(side.text.bytes == 0);
}

// An honest talk, of which the input alters bytes: two octets of place, one of what.
void alter(Side& dialer, Side& acceptor, std::span<const std::uint8_t> input) {
  std::size_t passed = 0;
  bool altered = false;
  std::size_t sent = 0;
  for (int turn = 0; turn < 8; ++turn) {
    Side& from = turn % 2 == 0 ? dialer : acceptor;
    Side& to = turn % 2 == 0 ? acceptor : dialer;
    std::vector<std::byte> bytes = from.channel.take_output();
    if (from.channel.open()) {
      const std::array text = {std::byte{1}, std::byte{2}, std::byte{3}};
      const std::array pieces = {std::span<const std::byte>(text)};
      VALKYRIE_ASSERT(from.channel.seal(pieces, bytes).has_value());
      sent += text.size();
    }
    for (std::span rest = input; rest.size() >= 3; rest = rest.subspan(3)) {
      const std::size_t place = std::size_t{rest[0]} << 8 | rest[1];
      if (place < passed || place - passed >= bytes.size() || rest[2] == 0) continue;
      bytes[place - passed] ^= static_cast<std::byte>(rest[2]);
      altered = true;
    }
    passed += bytes.size();
    if (!bytes.empty() && !to.channel.receive(bytes, to.text)) return;
  }
  VALKYRIE_ASSERT(altered || dialer.text.bytes + acceptor.text.bytes == sent);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Suite suite = kSuites[data[0] % kSuites.size()];
  const std::span input = std::span(data, size).subspan(2);
  const PublicKey& known = Side::own(HandshakeRole::responder).shared;
  Side dialer(HandshakeRole::initiator, suite, known);
  Side acceptor(HandshakeRole::responder, suite, known);
  switch (data[1] % 3) {
    case 0:
      feed(dialer, input);
      break;
    case 1:
      feed(acceptor, input);
      break;
    default:
      alter(dialer, acceptor, input);
  }
  return 0;
}
