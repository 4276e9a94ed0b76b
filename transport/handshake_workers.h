// Threads for handshakes: a step of one computes for some tenths of a millisecond, in which the
// sessions of its reactor would wait.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <expected>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "protocol/channel.h"

namespace valkyrie::transport {

class Reactor;
struct HandshakeStep;

// Who waits for a step.
class HandshakeWaiter {
 public:
  // On the reactor's thread: the step is done. Not called if the workers end before.
  virtual void on_handshake_step(HandshakeStep& step) = 0;

 protected:
  ~HandshakeWaiter() = default;
};

// Bytes of a peer for a channel that is not open yet, and what came of them. Between take() and the
// call of the waiter it belongs to a worker, but for give_up().
struct HandshakeStep {
  std::unique_ptr<protocol::Channel> channel{};
  std::vector<std::byte> bytes{};
  HandshakeWaiter* waiter = nullptr;
  std::vector<std::byte> text{};  // Opened, behind the handshake's end.
  std::expected<void, protocol::ChannelError> outcome{};

  // The waiter goes, and is not called. On the reactor's thread.
  void give_up() {
    waiter = nullptr;
    given_up.store(true, std::memory_order_relaxed);
  }
  std::atomic<bool> given_up = false;  // Then nothing is computed, if it is not begun.
};

// Takes the steps in their order. They are less urgent than what reactors do, to the system's
// scheduler as well.
class HandshakeWorkers {
 public:
  // REQUIRES: threads > 0
  explicit HandshakeWorkers(std::size_t threads);
  // Waits for the steps that are begun; the others are dropped.
  ~HandshakeWorkers();
  HandshakeWorkers(const HandshakeWorkers&) = delete;
  HandshakeWorkers& operator=(const HandshakeWorkers&) = delete;

  // Lets a thread take the step. `reactor` is the waiter's, and outlives this. Any thread.
  void take(std::shared_ptr<HandshakeStep> step, Reactor& reactor);

 private:
  struct Errand {
    std::shared_ptr<HandshakeStep> step;
    Reactor* reactor;
  };

  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Errand> errands_;  // Guarded by mutex_, as the next.
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace valkyrie::transport
