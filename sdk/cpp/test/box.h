// One value from one thread to another. Private to this folder.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

namespace valkyrie::test {

// Unlike a std::promise it may die as soon as get() returns: the setter lets go of it before.
template <class T>
class Box {
 public:
  void set_value(T value) {
    const std::lock_guard lock(mutex_);
    value_.emplace(std::move(value));
    set_.notify_one();
  }
  T get() {
    std::unique_lock lock(mutex_);
    set_.wait(lock, [this] { return value_.has_value(); });
    return std::move(*value_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable set_;
  std::optional<T> value_;
};

template <>
class Box<void> {
 public:
  void set_value() { box_.set_value({}); }
  void get() { static_cast<void>(box_.get()); }

 private:
  Box<std::monostate> box_;
};

}  // namespace valkyrie::test
