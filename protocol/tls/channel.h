// One side of a TLS 1.3 channel. Spec: docs/spec/tls.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/channel.h"

struct ssl_st;
struct ssl_session_st;

namespace valkyrie::protocol::tls {

class Context;

// Records after which a direction gets a new key.
inline constexpr std::uint64_t kRekeyRecords = std::uint64_t{1} << 20;

// Keeps what channels may resume later.
class SessionKeeper {
 public:
  // Takes the session over.
  virtual void keep(ssl_session_st* session) = 0;

 protected:
  ~SessionKeeper() = default;
};

// Made by an Acceptor or a Dialer. BoringSSL speaks; this gives it bytes and takes them. Before it
// is open it has no more than one handshake message of the peer, 16 KiB, and what BoringSSL needs.
class Channel final : public protocol::Channel {
 public:
  // The acceptor's side, which waits. Keeps `context`.
  explicit Channel(std::shared_ptr<const Context> context);
  // The dialer's side, to a peer of this name, with its first flight at take_output(). `session` is
  // one to resume, or nullptr; those of later are given to `keeper`, which outlives this.
  Channel(std::shared_ptr<const Context> context, std::string_view server, ssl_session_st* session,
          SessionKeeper& keeper);
  ~Channel() override;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  [[nodiscard]] std::expected<void, ChannelError> receive(std::span<std::byte> bytes,
                                                          PlainSink& sink) override;
  [[nodiscard]] std::expected<void, ChannelError> seal(
      std::span<const std::span<const std::byte>> text, std::vector<std::byte>& out) override;
  [[nodiscard]] std::vector<std::byte> take_output() override { return std::exchange(output_, {}); }
  [[nodiscard]] bool open() const override { return state_ == State::records; }
  [[nodiscard]] std::string subject() const override { return name_; }
  [[nodiscard]] Proof proof() const override {
    return name_.empty() ? Proof::none : Proof::certificate;
  }
  [[nodiscard]] bool hybrid() const override;

  // Whether it went on with an earlier session, without certificates. REQUIRES: open()
  [[nodiscard]] bool resumed() const;
  // Called by the library with a session that may be resumed.
  void on_session(ssl_session_st* session);

 private:
  enum class State : std::uint8_t { handshake, records, failed };
  class Wire;
  struct Free {
    void operator()(ssl_st* ssl) const;
  };

  void begin();
  [[nodiscard]] std::expected<void, ChannelError> shake_hands();
  [[nodiscard]] std::expected<void, ChannelError> become_open();
  [[nodiscard]] std::expected<void, ChannelError> read_records(std::span<std::byte> bytes,
                                                               PlainSink& sink);
  [[nodiscard]] std::expected<void, ChannelError> seal_record(std::span<const std::byte> text);
  std::unexpected<ChannelError> fail(ChannelError error);
  [[nodiscard]] ChannelError reason() const;

  const std::shared_ptr<const Context> context_;
  SessionKeeper* const keeper_;
  State state_ = State::handshake;
  bool ended_ = false;                       // The peer has said that nothing follows.
  std::span<const std::byte> input_{};       // What the library has not read yet.
  std::vector<std::byte> output_;            // What it has written,
  std::vector<std::byte>* sink_ = &output_;  // there or, while sealing, at the caller's.
  std::uint64_t sealed_ = 0;                 // Records.
  std::string name_;                         // Of the peer.
  std::unique_ptr<ssl_st, Free> ssl_;
};

}  // namespace valkyrie::protocol::tls
