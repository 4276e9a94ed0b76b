// What waits for room at a service, in the order in which it is to go: by class, then urgency, then
// age; each eighth time the oldest of all, so that nothing starves. Every step takes the same time,
// however much waits.
//
// Pure; not thread-safe: one shard owns it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

#include "protocol/constants.h"
#include "protocol/time.h"

namespace valkyrie::registry {
class Service;
}

namespace valkyrie::router {

// What each but one frame in so many is to the scheduler: a turn that goes to the oldest.
inline constexpr std::uint32_t kOldestEvery = 8;

struct Waiter;

// Waiters of all queues, by deadline.
using Expiry = std::multimap<protocol::Instant, Waiter*>;

// A place in a queue. Part of what waits; must not move meanwhile.
struct Waiter {
  std::uint64_t what = 0;  // Tagged id of a call or a stream.
  protocol::Instant since{};
  protocol::Instant deadline{};
  std::uint64_t queue = 0;  // Id of the queue it is in; 0: none.
  Expiry::iterator expiry{};

  // Kept by WaitQueue.
  Waiter* level_next = nullptr;
  Waiter* level_previous = nullptr;
  Waiter* age_next = nullptr;
  Waiter* age_previous = nullptr;
  std::uint8_t level = protocol::kQosDefault;
};

// The queue of one service on one shard.
class WaitQueue {
 public:
  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;

  // Adds the youngest. `qos` is the byte of its frame, class and urgency.
  void push(Waiter& waiter, std::uint8_t qos);
  // Puts one back that was taken out and did not get on: before the others of its kind.
  void put_back(Waiter& waiter);
  // Takes one out, wherever it stands.
  void erase(Waiter& waiter);

  // Who is to go now; nullptr if nobody waits. Asking changes nothing.
  [[nodiscard]] Waiter* next() const;
  // Who would go after `waiter` if that could not; nullptr after the last.
  [[nodiscard]] Waiter* after(const Waiter& waiter) const;
  // Someone went: the turn of the next.
  void turn() { ++turns_; }

  // How many wait.
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  registry::Service* service = nullptr;  // Whose queue it is.
  bool is_woken = false;                 // It is to be looked at before the turn ends.

 private:
  // A doubly linked list.
  struct List {
    Waiter* first = nullptr;
    Waiter* last = nullptr;
  };
  // One for each qos byte there is.
  static constexpr std::size_t kLevels =
      (static_cast<std::size_t>(protocol::QosClass::telemetry) + 1) * 32;

  [[nodiscard]] Waiter* first_from(std::size_t level) const;
  void link(Waiter& waiter, bool at_front);

  std::array<List, kLevels> levels_{};
  std::array<std::uint32_t, kLevels / 32> used_{};  // A bit for each level with somebody.
  List ages_;
  std::size_t size_ = 0;
  std::uint32_t turns_ = 0;
};

}  // namespace valkyrie::router
