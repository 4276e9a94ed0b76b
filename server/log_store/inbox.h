// Work that waits for a thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "protocol/time.h"

namespace valkyrie::log_store {

// A queue between threads. As long as what callers put into it: they bound that.
template <class Item>
class Inbox {
 public:
  // Adds at the end. Any thread.
  void push(Item item) {
    {
      const std::lock_guard lock(mutex_);
      items_.push_back(std::move(item));
    }
    some_.notify_one();
  }
  // All that is there; waits for something, for `at_most` (nullopt: without end) or for `stop`.
  [[nodiscard]] std::deque<Item> wait_all(const std::stop_token& stop,
                                          std::optional<protocol::Duration> at_most) {
    std::unique_lock lock(mutex_);
    wait(lock, stop, at_most);
    return std::exchange(items_, {});
  }
  // The first; waits for it or for `stop`, which gives nullopt.
  [[nodiscard]] std::optional<Item> wait_one(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    wait(lock, stop, std::nullopt);
    if (items_.empty()) return std::nullopt;
    std::optional<Item> first(std::move(items_.front()));
    items_.pop_front();
    return first;
  }
  // All that is there now.
  [[nodiscard]] std::deque<Item> take_all() {
    const std::lock_guard lock(mutex_);
    return std::exchange(items_, {});
  }

 private:
  void wait(std::unique_lock<std::mutex>& lock, const std::stop_token& stop,
            std::optional<protocol::Duration> at_most) {
    const auto some = [this] { return !items_.empty(); };
    if (at_most) {
      some_.wait_for(lock, stop, *at_most, some);
    } else {
      some_.wait(lock, stop, some);
    }
  }

  std::mutex mutex_;
  std::condition_variable_any some_;
  std::deque<Item> items_;
};

}  // namespace valkyrie::log_store
