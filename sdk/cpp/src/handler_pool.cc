#include "sdk/cpp/src/handler_pool.h"

#include <utility>

#include "sdk/cpp/src/signals.h"

namespace valkyrie::detail {

thread_local const HandlerPool* HandlerPool::current_ = nullptr;

void HandlerPool::submit(BlockingCall call) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return;  // What it was given answers that it was dropped.
  queue_.push_back(std::move(call));
  if (queue_.size() > idle_ && threads_.size() < threads_max_) {
    const BlockedSignals blocked;
    threads_.emplace_back([this] { run(); });
  }
  work_.notify_one();
}

void HandlerPool::refuse() {
  std::deque<BlockingCall> dropped;
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  dropped.swap(queue_);
  work_.notify_all();
}

bool HandlerPool::quiet() const {
  const std::lock_guard lock(mutex_);
  return running_ == 0 && queue_.empty();
}

void HandlerPool::stop() {
  refuse();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void HandlerPool::run() {
  current_ = this;
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    BlockingCall call = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    lock.unlock();
    call.handler->run(std::move(call.call), call.body, std::move(call.reply));
    call.body = {};
    lock.lock();
    if (--running_ > 0 || !stopping_) continue;
    lock.unlock();
    on_quiet_();
    lock.lock();
  }
}

}  // namespace valkyrie::detail
