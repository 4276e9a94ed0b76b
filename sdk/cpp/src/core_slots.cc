// Handing the ends of operations to whoever waits for them.
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "protocol/assert.h"
#include "sdk/cpp/src/core.h"

namespace valkyrie::detail {

Slot& Core::acquire(SlotOwner& owner) {
  return on_loop() ? slab_.acquire_on_loop(owner) : slab_.acquire_elsewhere(owner);
}

void Core::release(Slot& slot) {
  VALKYRIE_ASSERT(slot.done);
  if (!slot.owed) slab_.release_on_loop(slot);
}

void Core::release_elsewhere(Slot& slot) {
  {
    // The end counts the slots that are out, under the same lock.
    const std::lock_guard lock(mutex_);
    slab_.release_elsewhere(slot);
    if (!ended_) return;
  }
  release_token();
}

void Core::settle(Slot& slot) {
  slot.owed = false;
  if (slot.hold.load(std::memory_order_acquire) == Hold::dropped) release(slot);
}

void Core::deliver(Slot& slot, Delivery& delivery) {
  slot.run(slot.closure, &delivery);
  slot.hold.store(Hold::dropped, std::memory_order_relaxed);
  release(slot);
}

void Core::finish(Slot& slot, Delivery& delivery) {
  slot.done = true;
  Hold hold = slot.hold.load(std::memory_order_acquire);
  if (hold == Hold::attached) return deliver(slot, delivery);
  if (hold == Hold::held) {
    // The payload may be borrowed from what was received: it must outlive this call.
    Delivery& kept = slot.delivery;
    kept.status = std::move(delivery.status);
    kept.owned = delivery.owned.empty() ? Bytes::copy(delivery.payload) : std::move(delivery.owned);
    kept.payload = kept.owned;
    kept.end = delivery.end;
    kept.number = delivery.number;
    kept.object = std::move(delivery.object);
    const bool kept_for_later = slot.hold.compare_exchange_strong(
        hold, Hold::finished, std::memory_order_acq_rel, std::memory_order_acquire);
    if (kept_for_later) return;
    if (hold == Hold::attached) return deliver(slot, kept);
  }
  release(slot);
}

void Core::finish(Slot& slot, Status status) {
  Delivery delivery{.status = std::move(status)};
  finish(slot, delivery);
}

void Core::finish_later(Slot& slot, Delivery delivery) {
  if (slot.hold.load(std::memory_order_acquire) != Hold::attached) {
    return finish(slot, delivery);  // Runs no closure, unless one is attached in this instant.
  }
  slot.done = true;
  slot.delivery = std::move(delivery);
  ready_.push_back(slot);
  at_end_of_turn();
}

void Core::finish_later(Slot& slot, Status status) {
  finish_later(slot, Delivery{.status = std::move(status)});
}

void Core::deliver_ready() {
  while (Slot* slot = ready_.pop()) {
    if (slot->run == nullptr) {
      release(*slot);
    } else {
      deliver(*slot, slot->delivery);
    }
  }
}

// The client has ended: the closure runs on this thread, the only one left that knows of the slot.
void Core::deliver_here(Slot& slot) {
  slot.run(slot.closure, &slot.delivery);
  release_elsewhere(slot);
}

void Core::attach(Slot& slot) {
  if (on_loop()) {
    const bool finished = slot.hold.load(std::memory_order_relaxed) == Hold::finished;
    slot.hold.store(Hold::attached, std::memory_order_relaxed);
    if (!finished) return;
    ready_.push_back(slot);
    at_end_of_turn();
    return;
  }
  Hold held = Hold::held;
  if (slot.hold.compare_exchange_strong(held, Hold::attached, std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
    return;
  }
  slot.hold.store(Hold::attached, std::memory_order_relaxed);
  if (!post([this, &slot] { deliver(slot, slot.delivery); })) deliver_here(slot);
}

void Core::drop(Slot& slot) {
  const Status dropped(StatusCode::cancelled, {}, Outcome::maybe_executed);
  if (on_loop()) {
    const Hold before = slot.hold.exchange(Hold::dropped, std::memory_order_relaxed);
    if (before == Hold::finished) return release(slot);
    if (before == Hold::attached) {
      std::exchange(slot.run, nullptr)(slot.closure, nullptr);
      if (slot.done) return;  // In the list of those to deliver, which sees that nobody waits.
    }
    slot.owner->give_up(slot, dropped);
    return;
  }
  const std::uint32_t generation = slot.generation;
  Hold held = Hold::held;
  if (slot.hold.compare_exchange_strong(held, Hold::dropped, std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
    post([&slot, generation, dropped] {
      if (slot.generation == generation && !slot.done) slot.owner->give_up(slot, dropped);
    });
    return;
  }
  // A cancel() may be on its way to the loop, and the session may still have to speak of the slot:
  // both are before this.
  const bool posted = post([this, &slot] {
    slot.hold.store(Hold::dropped, std::memory_order_relaxed);
    release(slot);
  });
  if (!posted) release_elsewhere(slot);
}

void Core::cancel(Slot& slot) {
  const Status cancelled(StatusCode::cancelled, {}, Outcome::maybe_executed);
  if (on_loop()) {
    if (!slot.done) slot.owner->give_up(slot, cancelled);
    return;
  }
  post([&slot, generation = slot.generation, cancelled] {
    if (slot.generation == generation && !slot.done) slot.owner->give_up(slot, cancelled);
  });
}

void Core::end_unbegun(Slot& slot) {
  slot.done = true;
  slot.delivery.status =
      Status(StatusCode::cancelled, "the client is closed", Outcome::not_executed);
  {
    const std::lock_guard lock(mutex_);
    if (ended_) tokens_.fetch_add(1, std::memory_order_relaxed);
  }
  slot.hold.store(Hold::finished, std::memory_order_release);
}

Result<void> Core::end_notify(Slot& slot) {
  if (on_loop()) {
    if (slot.hold.load(std::memory_order_relaxed) != Hold::finished) {
      slot.hold.store(Hold::dropped, std::memory_order_relaxed);
      return {};
    }
    Result<void> result = Decode<void>::from(slot.delivery);
    release(slot);
    return result;
  }
  Hold held = Hold::held;
  if (slot.hold.compare_exchange_strong(held, Hold::dropped, std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
    return {};
  }
  Result<void> result = Decode<void>::from(slot.delivery);
  release_elsewhere(slot);
  return result;
}

void Core::assert_may_wait() const {
  if (!on_loop()) return;
  std::fprintf(stderr,
               "valkyrie: wait() in %s, on the client's loop, which alone could end it: use "
               "co_await or then()\n",
               loop_->handler() != nullptr ? loop_->handler() : "a callback or coroutine");
  std::abort();
}

namespace {

Slot& slot_of(Operation& operation) { return static_cast<Slot&>(operation); }

}  // namespace

void attach(Operation& operation) noexcept {
  Slot& slot = slot_of(operation);
  slot.core.attach(slot);
}

void drop(Operation& operation) noexcept {
  Slot& slot = slot_of(operation);
  slot.core.drop(slot);
}

void detach(Operation& operation) noexcept {
  operation.run = [](void*, Delivery*) noexcept {};
  attach(operation);
}

void cancel(Operation& operation) noexcept {
  Slot& slot = slot_of(operation);
  slot.core.cancel(slot);
}

Gate::Gate(const Operation& operation) noexcept
    : loop_(static_cast<const Slot&>(operation).core.loop()) {
  static_cast<const Slot&>(operation).core.assert_may_wait();
}

Gate::~Gate() = default;

void Gate::open() noexcept {
  const std::lock_guard lock(mutex_);
  open_ = true;
  opened_.notify_one();
}

void Gate::wait() noexcept {
  std::unique_lock lock(mutex_);
  loop_->block_until(lock, opened_, [this] { return open_; });
}

}  // namespace valkyrie::detail
