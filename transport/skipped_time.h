// Time that passes at once, for tests: on top of what the real clock says, and the same for every
// reactor that goes by it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

#include "protocol/time.h"

namespace valkyrie::transport {

class Reactor;

// How much was skipped. Any thread; reactors attach themselves.
class SkippedTime {
 public:
  SkippedTime() = default;
  SkippedTime(const SkippedTime&) = delete;
  SkippedTime& operator=(const SkippedTime&) = delete;

  // All that was skipped so far.
  [[nodiscard]] protocol::Duration total() const {
    return protocol::Duration(total_.load(std::memory_order_acquire));
  }
  // Lets so much pass. Each reactor begins a turn that sees it, soon.
  void skip(protocol::Duration by);
  // Returns when each reactor has ended a turn that began after this call, or is gone. Not on the
  // thread of one.
  void settle();

 private:
  friend class Reactor;

  void attach(Reactor& reactor);
  void detach(Reactor& reactor);

  std::atomic<protocol::Duration::rep> total_{0};
  std::mutex mutex_;
  std::vector<Reactor*> reactors_;  // Guarded by mutex_, as the next.
  std::size_t unsettled_ = 0;
  std::condition_variable settled_;
};

}  // namespace valkyrie::transport
