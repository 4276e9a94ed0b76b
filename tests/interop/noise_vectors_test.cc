// Our handshake against the public cacophony vectors, of every pattern and suite that we speak.
#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <set>

#include "protocol/noise/handshake.h"
#include "tests/conformance/vector_file.h"

namespace valkyrie::protocol::noise {
namespace {

using Vector = boost::json::object;
using conformance::bytes_of;
using conformance::hex_of;

std::vector<std::byte> bytes_in(const Vector& vector, std::string_view key) {
  const auto* value = vector.if_contains(key);
  return value == nullptr ? std::vector<std::byte>() : bytes_of(*value);
}

// Gives out the ephemeral key of a vector.
class Told final : public Entropy {
 public:
  explicit Told(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  void fill(std::span<std::byte> out) override {
    EXPECT_EQ(out.size(), bytes_.size());
    std::ranges::copy(bytes_, out.begin());
  }
  bool encapsulate(const EncapsulationKey&, Encapsulated&) override { return false; }

 private:
  std::vector<std::byte> bytes_;
};

KeyPair& set(KeyPair& key, const std::vector<std::byte>& secret) {
  key.set_secret(std::span(secret).first<kKeyBytes>());
  return key;
}

// One side of the handshake of a vector, and its channel.
struct Side {
  Side(const Vector& vector, Suite suite, HandshakeRole role)
      : name(role == HandshakeRole::initiator ? "init_" : "resp_"),
        entropy(bytes_in(vector, name + "ephemeral")),
        prologue(bytes_in(vector, name + "prologue")),
        handshake({.role = role,
                   .suite = suite,
                   .prologue = prologue,
                   .key = set(key, bytes_in(vector, name + "static")),
                   .peer = pin(vector),
                   .entropy = entropy}),
        sending(cipher_of(suite)),
        receiving(cipher_of(suite)) {}

  std::optional<PublicKey> pin(const Vector& vector) const {
    const auto bytes = bytes_in(vector, name + "remote_static");
    if (bytes.empty()) return std::nullopt;
    PublicKey peer{};
    std::ranges::copy(bytes, peer.begin());
    return peer;
  }

  void set_psk(const Vector& vector) {
    const auto* psks = vector.if_contains(name + "psks");
    if (psks == nullptr) return;
    const auto bytes = bytes_of(psks->as_array().at(0));
    handshake.set_psk(SecretKey(std::span(bytes).first<kKeyBytes>()));
  }

  std::string name;
  Told entropy;
  KeyPair key;
  std::vector<std::byte> prologue;
  Handshake handshake;
  CipherState sending;
  CipherState receiving;
};

// The bytes that `from` makes of a payload, which `to` must read as that payload.
std::vector<std::byte> pass(Side& from, Side& to, const std::vector<std::byte>& payload) {
  std::vector<std::byte> message;
  if (!from.handshake.done()) {
    EXPECT_TRUE(from.handshake.write(payload, message).has_value());
    std::vector<std::byte> received = message;
    const auto read = to.handshake.read(received);
    EXPECT_TRUE(read && std::ranges::equal(*read, payload));
    if (from.handshake.done()) {
      from.handshake.split(from.sending, from.receiving);
      to.handshake.split(to.sending, to.receiving);
    }
    return message;
  }
  message = payload;
  message.resize(payload.size() + kTagBytes);
  EXPECT_TRUE(from.sending.seal({}, message));
  std::vector<std::byte> received = message;
  EXPECT_TRUE(to.receiving.open({}, received));
  received.resize(payload.size());
  EXPECT_EQ(received, payload);
  return message;
}

void replay(const Vector& vector, Suite suite) {
  Side initiator(vector, suite, HandshakeRole::initiator);
  Side responder(vector, suite, HandshakeRole::responder);
  initiator.set_psk(vector);
  responder.set_psk(vector);
  std::size_t turn = 0;
  for (const auto& entry : vector.at("messages").as_array()) {
    const Vector& message = entry.as_object();
    Side& from = turn % 2 == 0 ? initiator : responder;
    Side& to = turn % 2 == 0 ? responder : initiator;
    EXPECT_EQ(hex_of(pass(from, to, bytes_in(message, "payload"))),
              hex_of(bytes_in(message, "ciphertext")))
        << "message " << turn;
    ++turn;
  }
  EXPECT_GT(turn, 3u);
  EXPECT_EQ(hex_of(initiator.handshake.hash()), hex_of(bytes_in(vector, "handshake_hash")));
  EXPECT_EQ(initiator.handshake.hash(), responder.handshake.hash());
}

TEST(NoiseVectors, every_suite_makes_the_bytes_of_the_public_vectors) {
  std::ifstream file(VALKYRIE_NOISE_VECTORS);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto all = boost::json::parse(text).as_object();
  std::set<Suite> seen;
  for (const auto& entry : all.at("vectors").as_array()) {
    const Vector& vector = entry.as_object();
    for (const Suite suite : kSuites) {
      if (vector.at("protocol_name").as_string() != protocol_name(suite)) continue;
      SCOPED_TRACE(protocol_name(suite));
      seen.insert(suite);
      replay(vector, suite);
    }
  }
  EXPECT_EQ(seen.size(), kSuites.size());
}

}  // namespace
}  // namespace valkyrie::protocol::noise
