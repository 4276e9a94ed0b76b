// Slots of operations in progress, and the slab they come from. Private to this folder.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "protocol/time.h"
#include "transport/timer_wheel.h"
#include "valkyrie/detail/operation.h"
#include "valkyrie/metadata.h"

namespace valkyrie::detail {

class Binding;
class Core;
class Incoming;
class Link;
struct Slot;

// Who does the work of an operation, on the loop.
class SlotOwner {
 public:
  // The user gave up, by cancel() or by dropping the handle: end the slot with `status`, whose
  // outcome counts where the owner does not know better.
  virtual void give_up(Slot& slot, const Status& status) = 0;
  // The slot's timer has fired.
  virtual void on_timer(Slot&) {}

 protected:
  ~SlotOwner() = default;
};

// Who has the slot. The handle's thread moves it from held to attached or dropped, the loop from
// held to finished; all else is the loop's. On the loop itself no read-modify-write is needed.
enum class Hold : std::uint8_t {
  held,      // A Pending owns it; no closure yet.
  attached,  // The closure waits for the end.
  dropped,   // Nobody waits for the end.
  finished,  // The end waits, in `delivery`, for a closure.
};

// Asks the loop to cancel a slot, from whichever thread requests the stop.
struct StopRequest {
  Core* core;
  Slot* slot;
  std::uint32_t generation;

  void operator()() const noexcept;
};

// What few calls have: kept off the slot so that the others pay nothing.
struct CallExtras {
  std::string target;  // Of a call that is not bound yet.
  std::string idempotency_key;
  Metadata metadata;
  std::optional<std::array<std::byte, 25>> trace;
  // Of the caller, and of a parent of another client: the loop of that one tells when it is over.
  std::array<std::stop_token, 2> stops;
  std::array<std::optional<std::stop_callback<StopRequest>>, 2> stop_callbacks;

  CallExtras() = default;
  CallExtras(const CallExtras&) = delete;
  CallExtras& operator=(const CallExtras&) = delete;
};

struct Slot : Operation {
  // Bytes of a payload that are kept in the slot for a retry without an allocation.
  static constexpr std::size_t kInlineBytes = 128;

  explicit Slot(Core& its_core);
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  Core& core;
  SlotOwner* owner = nullptr;
  std::atomic<Hold> hold{Hold::held};
  bool foreign = false;  // Acquired by another thread than the loop.
  bool done = false;     // Its end was delivered, or nobody wants it.
  bool owed = false;     // The session will still speak of it.
  std::uint32_t generation = 0;
  Slot* next = nullptr;  // In the one list it is in.
  Slot* previous = nullptr;
  Delivery delivery;  // While finished.

  // Of calls.
  bool waiting = false;         // In the queue of calls not handed to a session.
  bool ending = false;          // Given up with `end_code`; the session is asked what is known.
  bool judged = false;          // It was asked in an earlier round of the turn.
  bool retrying = false;        // The timer is set for the next attempt.
  bool one_way = false;         // A notify: over when it is sent.
  bool adopted = false;         // In the list of its parent's calls.
  bool repeatable = false;      // What may have executed may be tried again.
  bool hedge_due = false;       // The timer is set for the next attempt beside those that are out.
  bool maybe_executed = false;  // By an attempt that is over.
  bool retained = false;        // The payload is at hand for another attempt.
  std::uint8_t attempts = 0;    // Of hedged calls: all.
  std::uint8_t hedge_attempts = 0;  // That may be out at once; 0: it is not hedged.
  std::uint8_t qos = 0;
  StatusCode end_code = StatusCode::ok;
  std::uint32_t stream = 0;
  std::uint32_t correlation = 0;
  Binding* binding = nullptr;
  Link* link = nullptr;
  Incoming* parent = nullptr;  // Of the same client; a reference is held.
  Slot* primary = nullptr;     // Of a further attempt at a hedged call: the call, until it is over.
  Slot* hedges = nullptr;      // Of a hedged call: its further attempts that are out,
  Slot* next_hedge = nullptr;  // one after the other.
  Slot* next_child = nullptr;
  Slot* previous_child = nullptr;
  protocol::Instant deadline{};
  protocol::Duration time_limit{};
  protocol::Duration hedge_delay{};
  transport::Timer timer;
  std::unique_ptr<CallExtras> extras;
  Bytes payload;            // What does not fit below, or was shared to begin with. Also of writes.
  std::size_t backlog = 0;  // Of writes: what it counts for.
  std::uint32_t inline_size = 0;
  std::array<std::byte, kInlineBytes> inline_payload;

  // The payload that was kept.
  [[nodiscard]] BytesView body() const {
    if (!payload.empty()) return payload;
    return std::span(inline_payload).first(inline_size);
  }
  // Keeps a copy of `body` unless one is kept.
  void keep(BytesView body);
};

// An intrusive list of slots; a slot is in at most one.
class SlotList {
 public:
  [[nodiscard]] bool empty() const { return first_ == nullptr; }
  [[nodiscard]] Slot* front() const { return first_; }
  void push_back(Slot& slot);
  void push_front(Slot& slot);
  void remove(Slot& slot);
  // The first one, taken out; nullptr if there is none.
  Slot* pop();

 private:
  Slot* first_ = nullptr;
  Slot* last_ = nullptr;
};

// Where slots come from. A slot's memory stays valid as long as the slab, so that a late message
// about a slot can compare generations.
class SlotSlab {
 public:
  explicit SlotSlab(Core& core) : core_(core) {}

  // On the loop; no allocation in steady state.
  [[nodiscard]] Slot& acquire_on_loop(SlotOwner& owner);
  // On any other thread.
  [[nodiscard]] Slot& acquire_elsewhere(SlotOwner& owner);
  // On the loop.
  void release_on_loop(Slot& slot);
  // On any other thread, and after the loop's end.
  void release_elsewhere(Slot& slot);
  // Slots out now. On the loop.
  [[nodiscard]] std::size_t live();

 private:
  Slot& prepare(Slot& slot, SlotOwner& owner, bool foreign);
  void clear(Slot& slot);

  Core& core_;
  Slot* free_ = nullptr;  // The loop's.
  std::size_t loop_acquired_ = 0;
  std::size_t loop_released_ = 0;
  std::mutex mutex_;
  Slot* foreign_free_ = nullptr;  // Guarded by mutex_, as all below.
  std::size_t foreign_acquired_ = 0;
  std::size_t foreign_released_ = 0;
  std::deque<Slot> slots_;
};

}  // namespace valkyrie::detail
