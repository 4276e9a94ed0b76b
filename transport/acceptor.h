// Accepts connections on one shard.
#pragma once

#include <cstdint>
#include <expected>
#include <sys/socket.h>
#include <system_error>

#include "transport/reactor.h"
#include "transport/socket.h"

namespace valkyrie::transport {

// Takes accepted connections. All calls come on the reactor's thread.
class AcceptHandler {
 public:
  // A new connection: non-blocking, close-on-exec, tuned.
  virtual void on_accepted(Socket socket) = 0;
  // Whether another connection may be accepted now. After false the acceptor pauses until
  // Acceptor::connection_closed(); the kernel keeps who connects meanwhile, up to its backlog.
  [[nodiscard]] virtual bool may_accept() { return true; }
  // Accepting pauses since the system refuses: EMFILE, ENFILE, ENOBUFS or ENOMEM. For the log.
  virtual void on_accept_paused(std::error_code cause) { static_cast<void>(cause); }

 protected:
  ~AcceptHandler() = default;
};

// How to accept.
struct AcceptorOptions {
  StreamOptions stream{};
  // accept4(2); tests replace it to run out of descriptors.
  int (*accept)(int fd, sockaddr* address, socklen_t* size, int flags) = ::accept4;
  // Bounds a pause when no connection of this shard closes: another process may free descriptors.
  protocol::Duration pause = std::chrono::milliseconds{100};
};

// Counters since the start, for metrics.
struct AcceptorStats {
  std::uint64_t accepted = 0;
  std::uint64_t pauses = 0;  // For lack of descriptors or memory.
};

// Watches a listening descriptor and accepts. Out of descriptors it stops watching instead of
// spinning on a queue that it cannot empty, and goes on when a connection closes or the pause is
// over. One thread: the reactor's.
class Acceptor final : private ReadinessHandler {
 public:
  // Connections taken in one turn; the rest waits, so that accepting does not starve serving.
  static constexpr int kAcceptsPerTurn = 32;

  // Keeps references to `reactor` and `handler`. `fd` is not owned. `shared`: other shards watch
  // the same queue (see Listener::shared).
  Acceptor(Reactor& reactor, int fd, bool shared, AcceptHandler& handler,
           const AcceptorOptions& options = {});
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Begins to accept. Errors: the reactor cannot watch the descriptor.
  [[nodiscard]] std::expected<void, std::error_code> start();
  // Stops for good. Idempotent.
  void stop();
  // A connection is gone: its descriptor and its place are free.
  void connection_closed();

  // True while accepting waits for descriptors or for may_accept().
  [[nodiscard]] bool paused() const { return phase_ == Phase::paused; }
  [[nodiscard]] const AcceptorStats& stats() const { return stats_; }

 private:
  enum class Phase : std::uint8_t { idle, accepting, paused };

  void on_ready(Ready ready) override;
  void pause();
  void resume();

  Reactor& reactor_;
  const int fd_;
  const bool shared_;
  AcceptHandler& handler_;
  const AcceptorOptions options_;
  Phase phase_ = Phase::idle;
  AcceptorStats stats_;
  Timer timer_ = Timer::calling<&Acceptor::resume>(this);
};

}  // namespace valkyrie::transport
