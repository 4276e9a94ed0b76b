// A byte stream inside a Noise channel: preamble, handshake, records. Sans-IO: bytes in, bytes and
// plain text out. Spec: docs/spec/noise.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "protocol/channel.h"
#include "protocol/noise/cipher_state.h"
#include "protocol/noise/handshake.h"
#include "protocol/noise/suite.h"

namespace valkyrie::protocol::noise {

// Bytes of plain text that a record holds at most.
inline constexpr std::size_t kRecordBytesMax = std::size_t{16} << 10;
// Records of a direction after which its key changes.
inline constexpr std::uint64_t kRekeyRecords = std::uint64_t{1} << 20;
// Longest handshake message that a peer may send; all suites stay below it.
inline constexpr std::size_t kHandshakeBytesMax = 2048;

// What a side brings. Spans and references are kept until the handshake is over.
struct ChannelConfig {
  HandshakeRole role = HandshakeRole::initiator;
  std::span<const Suite> suites{};  // Those it takes, best first; a dialer's first is tried first.
  const KeyPair& key;               // Its static key.
  std::optional<PublicKey> peer{};  // Of a dialer: the acceptor's static key, for suites of XK.
  Bytes psk{};                      // 32 bytes that both sides were given, or nothing.
  Entropy& entropy;
};

// One side of a Noise channel.
class Channel final : public protocol::Channel {
 public:
  // A dialer has its preamble and first message to take at once.
  // REQUIRES: suites is not empty; those of a dialer are all of XK if it has a peer, else of XX
  explicit Channel(const ChannelConfig& config);
  ~Channel() override;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  [[nodiscard]] std::expected<void, ChannelError> receive(std::span<std::byte> bytes,
                                                          PlainSink& sink) override;
  [[nodiscard]] std::expected<void, ChannelError> seal(
      std::span<const std::span<const std::byte>> text, std::vector<std::byte>& out) override;
  [[nodiscard]] std::vector<std::byte> take_output() override { return std::exchange(output_, {}); }
  [[nodiscard]] bool open() const override { return state_ == State::records; }
  [[nodiscard]] std::string subject() const override;
  [[nodiscard]] Proof proof() const override { return Proof::noise_key; }
  [[nodiscard]] bool hybrid() const override { return is_hybrid(picked_); }
  // The same offer with the acceptor's pick first. Once: a pick that changes again is forged.
  [[nodiscard]] std::unique_ptr<protocol::Channel> retry() const override;

  // The suite spoken; after ChannelError::other_suite the one to begin with.
  [[nodiscard]] Suite picked() const { return picked_; }
  // The peer's static key. REQUIRES: open()
  [[nodiscard]] const PublicKey& peer() const { return peer_; }
  // A hash of the handshake, equal on both sides. REQUIRES: open()
  [[nodiscard]] const Hash& hash() const { return hash_; }

 private:
  enum class State : std::uint8_t { preamble, messages, records, failed };
  // What lives only until the channel is open.
  struct Opening;

  std::expected<void, ChannelError> send_preamble();
  std::expected<void, ChannelError> send_message(Bytes payload);
  std::expected<void, ChannelError> take(std::span<std::byte>& bytes, PlainSink& sink);
  std::expected<void, ChannelError> take_preamble(std::span<std::byte> preamble);
  std::expected<void, ChannelError> take_offer(std::span<const std::byte> preamble);
  std::expected<void, ChannelError> take_pick(std::span<const std::byte> preamble);
  std::expected<void, ChannelError> take_message(std::span<std::byte> message);
  std::expected<void, ChannelError> answer(std::span<std::byte> message);
  std::expected<void, ChannelError> conclude(std::span<std::byte> message);
  std::expected<void, ChannelError> take_record(std::span<std::byte> record, PlainSink& sink);
  std::expected<void, ChannelError> take_kept(std::span<std::byte>& bytes, PlainSink& sink);
  std::expected<void, ChannelError> take_unit(std::span<std::byte> unit, PlainSink& sink);
  std::expected<std::size_t, ChannelError> size_of_next(Bytes bytes) const;
  void refuse(ChannelError reason);
  void begin(Suite suite, Bytes prologue);
  void become_open();

  std::unique_ptr<Opening> opening_;
  std::optional<ChannelError> failure_;  // Of the first message, told by receive().
  State state_ = State::preamble;
  Suite picked_;
  PublicKey peer_{};
  Hash hash_{};
  std::optional<CipherState> sending_;
  std::optional<CipherState> receiving_;
  std::uint64_t sealed_ = 0;  // Records of each direction so far.
  std::uint64_t opened_ = 0;
  std::vector<std::byte> partial_;  // The beginning of what is not whole yet.
  std::vector<std::byte> output_;
};

}  // namespace valkyrie::protocol::noise
