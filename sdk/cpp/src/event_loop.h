// What turns: a reactor and the clients that run on it. Private to this folder.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "transport/clock.h"
#include "transport/reactor.h"
#include "valkyrie/options.h"
#include "valkyrie/status.h"

namespace valkyrie::detail {

class Core;

// Threads: see loop.h. A client without a Loop has one of these of its own, and a thread that turns
// it until the client has ended.
class EventLoop {
 public:
  // Errors: resource_exhausted. `owner` is the thread that turns it, none: one that is yet to come.
  [[nodiscard]] static Result<std::shared_ptr<EventLoop>> create(
      std::thread::id owner, std::shared_ptr<transport::SkippedTime> skipped_time = nullptr);
  EventLoop(std::unique_ptr<transport::Reactor> reactor, std::thread::id owner);

  // Any thread: whether this one is inside a turn.
  [[nodiscard]] bool turning_here() const { return current_ == this; }
  // Turns once, as Loop::turn().
  void turn(Duration max_wait);
  // Turns until stop().
  void run();
  void stop();
  // Turns until the last client has ended.
  void run_until_empty();
  // Blocks until `done()`, which is guarded by `lock`'s mutex and told of by `changed`, or until
  // the deadline; turns meanwhile if that is this thread's work. Returns `done()`.
  template <class Done>
  bool block_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Done done,
                   std::optional<protocol::Instant> deadline = std::nullopt) {
    while (!done()) {
      auto left = protocol::Duration{-1};
      if (deadline) {
        left = *deadline - transport::monotonic_now();
        if (left <= protocol::Duration::zero()) return false;
      }
      if (mine()) {
        lock.unlock();
        if (!try_turn(left)) std::this_thread::yield();
        lock.lock();
      } else if (deadline) {
        changed.wait_for(lock, left);
      } else {
        changed.wait(lock);
      }
    }
    return true;
  }

  [[nodiscard]] transport::Reactor& reactor() { return *reactor_; }

  // All below on the loop.
  void add(Core& core);
  void remove(Core& core);
  // Calls Core::after_turn() once, when the turn and its output are done. Not while it is asked.
  void after_turn(Core& core) { asked_.push_back(&core); }
  // Names the handler that runs, for messages about misuse; nullptr for none.
  void set_handler(const char* name) { handler_ = name; }
  [[nodiscard]] const char* handler() const { return handler_; }

 private:
  [[nodiscard]] bool mine();
  [[nodiscard]] bool try_turn(Duration max_wait);
  void own();
  void turn_once(Duration max_wait);
  void log_slow_turn();

  static thread_local EventLoop* current_;

  const std::unique_ptr<transport::Reactor> reactor_;
  std::mutex turning_;                  // Held by the thread that turns.
  std::atomic<std::thread::id> owner_;  // Who turns, in a turn or between two.
  std::atomic<bool> abandoned_{false};  // run() has returned: whoever blocks becomes the owner.
  std::vector<Core*> cores_;
  std::vector<Core*> asked_;
  std::vector<Core*> running_;
  const char* handler_ = nullptr;
  bool stop_asked_ = false;
};

}  // namespace valkyrie::detail
