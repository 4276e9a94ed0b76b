#include "server/router/wait_queue.h"

#include <bit>

#include "protocol/assert.h"

namespace valkyrie::router {
namespace {

// Adds to a list through two members of its elements.
template <class List>
void add(List& list, Waiter& waiter, bool at_front, Waiter* Waiter::* next,
         Waiter* Waiter::* previous) {
  Waiter* const beside = at_front ? list.first : list.last;
  waiter.*next = at_front ? beside : nullptr;
  waiter.*previous = at_front ? nullptr : beside;
  if (beside == nullptr) {
    list.first = list.last = &waiter;
  } else if (at_front) {
    beside->*previous = &waiter;
    list.first = &waiter;
  } else {
    beside->*next = &waiter;
    list.last = &waiter;
  }
}

template <class List>
void take(List& list, Waiter& waiter, Waiter* Waiter::* next, Waiter* Waiter::* previous) {
  (waiter.*previous == nullptr ? list.first : (waiter.*previous)->*next) = waiter.*next;
  (waiter.*next == nullptr ? list.last : (waiter.*next)->*previous) = waiter.*previous;
  waiter.*next = waiter.*previous = nullptr;
}

}  // namespace

void WaitQueue::push(Waiter& waiter, std::uint8_t qos) {
  waiter.level = qos;
  VALKYRIE_ASSERT(qos < kLevels);
  link(waiter, /*at_front=*/false);
}

void WaitQueue::put_back(Waiter& waiter) { link(waiter, /*at_front=*/true); }

void WaitQueue::link(Waiter& waiter, bool at_front) {
  add(levels_[waiter.level], waiter, at_front, &Waiter::level_next, &Waiter::level_previous);
  add(ages_, waiter, at_front, &Waiter::age_next, &Waiter::age_previous);
  used_[waiter.level / 32] |= 1U << waiter.level % 32;
  ++size_;
}

void WaitQueue::erase(Waiter& waiter) {
  List& level = levels_[waiter.level];
  take(level, waiter, &Waiter::level_next, &Waiter::level_previous);
  take(ages_, waiter, &Waiter::age_next, &Waiter::age_previous);
  if (level.first == nullptr) used_[waiter.level / 32] &= ~(1U << waiter.level % 32);
  --size_;
}

// The first of the lowest level that has somebody, from `level` on.
Waiter* WaitQueue::first_from(std::size_t level) const {
  for (std::size_t word = level / 32; word < used_.size(); ++word) {
    std::uint32_t bits = used_[word];
    if (word == level / 32) bits &= ~0U << level % 32;
    if (bits != 0) {
      return levels_[word * 32 + static_cast<std::size_t>(std::countr_zero(bits))].first;
    }
  }
  return nullptr;
}

Waiter* WaitQueue::next() const {
  return turns_ % kOldestEvery == kOldestEvery - 1 ? ages_.first : first_from(0);
}

Waiter* WaitQueue::after(const Waiter& waiter) const {
  if (turns_ % kOldestEvery == kOldestEvery - 1) return waiter.age_next;
  if (waiter.level_next != nullptr) return waiter.level_next;
  return waiter.level + std::size_t{1} == kLevels ? nullptr : first_from(waiter.level + 1U);
}

}  // namespace valkyrie::router
