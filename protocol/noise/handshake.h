// The handshake of a Noise pattern, message by message: Noise revision 34, section 5.3.
// Sans-IO: messages in and out. What its payloads mean is the owner's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "protocol/noise/primitives.h"
#include "protocol/noise/suite.h"
#include "protocol/noise/symmetric_state.h"

namespace valkyrie::protocol::noise {

// Who writes the first message: the dialer is the initiator, the acceptor the responder.
enum class HandshakeRole : std::uint8_t { initiator, responder };

// Why a handshake cannot go on. There is no way back: make another.
enum class HandshakeError : std::uint8_t {
  truncated,       // The message is shorter than its tokens.
  too_long,        // Or would be longer than a message may be.
  not_authentic,   // A tag is wrong: another key, psk or prologue, or altered bytes.
  bad_public_key,  // A key of low order, or not in its canonical form.
  bad_kem_key,     // Not an ML-KEM-768 encapsulation key.
};

// The one word for an error in logs.
[[nodiscard]] std::string_view to_string(HandshakeError error);

// Longest message, bytes: the length of one is 16 bits.
inline constexpr std::size_t kHandshakeMessageBytesMax = 65535;

// What a side brings to a handshake. Everything is kept by reference but the prologue.
struct HandshakeConfig {
  HandshakeRole role = HandshakeRole::initiator;
  Suite suite = Suite::xx_mlkem_aes_gcm;
  Bytes prologue{};                 // The same on both sides, or no tag will match.
  const KeyPair& key;               // This side's static key.
  std::optional<PublicKey> peer{};  // Of XK and the initiator: the responder's static key.
  Entropy& entropy;                 // Where the ephemeral key comes from.
};

// One side of a handshake of three messages: the initiator writes the first and third, the
// responder the second. Those of hybrid suites are psk3: set_psk() is due before the third.
// Not thread-safe.
class Handshake {
 public:
  // REQUIRES: peer exactly for an initiator of XK
  explicit Handshake(const HandshakeConfig& config);

  // Appends the next message to `out`, with `payload`, which is encrypted once there is a key.
  // REQUIRES: writes_next()
  [[nodiscard]] std::expected<void, HandshakeError> write(Bytes payload,
                                                          std::vector<std::byte>& out);
  // Takes the peer's next message, decrypts in place and returns its payload, which borrows from
  // `message`. After an error nothing more may be asked of this handshake. REQUIRES: reads_next()
  [[nodiscard]] std::expected<std::span<std::byte>, HandshakeError> read(
      std::span<std::byte> message);
  // The secret of a psk3 form. REQUIRES: two messages have passed, the suite is hybrid
  void set_psk(const SecretKey& psk) { psk_.set(psk.bytes()); }

  // Messages that have passed, either way.
  [[nodiscard]] std::size_t passed() const { return turn_; }
  // Whether all messages have passed.
  [[nodiscard]] bool done() const { return turn_ == kMessages; }
  // Whether this side is to write.
  [[nodiscard]] bool writes_next() const { return !done() && (turn_ % 2 == 0) == initiator_; }
  // Whether the peer is to write.
  [[nodiscard]] bool reads_next() const { return !done() && !writes_next(); }
  // The peer's static key, once it is known. That the peer has its secret is sure when done().
  [[nodiscard]] const std::optional<PublicKey>& peer() const { return peer_; }
  // A hash of all that was said, equal on both sides.
  [[nodiscard]] const Hash& hash() const { return symmetric_.hash(); }
  // Keys for what this side sends and for what it receives. REQUIRES: done()
  void split(CipherState& sending, CipherState& receiving) const;

 private:
  static constexpr std::size_t kMessages = 3;
  enum class Token : std::uint8_t { e, s, ee, es, se, psk };

  [[nodiscard]] std::span<const Token> tokens() const;
  [[nodiscard]] bool is_psk3() const { return is_hybrid(suite_); }
  [[nodiscard]] std::expected<void, HandshakeError> write_token(Token token,
                                                                std::vector<std::byte>& out);
  [[nodiscard]] std::expected<void, HandshakeError> read_token(Token token,
                                                               std::span<std::byte>& rest);
  [[nodiscard]] std::expected<void, HandshakeError> mix(Token token);
  void mix_ephemeral(const PublicKey& key);
  void append_sealed(Bytes text, std::vector<std::byte>& out);

  const bool initiator_;
  const Suite suite_;
  const KeyPair& key_;
  Entropy& entropy_;
  SymmetricState symmetric_;
  KeyPair ephemeral_;
  std::optional<PublicKey> peer_;
  PublicKey peer_ephemeral_{};
  SecretKey psk_;
  std::size_t turn_ = 0;
};

}  // namespace valkyrie::protocol::noise
