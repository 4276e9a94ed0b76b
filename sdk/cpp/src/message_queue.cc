#include "sdk/cpp/src/message_queue.h"

#include <cstring>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::detail {
namespace {

// Memory that an empty queue keeps.
constexpr std::size_t kKeptBytes = 1u << 20;

struct Head {
  Slot* slot;
  std::uint32_t payload_bytes;
  std::uint16_t pairs_bytes;
  std::uint8_t subject_bytes;
  std::uint8_t level;
  std::uint8_t qos;
};

std::byte* put(std::byte* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return to + bytes;
}

}  // namespace

std::size_t MessageQueue::bytes_of(const Message& message) {
  return sizeof(Head) + message.subject.size() + message.pairs.size() + message.payload.size();
}

void MessageQueue::push(const Message& message) {
  if (head_ > bytes_.size() / 2) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  const Head head{.slot = message.slot,
                  .payload_bytes = static_cast<std::uint32_t>(message.payload.size()),
                  .pairs_bytes = static_cast<std::uint16_t>(message.pairs.size()),
                  .subject_bytes = static_cast<std::uint8_t>(message.subject.size()),
                  .level = message.level,
                  .qos = message.qos};
  const std::size_t at = bytes_.size();
  bytes_.resize(at + bytes_of(message));
  std::byte* to = put(bytes_.data() + at, &head, sizeof head);
  to = put(to, message.subject.data(), message.subject.size());
  to = put(to, message.pairs.data(), message.pairs.size());
  put(to, message.payload.data(), message.payload.size());
}

Message MessageQueue::front() const {
  VALKYRIE_ASSERT(!empty());
  Head head;
  std::memcpy(&head, bytes_.data() + head_, sizeof head);
  const auto rest = std::span(bytes_).subspan(head_ + sizeof head);
  return {.subject = BytesView(rest.first(head.subject_bytes)).text(),
          .pairs = rest.subspan(head.subject_bytes, head.pairs_bytes),
          .payload = rest.subspan(head.subject_bytes + head.pairs_bytes, head.payload_bytes),
          .slot = head.slot,
          .level = head.level,
          .qos = head.qos};
}

void MessageQueue::pop() {
  head_ += bytes_of(front());
  if (!empty()) return;
  head_ = 0;
  bytes_.clear();
  if (bytes_.capacity() > kKeptBytes) std::vector<std::byte>().swap(bytes_);
}

void MessageQueue::swap(MessageQueue& other) noexcept {
  bytes_.swap(other.bytes_);
  std::swap(head_, other.head_);
}

}  // namespace valkyrie::detail
