// How much may wait for a peer, by class: docs/spec/scheduling.md, "Room".
// Private to this folder.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "protocol/constants.h"

namespace valkyrie::protocol {

// What a message with this qos byte may fill of a bound of `most` bytes. Each class leaves a part
// to the one above it, so that bulk never takes the place of what is urgent.
[[nodiscard]] constexpr std::uint64_t room_for(std::uint64_t most, std::uint8_t qos) {
  return most - most * kQueuedReservePercent * (qos >> 5U) / 100;
}

// Bytes of messages that wait, by class.
class WaitingBytes {
 public:
  // Bytes of a message with this qos byte begin to wait, or do so no more.
  void add(std::uint8_t qos, std::uint64_t bytes) {
    by_class_[qos >> 5U] += bytes;
    total_ += bytes;
  }
  void take(std::uint8_t qos, std::uint64_t bytes) {
    by_class_[qos >> 5U] -= bytes;
    total_ -= bytes;
  }

  // Of all classes.
  [[nodiscard]] std::uint64_t total() const { return total_; }
  // Whether one more message of this size and class may wait, where `taken` bytes of the bound of
  // `most` are used otherwise. One may always, however long, if none of its class or above does.
  [[nodiscard]] bool takes(std::uint8_t qos, std::uint64_t size, std::uint64_t taken,
                           std::uint64_t most) const {
    const std::size_t its_class = qos >> 5U;
    std::uint64_t bytes = taken;
    // What a class below has beyond its room, as its message is long, is not in the way.
    for (std::size_t i = by_class_.size() - 1; i > its_class; --i) {
      const std::uint64_t room = room_for(most, static_cast<std::uint8_t>(i << 5U));
      bytes = std::max(bytes, std::min(bytes + by_class_[i], room));
    }
    std::uint64_t ahead = 0;
    for (std::size_t i = 0; i <= its_class; ++i) ahead += by_class_[i];
    return ahead == 0 || bytes + ahead + size <= room_for(most, qos);
  }

 private:
  std::uint64_t total_ = 0;
  std::array<std::uint64_t, kClassWeights.size()> by_class_{};
};

}  // namespace valkyrie::protocol
