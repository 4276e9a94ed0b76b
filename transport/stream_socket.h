// A connected, non-blocking stream socket on a reactor: TCP or Unix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <sys/uio.h>
#include <system_error>

#include "transport/reactor.h"
#include "transport/socket.h"

namespace valkyrie::transport {

// Takes what a StreamSocket reads and learns. All calls come on the reactor's thread. The sink may
// close() the socket in any of them, and must not destroy it in any of them.
class StreamSink {
 public:
  // Bytes in the order of the stream. Gone after the return, unless somebody has taken a share of
  // `keeper`; it is nullptr where nobody may keep them.
  virtual void on_bytes(std::span<std::byte> bytes, const std::shared_ptr<const void>& keeper) = 0;
  // The socket takes bytes again after write() took fewer than it was given.
  virtual void on_writable() = 0;
  // No more bytes will come: the peer ended its direction (`error` is empty) or the connection
  // broke. The socket is closed by then; nothing more is called.
  virtual void on_stream_end(std::error_code error) = 0;

 protected:
  ~StreamSink() = default;
};

// Reads whatever the peer sends, whether or not writing is blocked, and writes what it is told to.
// It owns no buffer, so that an idle connection costs none. One thread: the reactor's.
class StreamSocket final : private ReadinessHandler {
 public:
  // Bytes. One connection gets the thread for at most this much a turn.
  static constexpr std::size_t kReadBytesPerTurn = 1u << 20;
  // Bytes. A turn that brings small messages ends after this many, so that their answers leave
  // while the rest is still to be read: with a pipeline of processes on several cores, that is
  // what lets them work at the same time.
  static constexpr std::size_t kReadBytesBrisk = 16u << 10;
  // Bytes that a turn reads while there is critical traffic on the shard: of bulk, and of small
  // messages, which cost more each.
  static constexpr std::size_t kReadBytesCritical = 32u << 10;
  static constexpr std::size_t kReadBytesCriticalBrisk = 4u << 10;
  // Pieces one write() can gather.
  static constexpr std::size_t kPiecesMax = Reactor::kWritePiecesMax;

  // Keeps references to `reactor` and `sink`. Takes a connected socket; see tune_stream().
  StreamSocket(Reactor& reactor, Socket socket, StreamSink& sink);
  ~StreamSocket();
  StreamSocket(const StreamSocket&) = delete;
  StreamSocket& operator=(const StreamSocket&) = delete;

  // Begins to read. Errors: the reactor cannot watch it; the socket is closed.
  [[nodiscard]] std::expected<void, std::error_code> start();

  // Writes the pieces with one system call and returns how many bytes the kernel took: fewer than
  // all means that on_writable() will follow, and until then 0 comes without a system call. An
  // error means that the connection is broken; on_stream_end() follows from the read side, since
  // what the peer sent before may still be read.
  // REQUIRES: started, at most kPiecesMax pieces, not all empty
  [[nodiscard]] std::expected<std::size_t, std::error_code> write(
      std::span<const std::span<const std::byte>> pieces);

  // Whether what arrives is bulk: then each read takes what a slab holds, which may be kept. False
  // at first.
  void expect_bulk(bool bulk) { bulk_ = bulk; }

  // Whether critical frames come and go: then it is served before others, and no more than
  // `unsent_bytes` lie unsent in the kernel. REQUIRES: open
  void set_critical(bool critical, std::uint32_t unsent_bytes);

  // Reads what has come, up to kReadBytesPerTurn, and forgets that a write was cut short: for the
  // time before a peer is judged by its silence. REQUIRES: open
  void catch_up();

  // False from a write that was cut short until on_writable().
  [[nodiscard]] bool writable() const { return !blocked_; }
  // Ends this side's direction after what was written; reading goes on.
  void shut_down_write();
  // Closes at once. Nothing is called after it. Idempotent.
  void close();
  // Whether the descriptor is still open.
  [[nodiscard]] bool is_open() const { return static_cast<bool>(socket_); }
  // The descriptor, for options and addresses; -1 when closed.
  [[nodiscard]] int fd() const { return socket_.fd(); }

 private:
  void on_ready(Ready ready) override;
  void read_available(bool until_end);
  void end(std::error_code error);
  void set_blocked();

  Reactor& reactor_;
  Socket socket_;
  StreamSink& sink_;
  bool watched_ = false;
  bool blocked_ = false;
  bool awaits_room_ = false;  // The reactor watches for it: at least while blocked.
  bool bulk_ = false;
};

}  // namespace valkyrie::transport
