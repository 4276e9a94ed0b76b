#include "transport/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::transport {
namespace {

constexpr protocol::Duration kTick = std::chrono::milliseconds{1};
constexpr std::uint8_t kFiringLevel = 0xff;  // Linked in firing_, in no slot.

}  // namespace

void Timer::cancel() {
  if (wheel_ != nullptr) wheel_->unlink(*this);
}

TimerWheel::~TimerWheel() {
  for (Level& level : levels_) {
    for (Timer*& head : level.slots) {
      while (head != nullptr) unlink(*head);
    }
  }
}

std::uint64_t TimerWheel::tick_of(protocol::Instant instant, bool round_up) const {
  if (instant <= origin_) return 0;
  const auto since = (instant - origin_).count();
  const auto tick = kTick.count();
  const auto ticks = since / tick + (round_up && since % tick != 0 ? 1 : 0);
  return static_cast<std::uint64_t>(ticks);
}

void TimerWheel::push(Timer*& head, Timer& timer) {
  timer.next_ = head;
  timer.link_ = &head;
  if (head != nullptr) head->link_ = &timer.next_;
  head = &timer;
}

void TimerWheel::unlink(Timer& timer) {
  VALKYRIE_ASSERT(timer.wheel_ == this);
  *timer.link_ = timer.next_;
  if (timer.next_ != nullptr) timer.next_->link_ = timer.link_;
  timer.wheel_ = nullptr;
  --armed_;
  if (timer.level_ == kFiringLevel) return;
  Level& level = levels_[timer.level_];
  if (level.slots[timer.slot_] == nullptr) level.occupied &= ~(std::uint64_t{1} << timer.slot_);
}

void TimerWheel::arm(Timer& timer, protocol::Instant deadline) {
  timer.cancel();
  timer.deadline_ = deadline;
  timer.tick_ = std::max(tick_of(deadline, /*round_up=*/true), horizon_ + 1);
  insert(timer);
}

// The highest bit in which the tick differs from the present names the level: everything above is
// common, so the slot comes up exactly when the present reaches it.
void TimerWheel::insert(Timer& timer) {
  const std::uint64_t differing = (elapsed_ ^ timer.tick_) | (kSlots - 1);
  const auto highest = static_cast<std::uint32_t>(63 - std::countl_zero(differing));
  const std::uint32_t level = std::min(highest / kSlotBits, kLevels - 1);
  const auto slot = static_cast<std::uint32_t>(timer.tick_ >> (level * kSlotBits)) & (kSlots - 1);
  timer.wheel_ = this;
  timer.level_ = static_cast<std::uint8_t>(level);
  timer.slot_ = static_cast<std::uint8_t>(slot);
  push(levels_[level].slots[slot], timer);
  levels_[level].occupied |= std::uint64_t{1} << slot;
  ++armed_;
}

std::optional<TimerWheel::Expiry> TimerWheel::first_slot() const {
  for (std::uint32_t i = 0; i < kLevels; ++i) {
    const std::uint64_t occupied = levels_[i].occupied;
    if (occupied == 0) continue;
    const std::uint32_t shift = i * kSlotBits;
    const auto present = static_cast<std::uint32_t>(elapsed_ >> shift) & (kSlots - 1);
    const auto ahead = static_cast<std::uint32_t>(
        std::countr_zero(std::rotr(occupied, static_cast<int>(present))));
    const std::uint32_t slot = (present + ahead) & (kSlots - 1);
    const std::uint64_t range = std::uint64_t{1} << (shift + kSlotBits);
    std::uint64_t tick = (elapsed_ & ~(range - 1)) + (std::uint64_t{slot} << shift);
    if (tick <= elapsed_) tick += range;  // Only on the last level: timers beyond its reach.
    return Expiry{.level = i, .slot = slot, .tick = tick};
  }
  return std::nullopt;
}

std::optional<protocol::Instant> TimerWheel::next_expiry() const {
  const auto first = first_slot();
  if (!first) return std::nullopt;
  return origin_ + kTick * static_cast<protocol::Duration::rep>(first->tick);
}

// Fires what is due in a slot that has come up and moves the rest to finer levels. Callbacks may
// cancel what is still to come, so the list is taken apart from its head only.
std::size_t TimerWheel::expire(const Expiry& expiry) {
  Level& level = levels_[expiry.level];
  level.occupied &= ~(std::uint64_t{1} << expiry.slot);
  firing_ = std::exchange(level.slots[expiry.slot], nullptr);
  if (firing_ != nullptr) firing_->link_ = &firing_;
  for (Timer* timer = firing_; timer != nullptr; timer = timer->next_) timer->level_ = kFiringLevel;
  std::size_t fired = 0;
  while (firing_ != nullptr) {
    Timer& timer = *firing_;
    unlink(timer);
    if (timer.tick_ > elapsed_) {
      insert(timer);
      continue;
    }
    ++fired;
    timer.callback_(timer.context_);
  }
  return fired;
}

std::size_t TimerWheel::advance(protocol::Instant now) {
  horizon_ = std::max(horizon_, tick_of(now, /*round_up=*/false));
  std::size_t fired = 0;
  for (auto first = first_slot(); first && first->tick <= horizon_; first = first_slot()) {
    elapsed_ = first->tick;
    fired += expire(*first);
  }
  elapsed_ = horizon_;
  return fired;
}

}  // namespace valkyrie::transport
