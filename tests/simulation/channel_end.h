// One end of a connection with a channel, as transport::Connection runs it, without a socket.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "protocol/buffer_pool.h"
#include "protocol/channel.h"
#include "protocol/session.h"
#include "tests/simulation/virtual_pipe.h"

namespace valkyrie::simulation {

// A session behind a channel. It pings once it is ready, and is content with the answer.
class ChannelEnd final : private protocol::PlainSink {
 public:
  ChannelEnd(protocol::Role role, std::unique_ptr<protocol::Channel> channel,
             protocol::BufferPool& pool, Instant now);

  // Takes bytes that have arrived.
  void take(std::span<const std::byte> bytes, Instant now);
  // The other end is gone.
  void take_end(Instant now);
  // Sends what channel and session have to say.
  void speak(Pipe& pipe, const Faults& faults, std::mt19937_64& random, Instant now);
  // Lets the session do what is due.
  void on_deadline(Instant now);

  // Whether it takes and says nothing any more.
  [[nodiscard]] bool over() const { return error_.has_value() || session_.closed(); }
  // Whether it has had the answer to its ping.
  [[nodiscard]] bool content() const { return answered_ && !over(); }
  // Why the channel failed, if it did, or the session closed: every end has one.
  [[nodiscard]] const std::optional<protocol::ChannelError>& error() const { return error_; }
  [[nodiscard]] const std::optional<protocol::CloseCode>& code() const { return code_; }
  [[nodiscard]] const protocol::Channel& channel() const { return *channel_; }
  [[nodiscard]] const protocol::Session& session() const { return session_; }
  // All plain text that it sealed, and that its channel believed to be the peer's.
  [[nodiscard]] const std::string& said() const { return said_; }
  [[nodiscard]] const std::string& heard() const { return heard_; }
  // The most bytes that it said at once before its channel was open.
  [[nodiscard]] std::size_t unproven_bytes() const { return unproven_bytes_; }

 private:
  void on_plain(std::span<std::byte> text) override;
  void poll();
  void seal_session(std::vector<std::byte>& out, Instant now);

  std::unique_ptr<protocol::Channel> channel_;
  protocol::Session session_;
  Instant now_;
  bool answered_ = false;
  bool spoke_last_ = false;
  std::optional<protocol::ChannelError> error_;
  std::optional<protocol::CloseCode> code_;
  std::string said_;
  std::string heard_;
  std::size_t unproven_bytes_ = 0;
};

}  // namespace valkyrie::simulation
