// Threads for handlers that block. Private to this folder.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "valkyrie/service.h"

namespace valkyrie::detail {

// A blocking call: what its handler needs.
struct BlockingCall {
  Handler* handler;  // Alive as long as the incoming call.
  IncomingCall call;
  Bytes body;
  Reply reply;
};

// A bounded number of threads, started one by one as calls come while all are busy. The queue is
// bounded by the calls a session may have in flight.
class HandlerPool {
 public:
  // `on_quiet` is called once no handler runs any more after refuse(), on a thread of the pool.
  HandlerPool(std::size_t threads_max, std::function<void()> on_quiet)
      : threads_max_(threads_max), on_quiet_(std::move(on_quiet)) {}
  ~HandlerPool() { stop(); }

  // Runs the call soon, or drops it after refuse(). Any thread.
  void submit(BlockingCall call);
  // Drops what is queued and takes no more; what runs goes on.
  void refuse();
  // Whether no handler runs. Any thread.
  [[nodiscard]] bool quiet() const;
  // refuse(), waits for what runs, ends the threads. Not from one of them.
  void stop();
  // Whether this is one of its threads.
  [[nodiscard]] bool on_thread() const { return current_ == this; }

 private:
  void run();

  static thread_local const HandlerPool* current_;

  const std::size_t threads_max_;
  const std::function<void()> on_quiet_;
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<BlockingCall> queue_;  // Guarded by mutex_, as all below.
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  std::size_t running_ = 0;
  bool stopping_ = false;
};

}  // namespace valkyrie::detail
