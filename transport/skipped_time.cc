#include "transport/skipped_time.h"

#include <algorithm>
#include <memory>

#include "transport/reactor.h"

namespace valkyrie::transport {

void SkippedTime::skip(protocol::Duration by) {
  total_.fetch_add(by.count(), std::memory_order_acq_rel);
  const std::lock_guard lock(mutex_);
  for (Reactor* reactor : reactors_) reactor->wake();
}

// A task is run in a turn or destroyed with its reactor: both let go of what it holds. The second
// one begins after the turn of the first has ended.
void SkippedTime::settle() {
  const auto done = [this](void*) {
    const std::lock_guard lock(mutex_);
    if (--unsettled_ == 0) settled_.notify_all();
  };
  for (int turn = 0; turn < 2; ++turn) {
    std::unique_lock lock(mutex_);
    unsettled_ += reactors_.size();
    for (Reactor* reactor : reactors_) {
      reactor->post([token = std::shared_ptr<void>(this, done)] {});
    }
    settled_.wait(lock, [this] { return unsettled_ == 0; });
  }
}

void SkippedTime::attach(Reactor& reactor) {
  const std::lock_guard lock(mutex_);
  reactors_.push_back(&reactor);
}

void SkippedTime::detach(Reactor& reactor) {
  const std::lock_guard lock(mutex_);
  std::erase(reactors_, &reactor);
}

}  // namespace valkyrie::transport
