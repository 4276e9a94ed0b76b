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
  // public key in hexadecimal digits. REQUIRES: open()
  [[nodiscard]] virtual std::string subject() const = 0;
};

// Makes the channels of a door. Any thread.
class ChannelSource {
 public:
  // The acceptor's side of a Noise channel; nullptr where the door does not speak it.
  [[nodiscard]] virtual std::unique_ptr<Channel> accept_noise() = 0;
  // Whether a peer may also speak without a channel.
  [[nodiscard]] virtual bool allows_plain() const = 0;

 protected:
  ~ChannelSource() = default;
};

}  // namespace valkyrie::protocol
