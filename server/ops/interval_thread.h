// Work that is done again and again, away from the shards: it may wait for the disk.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "protocol/time.h"

namespace valkyrie::server {

// Calls `work` each `interval` on a thread of its own, until it is destroyed, which waits for a
// call that runs.
class IntervalThread {
 public:
  IntervalThread(protocol::Duration interval, std::function<void()> work);

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // Last: it uses what is above.
};

}  // namespace valkyrie::server
