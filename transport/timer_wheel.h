// Timers of one shard: arming, re-arming and cancelling are constant time and allocate nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "protocol/time.h"

namespace valkyrie::transport {

class TimerWheel;

// A timer embedded in the object it wakes. Destroying an armed timer cancels it. One thread: that
// of the wheel.
class Timer {
 public:
  // Called with `context` when the timer expires; the timer is idle again by then and may be
  // armed, cancelled or destroyed, as may any other timer.
  using Callback = void (*)(void* context);

  Timer(Callback callback, void* context) : callback_(callback), context_(context) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  // Makes a timer that calls `object->*Method()`.
  template <auto Method, class T>
  [[nodiscard]] static Timer calling(T* object) {
    return Timer([](void* context) { (static_cast<T*>(context)->*Method)(); }, object);
  }

  // Whether the callback is still to come.
  [[nodiscard]] bool armed() const { return wheel_ != nullptr; }
  // The instant it was armed for. REQUIRES: armed()
  [[nodiscard]] protocol::Instant deadline() const { return deadline_; }
  // Disarms it; no effect on an idle timer.
  void cancel();

 private:
  friend class TimerWheel;

  Timer* next_ = nullptr;
  Timer** link_ = nullptr;  // What points at this timer: the slot's head or a neighbour's next_.
  TimerWheel* wheel_ = nullptr;
  std::uint64_t tick_ = 0;
  protocol::Instant deadline_{};
  std::uint8_t level_ = 0;
  std::uint8_t slot_ = 0;
  Callback callback_;
  void* context_;
};

// A hierarchical timer wheel of 1 ms ticks: five levels of 64 slots reach 12 days, and a timer
// beyond that is looked at again when the last slot comes round. A timer never fires early, and
// fires at the first advance() at or after its deadline rounded up to a tick.
class TimerWheel {
 public:
  // `origin` is the instant from which ticks are counted.
  explicit TimerWheel(protocol::Instant origin) : origin_(origin) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  // Leaves timers that are still armed idle, without calling them.
  ~TimerWheel();

  // Arms `timer`, or moves it when it is armed already. A deadline in the past fires when the next
  // tick is reached.
  void arm(Timer& timer, protocol::Instant deadline);

  // Fires every timer that is due at `now`, in the order of their ticks. What a callback arms fires
  // in a later advance(), so that this one ends. Returns how many. REQUIRES: not inside a callback.
  std::size_t advance(protocol::Instant now);

  // No timer fires before this instant; nullopt when none is armed. It may be earlier than the
  // first deadline, when timers have to move to a finer level first.
  [[nodiscard]] std::optional<protocol::Instant> next_expiry() const;

  // How many timers are armed.
  [[nodiscard]] std::size_t armed_count() const { return armed_; }

 private:
  friend class Timer;

  static constexpr std::uint32_t kSlotBits = 6;
  static constexpr std::uint32_t kSlots = 1u << kSlotBits;
  static constexpr std::uint32_t kLevels = 5;
  static constexpr std::uint64_t kReachTicks = std::uint64_t{1} << (kSlotBits * kLevels);

  struct Level {
    std::uint64_t occupied = 0;  // One bit for each slot that holds timers.
    std::array<Timer*, kSlots> slots{};
  };
  struct Expiry {
    std::uint32_t level;
    std::uint32_t slot;
    std::uint64_t tick;
  };

  [[nodiscard]] std::uint64_t tick_of(protocol::Instant instant, bool round_up) const;
  [[nodiscard]] std::optional<Expiry> first_slot() const;
  static void push(Timer*& head, Timer& timer);
  void insert(Timer& timer);
  void unlink(Timer& timer);
  std::size_t expire(const Expiry& expiry);

  protocol::Instant origin_;
  std::uint64_t elapsed_ = 0;  // The tick up to which everything has fired.
  std::uint64_t horizon_ = 0;  // The tick that the running or last advance() leads to.
  std::size_t armed_ = 0;
  Timer* firing_ = nullptr;  // Taken from their slot, callback still to come.
  std::array<Level, kLevels> levels_{};
};

}  // namespace valkyrie::transport
