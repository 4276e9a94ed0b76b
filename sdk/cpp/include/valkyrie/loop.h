// An event loop of the application's, for clients that share it.
#pragma once

#include <memory>

#include "valkyrie/options.h"
#include "valkyrie/status.h"

namespace valkyrie {

namespace detail {
class EventLoop;
}  // namespace detail

// Where clients run that were given it as ClientOptions::loop, instead of one thread each: many
// connections in one thread, or Valkyrie inside another program's event loop.
//
// One thread at a time turns it: it calls run(), or turn() whenever fd() is readable. That thread
// also turns the loop while it blocks in Client::connect(), Client::close() or Pending::wait()
// outside of a turn; before the first turn it is the one that created the loop, after run() the
// first that blocks. All other threads that block there wait for it: close the clients before it
// ends.
class Loop {
 public:
  // Errors: resource_exhausted when the process is out of descriptors.
  [[nodiscard]] static Result<Loop> create();

  Loop(Loop&&) noexcept;
  Loop& operator=(Loop&&) noexcept;
  ~Loop();

  // Turns until stop(). REQUIRES: not inside a turn.
  void run();
  // Ends run() after the turn in progress, or the next run() if there is none. Any thread.
  void stop();
  // Runs what is ready, callbacks included, after waiting for it up to `max_wait`; a negative wait
  // has no end. REQUIRES: not inside a turn.
  void turn(Duration max_wait = Duration::zero());

  // For a foreign loop: poll fd() for reading for at most prepare_wait(), then call turn().
  [[nodiscard]] int fd() const noexcept;
  // How long a foreign loop may sleep: zero when work waits, negative when only fd() can bring
  // some. On the thread that turns the loop.
  [[nodiscard]] Duration prepare_wait();

  // For the library.
  [[nodiscard]] const std::shared_ptr<detail::EventLoop>& state() const noexcept { return state_; }

 private:
  explicit Loop(std::shared_ptr<detail::EventLoop> state) noexcept;

  std::shared_ptr<detail::EventLoop> state_;
};

}  // namespace valkyrie
