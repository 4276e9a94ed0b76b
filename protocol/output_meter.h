// What the sessions of a thread send by class, and how long it waits: for metrics.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "protocol/output_queue.h"
#include "protocol/time.h"

namespace valkyrie::protocol {

// Shared by sessions through SessionConfig::meter. Bytes are counted exactly; of the waits one in
// each class is under observation at a time, from when its frame is queued until the channel has
// been given it. Not thread-safe: it belongs to the thread of its sessions.
class OutputMeter {
 public:
  static constexpr std::size_t kClasses = 5;

  // Of one class, since the start. Durations in nanoseconds.
  struct Waits {
    std::uint64_t count = 0;
    std::uint64_t sum_ns = 0;
    std::uint64_t max_ns = 0;
  };

  // What the owner's clock says; tell it before the sessions are used.
  void set_now(Instant now) { now_ = now; }
  // Bytes of message frames queued, by class.
  [[nodiscard]] const std::array<std::uint64_t, kClasses>& bytes() const { return bytes_; }
  // Waits observed, by class.
  [[nodiscard]] const std::array<Waits, kClasses>& waits() const { return waits_; }

  // For sessions: a frame was queued.
  void queued(const OutputQueue& queue, std::size_t qos_class, std::uint64_t bytes, Ticket ticket) {
    bytes_[qos_class] += bytes;
    Probe& probe = probes_[qos_class];
    // One that is stuck with a slow peer makes room, and counts.
    if (probe.queue != nullptr && now_ - probe.since >= kPatience) record(qos_class, now_);
    if (probe.queue == nullptr) probe = {.queue = &queue, .ticket = ticket, .since = now_};
  }
  // For sessions: some of the queue was given to the channel.
  void written(const OutputQueue& queue, Instant now) {
    for (std::size_t i = 0; i < kClasses; ++i) {
      if (probes_[i].queue == &queue && queue.departed(probes_[i].ticket)) record(i, now);
    }
  }
  // For sessions: the queue is about to go.
  void forget(const OutputQueue& queue) {
    for (Probe& probe : probes_) {
      if (probe.queue == &queue) probe.queue = nullptr;
    }
  }

 private:
  static constexpr Duration kPatience = std::chrono::seconds{1};

  struct Probe {
    const OutputQueue* queue = nullptr;
    Ticket ticket;
    Instant since{};
  };

  void record(std::size_t qos_class, Instant now) {
    const auto waited = static_cast<std::uint64_t>(
        std::max(Duration::zero(), now - probes_[qos_class].since).count());
    Waits& waits = waits_[qos_class];
    ++waits.count;
    waits.sum_ns += waited;
    waits.max_ns = std::max(waits.max_ns, waited);
    probes_[qos_class].queue = nullptr;
  }

  Instant now_{};
  std::array<std::uint64_t, kClasses> bytes_{};
  std::array<Waits, kClasses> waits_{};
  std::array<Probe, kClasses> probes_{};
};

}  // namespace valkyrie::protocol
