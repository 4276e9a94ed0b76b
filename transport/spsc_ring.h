// A bounded queue between exactly one producer thread and one consumer thread.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::transport {

// Wait-free. The indices live on cache lines of their own, and each side keeps a copy of the
// other's index, so that a batch touches the other core's line once.
template <class T>
class SpscRing {
 public:
  // Holds up to `capacity` elements. REQUIRES: `capacity` is a power of two.
  explicit SpscRing(std::size_t capacity)
      : mask_(capacity - 1), slots_(std::make_unique<T[]>(capacity)) {
    VALKYRIE_ASSERT(std::has_single_bit(capacity));
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  // Producer. Moves from `value` and answers true, or answers false when the ring is full.
  [[nodiscard]] bool try_push(T& value) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - cached_head_ > mask_) {
      cached_head_ = head_.load(std::memory_order_acquire);
      if (tail - cached_head_ > mask_) return false;
    }
    slots_[tail & mask_] = std::move(value);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  // Consumer. Calls `take(T&&)` for the elements present at the start of the call, oldest first,
  // and returns how many there were. Their slots are free for the producer after the last one.
  template <class Take>
  std::size_t pop_all(Take&& take) {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    cached_tail_ = tail_.load(std::memory_order_acquire);
    for (std::size_t i = head; i != cached_tail_; ++i) take(std::move(slots_[i & mask_]));
    if (head != cached_tail_) head_.store(cached_tail_, std::memory_order_release);
    return cached_tail_ - head;
  }

  // Consumer: whether nothing is to be popped.
  [[nodiscard]] bool empty() const {
    return head_.load(std::memory_order_relaxed) == tail_.load(std::memory_order_acquire);
  }

 private:
  static constexpr std::size_t kCacheLineBytes = 64;

  const std::size_t mask_;
  const std::unique_ptr<T[]> slots_;
  // The producer's line, then the consumer's.
  alignas(kCacheLineBytes) std::atomic<std::size_t> tail_{0};
  std::size_t cached_head_ = 0;
  alignas(kCacheLineBytes) std::atomic<std::size_t> head_{0};
  std::size_t cached_tail_ = 0;
};

}  // namespace valkyrie::transport
