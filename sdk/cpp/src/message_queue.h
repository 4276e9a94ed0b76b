// Messages on their way to a publish stream. Private to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "valkyrie/bytes.h"

namespace valkyrie::detail {

struct Slot;

// A message to publish; all views borrowed.
struct Message {
  std::string_view subject;
  std::span<const std::byte> pairs;  // Encoded end-to-end entries.
  BytesView payload;
  Slot* slot = nullptr;    // Who waits for the receipt; nullptr: nobody.
  std::uint8_t level = 0;  // The level asked for, with a slot.
  std::uint8_t qos = 0;
};

// Messages in their order, one after another in one block of memory: no allocation in steady state.
class MessageQueue {
 public:
  // Bytes that a message takes, in the queue and of the bound on all that waits.
  [[nodiscard]] static std::size_t bytes_of(const Message& message);

  [[nodiscard]] bool empty() const { return head_ == bytes_.size(); }
  // Appends a copy.
  void push(const Message& message);
  // The oldest. Valid until the next push() or pop(). REQUIRES: not empty().
  [[nodiscard]] Message front() const;
  // Drops the oldest. REQUIRES: not empty().
  void pop();
  // Exchanges the contents.
  void swap(MessageQueue& other) noexcept;

 private:
  std::vector<std::byte> bytes_;
  std::size_t head_ = 0;
};

}  // namespace valkyrie::detail
