#include "server/ops/interval_thread.h"

#include <stop_token>
#include <utility>

namespace valkyrie::server {

IntervalThread::IntervalThread(protocol::Duration interval, std::function<void()> work)
    : thread_([this, interval, work = std::move(work)](const std::stop_token& stop) {
        while (true) {
          {
            std::unique_lock lock(mutex_);
            wake_.wait_for(lock, stop, interval, [] { return false; });
          }
          if (stop.stop_requested()) return;
          work();
        }
      }) {}

}  // namespace valkyrie::server
