// Carries one session over one stream socket.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "protocol/channel.h"
#include "protocol/session.h"
#include "transport/door.h"
#include "transport/half_open.h"
#include "transport/handshake_workers.h"
#include "transport/reactor.h"
#include "transport/socket.h"
#include "transport/stream_socket.h"

namespace valkyrie::transport {

// What ended a connection.
enum class CloseCause : std::uint8_t {
  session,          // The session closed; CloseReason::code says why.
  eof,              // The peer vanished without a GOAWAY.
  io_error,         // The socket broke; CloseReason::error says how.
  http_bytes,       // The peer spoke HTTP to a door that is not open.
  tls_bytes,        // The peer spoke TLS.
  noise_bytes,      // The peer began a Noise handshake.
  plain_bytes,      // The peer spoke without a channel to a door that demands one.
  channel,          // The channel failed; CloseReason::channel says how.
  garbage,          // The first bytes belong to no known protocol.
  door_timeout,     // The first bytes did not come in time.
  half_open_limit,  // Too many peers were silent, and this one for the longest.
  aborted,          // Connection::abort().
};

// Why a connection ended: one reason, the same word in log and metric.
struct CloseReason {
  CloseCause cause = CloseCause::session;
  protocol::CloseCode code = protocol::CloseCode::none;
  bool local = false;       // This side decided.
  std::error_code error{};  // Of io_error.
  protocol::ChannelError channel = protocol::ChannelError::none;
};

// The word for the reason: the close code's where the session closed, the error's where the channel
// failed, else the cause's.
[[nodiscard]] std::string_view to_string(const CloseReason& reason);

class Connection;

// The owner of connections. All calls come on the reactor's thread.
class ConnectionHandler {
 public:
  // An event of the session; what it borrows is valid until the return. The handler may use the
  // sessions of this and any other connection, and must not destroy this one.
  virtual void on_event(Connection& connection, const protocol::Event& event) = 0;
  // The last call: the socket is closed, and the session's `closed` event came before. The handler
  // may destroy the connection.
  virtual void on_closed(Connection& connection, const CloseReason& reason) = 0;

 protected:
  ~ConnectionHandler() = default;
};

// How a connection is run. Durations are real time.
struct ConnectionOptions {
  StreamOptions stream{};
  // From accept(2) until the first bytes tell the door.
  protocol::Duration door_timeout = protocol::kDoorTimeout;
  // How long a closed session may take to write its last bytes and see the peer's end.
  protocol::Duration linger = std::chrono::seconds{2};
  // Of an acceptor: which channels its door speaks; nullptr for none. Kept by reference.
  protocol::ChannelSource* channels = nullptr;
  // Who computes their handshakes; nullptr: the reactor's thread. Kept by reference.
  HandshakeWorkers* handshakes = nullptr;
};

// Drives a protocol::Session by a socket: what is read goes into the session, its events to the
// handler, and at the end of each turn whatever the session has to say leaves by one gathered
// write. Reading never waits for writing. One timer serves all deadlines.
//
// One thread: the reactor's. May be destroyed at any time except inside its own on_event(); then
// nothing more is called.
class Connection final : private StreamSink, private EndOfTurn, private HandshakeWaiter {
 public:
  // Bytes that a peer may have sent while a worker has its channel: a handshake and a hello.
  static constexpr std::size_t kHandshakeBytesMax = 32u << 10;
  // Bytes the session may choose for one write: beyond it, urgent frames could not overtake.
  static constexpr std::size_t kWriteBytesMax = 256u << 10;
  // The same while another connection of the shard carries critical frames. One that does itself
  // has kKernelUnsentCriticalBytes.
  static constexpr std::size_t kWriteBytesCalm = 64u << 10;

  // Takes a connected socket. Keeps references to `reactor`, `pool` and `handler`; `half_open` may
  // be nullptr, and is for acceptors. What a dialer says goes through `channel`, if it has one.
  Connection(Reactor& reactor, Socket socket, protocol::Role role,
             protocol::SharedSessionConfig config, protocol::BufferPool& pool,
             ConnectionHandler& handler, const ConnectionOptions& options = {},
             HalfOpenConnections* half_open = nullptr,
             std::unique_ptr<protocol::Channel> channel = nullptr);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Begins to read, and to write the hello. Errors: the reactor cannot watch the socket; nothing
  // is called then.
  [[nodiscard]] std::expected<void, std::error_code> start();

