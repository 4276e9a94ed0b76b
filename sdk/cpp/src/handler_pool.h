// Threads for handlers that block. Private to this folder.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
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
  explicit HandlerPool(std::size_t threads_max) : threads_max_(threads_max) {}
  ~HandlerPool() { stop(); }

  // Runs the call soon. Any thread.
  void submit(BlockingCall call);
  // Drops what is queued, waits for what runs, ends the threads. Not from one of them.
  void stop();
  // Whether this is one of its threads.
  [[nodiscard]] bool on_thread() const { return current_ == this; }

 private:
  void run();

  static thread_local const HandlerPool* current_;

  const std::size_t threads_max_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<BlockingCall> queue_;  // Guarded by mutex_, as all below.
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace valkyrie::detail
