#include "sdk/cpp/src/slot.h"

#include <cstring>

#include "sdk/cpp/src/core.h"

namespace valkyrie::detail {

Slot::Slot(Core& its_core)
    : core(its_core),
      timer(
          [](void* self) {
            auto& slot = *static_cast<Slot*>(self);
            slot.owner->on_timer(slot);
          },
          this) {}

void Slot::keep(BytesView body) {
  if (retained) return;
  retained = true;
  if (body.size() > kInlineBytes) {
    payload = Bytes::copy(body);
    return;
  }
  inline_size = static_cast<std::uint32_t>(body.size());
  if (!body.empty()) std::memcpy(inline_payload.data(), body.data(), body.size());
}

void StopRequest::operator()() const noexcept {
  core->post([slot = slot, generation = generation] {
    if (slot->generation != generation || slot->done) return;
    slot->owner->give_up(
        *slot, Status(StatusCode::cancelled, "the caller asked to stop", Outcome::maybe_executed));
  });
}

void SlotList::push_back(Slot& slot) {
  slot.next = nullptr;
  slot.previous = last_;
  (last_ == nullptr ? first_ : last_->next) = &slot;
  last_ = &slot;
}

void SlotList::push_front(Slot& slot) {
  slot.previous = nullptr;
  slot.next = first_;
  (first_ == nullptr ? last_ : first_->previous) = &slot;
  first_ = &slot;
}

void SlotList::remove(Slot& slot) {
  (slot.previous == nullptr ? first_ : slot.previous->next) = slot.next;
  (slot.next == nullptr ? last_ : slot.next->previous) = slot.previous;
  slot.next = nullptr;
  slot.previous = nullptr;
}

Slot* SlotList::pop() {
  Slot* slot = first_;
  if (slot != nullptr) remove(*slot);
  return slot;
}

Slot& SlotSlab::prepare(Slot& slot, SlotOwner& owner, bool foreign) {
  slot.owner = &owner;
  slot.foreign = foreign;
  slot.next = nullptr;
  return slot;
}

Slot& SlotSlab::acquire_on_loop(SlotOwner& owner) {
  if (free_ == nullptr) {
    const std::lock_guard lock(mutex_);
    free_ = std::exchange(foreign_free_, nullptr);
    if (free_ == nullptr) free_ = &slots_.emplace_back(core_);
  }
  ++loop_acquired_;
  Slot& slot = *free_;
  free_ = slot.next;
  return prepare(slot, owner, false);
}

Slot& SlotSlab::acquire_elsewhere(SlotOwner& owner) {
  const std::lock_guard lock(mutex_);
  ++foreign_acquired_;
  if (foreign_free_ == nullptr) foreign_free_ = &slots_.emplace_back(core_);
  Slot& slot = *foreign_free_;
  foreign_free_ = slot.next;
  return prepare(slot, owner, true);
}

// Only what may have been set: this runs once a call.
void SlotSlab::clear(Slot& slot) {
  ++slot.generation;
  slot.run = nullptr;
  slot.hold.store(Hold::held, std::memory_order_relaxed);
  slot.done = slot.owed = slot.waiting = slot.ending = slot.judged = false;
  slot.retrying = slot.repeatable = slot.retained = slot.one_way = false;
  slot.hedge_due = slot.maybe_executed = false;
  slot.attempts = slot.hedge_attempts = 0;
  slot.primary = slot.hedges = slot.next_hedge = nullptr;
  slot.inline_size = 0;
  slot.binding = nullptr;
  slot.link = nullptr;
  slot.correlation = 0;
  slot.delivery.status = Status();
  if (!slot.delivery.owned.empty()) slot.delivery.owned = {};
  slot.delivery.end = false;
  slot.delivery.number = 0;
  if (slot.delivery.object != nullptr) slot.delivery.object.reset();
  if (slot.extras != nullptr) slot.extras.reset();
  if (!slot.payload.empty()) slot.payload = {};
}

void SlotSlab::release_on_loop(Slot& slot) {
  clear(slot);
  if (slot.foreign) {
    const std::lock_guard lock(mutex_);
    ++foreign_released_;
    slot.next = std::exchange(foreign_free_, &slot);
    return;
  }
  ++loop_released_;
  slot.next = std::exchange(free_, &slot);
}

void SlotSlab::release_elsewhere(Slot& slot) {
  clear(slot);
  const std::lock_guard lock(mutex_);
  ++foreign_released_;
  slot.next = std::exchange(foreign_free_, &slot);
}

std::size_t SlotSlab::live() {
  const std::lock_guard lock(mutex_);
  return loop_acquired_ + foreign_acquired_ - loop_released_ - foreign_released_;
}

}  // namespace valkyrie::detail
