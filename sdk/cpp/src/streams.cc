#include "sdk/cpp/src/streams.h"

#include "sdk/cpp/src/stream_side.h"

namespace valkyrie::detail {

void Streams::wait_for_room(StreamSide& side) {
  if (side.waits_for_room_) return;
  side.waits_for_room_ = true;
  side.next_waiting_ = nullptr;
  side.previous_waiting_ = last_waiting_;
  (last_waiting_ == nullptr ? first_waiting_ : last_waiting_->next_waiting_) = &side;
  last_waiting_ = &side;
  ++waiting_;
}

void Streams::forget(StreamSide& side) {
  if (!side.waits_for_room_) return;
  side.waits_for_room_ = false;
  StreamSide* const previous = side.previous_waiting_;
  StreamSide* const next = side.next_waiting_;
  (previous == nullptr ? first_waiting_ : previous->next_waiting_) = next;
  (next == nullptr ? last_waiting_ : next->previous_waiting_) = previous;
  --waiting_;
}

// Each once: who finds no room waits again, behind the others.
void Streams::advance() {
  for (std::size_t left = waiting_; left > 0 && first_waiting_ != nullptr; --left) {
    StreamSide& side = *first_waiting_;
    forget(side);
    side.advance();
  }
}

}  // namespace valkyrie::detail
