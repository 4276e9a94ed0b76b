// Requests that wait for their response, on either side of a session.
// Private to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "protocol/constants.h"
#include "protocol/flat_index.h"
#include "protocol/output_queue.h"

namespace valkyrie::protocol {

// A request without a response yet. Which fields count depends on the side.
struct Request {
  std::uint64_t cookie = 0;
  Ticket first{};  // Requester: where its first and last frame stand; see queued.
  Ticket last{};
  std::uint32_t stream = 0;       // Id on the wire.
  std::uint32_t correlation = 0;  // Id on the wire.
  std::uint32_t stream_slot = 0;
  std::uint32_t previous = FlatIndex::kNone;  // Slots of the same stream, oldest first.
  std::uint32_t next = FlatIndex::kNone;
  std::uint8_t qos = 0;                     // Responder: of the answer.
  bool started = false;                     // Requester: `first` counts.
  bool queued = false;                      // Requester: `last` counts.
  bool cancelled = false;                   // CANCEL was sent or seen.
  bool abandoned = false;                   // Responder: nobody waits; kept until the work is over.
  bool incomplete = false;                  // Responder: more fragments are to come.
  StatusCode status = StatusCode::ok;       // Requester: why it failed by itself.
  CloseCode code = CloseCode::none;         // Likewise.
  Outcome outcome = Outcome::not_executed;  // Likewise.
};

// First and last request of a stream.
struct RequestList {
  std::uint32_t first = FlatIndex::kNone;
  std::uint32_t last = FlatIndex::kNone;
};

// The unanswered requests of one side, found by stream and correlation id in constant time. Slots
// are reused, so that a session in steady state allocates nothing.
class RequestTable {
 public:
  // Adds a request at the end of `list` and returns its slot.
  std::uint32_t insert(RequestList& list, std::uint32_t stream, std::uint32_t correlation) {
    std::uint32_t slot = free_;
    if (slot == FlatIndex::kNone) {
      slot = static_cast<std::uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      free_ = slots_[slot].next;
      slots_[slot] = {};
    }
    Request& request = slots_[slot];
    request.stream = stream;
    request.correlation = correlation;
    link(list, slot);
    index_.insert(key(stream, correlation), slot);
    return slot;
  }

  // The slot of a request, or FlatIndex::kNone.
  [[nodiscard]] std::uint32_t find(std::uint32_t stream, std::uint32_t correlation) const {
    return index_.find(key(stream, correlation));
  }

  // Takes a request out of the table and its list.
  void erase(RequestList& list, std::uint32_t slot) {
    unlink(list, slot);
    Request& request = slots_[slot];
    index_.erase(key(request.stream, request.correlation));
    request.next = free_;
    free_ = slot;
  }

  // Moves a request to the end of another list of its stream.
  void move(RequestList& from, RequestList& to, std::uint32_t slot) {
    unlink(from, slot);
    link(to, slot);
  }

  // The request in a slot. REQUIRES: the slot is in use. Invalid after the next insert().
  [[nodiscard]] Request& operator[](std::uint32_t slot) { return slots_[slot]; }
  [[nodiscard]] std::size_t size() const { return index_.size(); }

 private:
  void link(RequestList& list, std::uint32_t slot) {
    slots_[slot].previous = list.last;
    slots_[slot].next = FlatIndex::kNone;
    (list.last == FlatIndex::kNone ? list.first : slots_[list.last].next) = slot;
    list.last = slot;
  }

  void unlink(RequestList& list, std::uint32_t slot) {
    const Request& request = slots_[slot];
    (request.previous == FlatIndex::kNone ? list.first : slots_[request.previous].next) =
        request.next;
    (request.next == FlatIndex::kNone ? list.last : slots_[request.next].previous) =
        request.previous;
  }

  static std::uint64_t key(std::uint32_t stream, std::uint32_t correlation) {
    return std::uint64_t{stream} << 32 | correlation;
  }

  std::vector<Request> slots_;
  std::uint32_t free_ = FlatIndex::kNone;
  FlatIndex index_;
};

}  // namespace valkyrie::protocol
