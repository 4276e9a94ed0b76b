// A queue that owns no memory while it has never been used and keeps what it has grown to.
// Not installed.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace valkyrie::protocol {

// First in, first out. std::deque would cost an idle session half a kilobyte each.
template <typename T>
class Fifo {
 public:
  [[nodiscard]] bool empty() const { return first_ == items_.size(); }
  [[nodiscard]] std::size_t size() const { return items_.size() - first_; }
  // The oldest. REQUIRES: not empty.
  [[nodiscard]] T& front() { return items_[first_]; }
  // Adds the newest.
  void push(T item) { items_.push_back(std::move(item)); }
  // Takes the oldest out. REQUIRES: not empty.
  T pop() {
    T item = std::move(items_[first_++]);
    if (first_ == items_.size()) {
      items_.clear();
      first_ = 0;
    } else if (first_ >= 64 && first_ * 2 >= items_.size()) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(first_));
      first_ = 0;
    }
    return item;
  }

 private:
  std::vector<T> items_;
  std::size_t first_ = 0;
};

}  // namespace valkyrie::protocol