  // The session, to send on. What it has to say is written, and its events are handed out, at the
  // end of the turn in progress.
  [[nodiscard]] protocol::Session& session() {
    reactor_.at_end_of_turn(*this);
    return session_;
  }
  // The session, to look at.
  [[nodiscard]] const protocol::Session& session() const { return session_; }

  // Closes at once and without a word to the peer; the session's last events and on_closed() follow
  // at the end of the turn. For an orderly end use Session::drain() or Session::close().
  void abort();

  // Who is at the other end of a Unix socket, as the kernel says; nullopt on TCP.
  [[nodiscard]] const std::optional<PeerCredentials>& peer_credentials() const {
    return credentials_;
  }
  // The channel between session and socket; nullptr where there is none, or a worker has it. It may
  // not be open yet.
  [[nodiscard]] const protocol::Channel* channel() const {
    return sealed_ == nullptr ? nullptr : sealed_->channel.get();
  }
  // Whether there is a channel that is not open yet.
  [[nodiscard]] bool in_handshake() const {
    return sealed_ != nullptr && (sealed_->channel == nullptr || !sealed_->channel->open());
  }
  // The peer for logs: "127.0.0.1:40312" or "unix pid 7 uid 1000".
  [[nodiscard]] const std::string& peer_name() const { return peer_name_; }

 private:
  friend class HalfOpenConnections;

  enum class Phase : std::uint8_t {
    door,       // Accepted; the first bytes have not told what the peer speaks.
    open,       // The session runs.
    closing,    // The session is over, or writing failed: what is left has until phase_ends_.
    lingering,  // All is written; what the peer still sends is dropped until it ends, too.
    over,       // The socket is closed; on_closed() follows at the end of the turn.
    gone,       // on_closed() was called.
  };

  // What a channel needs beside the session.
  struct Sealed {
    std::unique_ptr<protocol::Channel> channel;
    std::shared_ptr<HandshakeStep> step{};  // Has the channel meanwhile;
    std::vector<std::byte> later{};         // this came in that time,
    std::optional<CloseReason> end{};       // and that was the peer's end.
    std::vector<std::byte> unsent{};        // Bytes that the kernel has not taken,
    std::size_t sent = 0;                   // but for so many.
    std::size_t plain = 0;  // Of them, bytes of the session that it was not told of.
  };
  class Opener;

  void on_bytes(std::span<std::byte> bytes, const std::shared_ptr<const void>& keeper) override;
  void on_writable() override;
  void on_stream_end(std::error_code error) override;
  void on_end_of_turn() override;
  void on_timer();

  std::span<std::byte> pass_door(std::span<std::byte> bytes);
  bool open_door(Door door);
  void take(std::span<std::byte> bytes, const std::shared_ptr<const void>& keeper);
  void give_away(std::span<const std::byte> bytes);
  void on_handshake_step(HandshakeStep& step) override;
  void feed(std::span<const std::byte> bytes, const std::shared_ptr<const void>& keeper);
  std::size_t hand_out_events();
  void note_critical();
  void write_output();
  std::span<const std::span<const std::byte>> gather();
  std::optional<std::size_t> write(std::span<const std::span<const std::byte>> pieces);
  void write_sealed();
  void seal_more();
  void fail_channel(protocol::ChannelError error);
  [[nodiscard]] bool has_output() const {
    return (sealed_ != nullptr && !sealed_->unsent.empty()) || session_.has_output();
  }
  void begin_closing(const CloseReason& reason);
  void finish(const CloseReason& reason);
  void deliver_end();
  void arm_timer();
  bool catch_up();

  Reactor& reactor_;
  ConnectionHandler& handler_;
  HalfOpenConnections* half_open_;
  Connection* older_ = nullptr;  // In half_open_.
  Connection* newer_ = nullptr;
  protocol::ChannelSource* const channels_;
  HandshakeWorkers* const handshakes_;
  std::unique_ptr<Sealed> sealed_;
  const protocol::Duration linger_time_;
  const std::uint32_t unsent_bytes_;
  protocol::Instant phase_ends_;  // Of door, closing and lingering.
  Phase phase_;
  bool write_failed_ = false;
  bool critical_ = false;  // The socket is set up for critical frames.
  std::uint8_t door_count_ = 0;
  std::array<std::byte, kDoorBytes> door_bytes_{};
  CloseReason reason_{};
  std::optional<PeerCredentials> credentials_;
  std::string peer_name_;
  Timer timer_ = Timer::calling<&Connection::on_timer>(this);
  protocol::Session session_;
  StreamSocket socket_;
};

}  // namespace valkyrie::transport
