// What stands between a transport and a session and makes it private: sans-IO, bytes in and out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace valkyrie::protocol {

// Why a channel is over. It is over for good: close the connection.
enum class ChannelError : std::uint8_t {
  none,
  bad_preamble,     // Not a preamble of this version.
  no_common_suite,  // Said by either side: nothing that one offers does the other take.
  pq_required,      // Said by the acceptor: it takes hybrid suites only.
  other_suite,      // The acceptor picked another than the first: dial again with it.
  bad_length,       // A message or record of a length that none has.
  not_authentic,    // A tag is wrong: altered, cut short, replayed, or meant for another key.
  bad_key,          // A key that no honest peer sends.
  used_up,          // A direction has no nonces left.
  // Of TLS. What is said of a certificate is said by either side, of the other's.
  untrusted,           // No authority that is trusted vouches for it.
  expired,             // It was valid before.
  not_yet_valid,       // It will be, or a clock is wrong.
  wrong_name,          // It is not for the name that was dialed, or for no name at all.
  revoked,             // Its authority took it back.
  revocation_unknown,  // No list that is valid now says whether its authority took it back.
  wrong_purpose,       // It is not for this: a server's shown by a client, say.
  no_certificate,      // One is required, and was not shown.
  other_protocol,      // The peer wants to speak something else inside of the channel.
  handshake_failed,    // Anything else of a handshake that no honest peer does.
};

// How a peer has proven who it is. The numbers are methods of IDENTITY: docs/spec/metadata.md.
enum class Proof : std::uint8_t {
  none = 0,
  noise_key = 2,    // A static key of a Noise channel.
  certificate = 3,  // A certificate of a TLS channel.
};

// The one word for an error in logs and metrics.
[[nodiscard]] std::string_view to_string(ChannelError error);

// Takes the plain text that a channel opens.
class PlainSink {
 public:
  // Bytes in the order of the stream, borrowed: from what was received, or from the channel.
  virtual void on_plain(std::span<std::byte> text) = 0;

 protected:
  ~PlainSink() = default;
};

// One side of a channel. Not thread-safe.
class Channel {
 public:
  virtual ~Channel() = default;

  // Takes bytes of the peer, which it may overwrite, and hands out the text of whole records.
  // After an error nothing more may be received or sealed, but take_output() may have a last word.
  [[nodiscard]] virtual std::expected<void, ChannelError> receive(std::span<std::byte> bytes,
                                                                  PlainSink& sink) = 0;
  // Appends records of the text to `out`, for the peer. REQUIRES: open()
  [[nodiscard]] virtual std::expected<void, ChannelError> seal(
      std::span<const std::span<const std::byte>> text, std::vector<std::byte>& out) = 0;
  // What the handshake has to say to the peer, each byte once. It goes before what is sealed later.
  [[nodiscard]] virtual std::vector<std::byte> take_output() = 0;
  // Whether the handshake is over and records pass.
  [[nodiscard]] virtual bool open() const = 0;
  // Who the peer has proven to be: a word for its kind, ':' and its name, such as "key:" and a
  // public key in hexadecimal digits; nothing if it has proven nothing. REQUIRES: open()
  [[nodiscard]] virtual std::string subject() const = 0;
  // By what. REQUIRES: open()
  [[nodiscard]] virtual Proof proof() const = 0;
  // Whether its secrecy rests on ML-KEM as well: who records what passes and breaks X25519 later
  // reads nothing. REQUIRES: open()
  [[nodiscard]] virtual bool hybrid() const = 0;
  // Of a dialer that failed with other_suite: the channel to dial again with, over a new
  // connection. Nullptr: it is not to be tried again.
  [[nodiscard]] virtual std::unique_ptr<Channel> retry() const { return nullptr; }
};

// Makes the channels of a door. Any thread.
class ChannelSource {
 public:
  // The acceptor's side of a Noise channel; nullptr where the door does not speak it.
  [[nodiscard]] virtual std::unique_ptr<Channel> accept_noise() { return nullptr; }
  // The same of a TLS channel.
  [[nodiscard]] virtual std::unique_ptr<Channel> accept_tls() { return nullptr; }
  // Whether a peer may also speak without a channel.
  [[nodiscard]] virtual bool allows_plain() const = 0;

 protected:
  ~ChannelSource() = default;
};

}  // namespace valkyrie::protocol
