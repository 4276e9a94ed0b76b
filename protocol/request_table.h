// Requests that wait for their response, on either side of a session.
// Private to this folder.
#pragma once

#include <algorithm>
#include <bit>
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
  std::uint32_t chained = FlatIndex::kNone;  // The next slot with its hash.
  std::uint8_t qos = 0;                      // Responder: of the answer.
  bool started = false;                      // Requester: `first` counts.
  bool queued = false;                       // Requester: `last` counts.
  bool cancelled = false;                    // CANCEL was sent or seen.
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
// are reused, so that a session in steady state allocates nothing. Hashed into chains through the
// slots themselves, which every use touches anyway: most requests are asked for soon after they
// came, and are then the first of their chain.
class RequestTable {
 public:
  // Adds a request at the end of `list` and returns its slot.
  std::uint32_t insert(RequestList& list, std::uint32_t stream, std::uint32_t correlation) {
    std::uint32_t slot = free_;
    if (slot == FlatIndex::kNone) {
      slot = grow();
    } else {
      free_ = slots_[slot].next;
      slots_[slot] = kFresh;
    }
    Request& request = slots_[slot];
    request.stream = stream;
    request.correlation = correlation;
    link(list, slot);
    std::uint32_t& chain = chain_of(stream, correlation);
    request.chained = chain;
    chain = slot;
    ++size_;
    return slot;
  }

  // The slot of a request, or FlatIndex::kNone.
  [[nodiscard]] std::uint32_t find(std::uint32_t stream, std::uint32_t correlation) const {
    if (size_ == 0) return FlatIndex::kNone;
    std::uint32_t slot = chains_[home(stream, correlation)];
    while (slot != FlatIndex::kNone && !is(slots_[slot], stream, correlation)) {
      slot = slots_[slot].chained;
    }
    return slot;
  }

  // Takes a request out of the table and its list.
  void erase(RequestList& list, std::uint32_t slot) {
    unlink(list, slot);
    Request& request = slots_[slot];
    std::uint32_t* link = &chain_of(request.stream, request.correlation);
    while (*link != slot) link = &slots_[*link].chained;
    *link = request.chained;
    --size_;
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
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  static constexpr Request kFresh{};  // To copy in a few moves.

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

  static bool is(const Request& request, std::uint32_t stream, std::uint32_t correlation) {
    return request.correlation == correlation && request.stream == stream;
  }

  // Fibonacci hashing: consecutive ids spread evenly. REQUIRES: chains_ is not empty
  [[nodiscard]] std::size_t home(std::uint32_t stream, std::uint32_t correlation) const {
    const std::uint64_t key = std::uint64_t{stream} << 32 | correlation;
    return key * 0x9E3779B97F4A7C15u >> shift_;
  }
  std::uint32_t& chain_of(std::uint32_t stream, std::uint32_t correlation) {
    return chains_[home(stream, correlation)];
  }

  [[gnu::noinline]] std::uint32_t grow() {
    slots_.emplace_back();
    if (2 * slots_.size() > chains_.size()) rehash();
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }

  // Twice as many chains as slots, or more. All slots are in use, but for the last, which is not
  // chained.
  void rehash() {
    chains_.assign(std::bit_ceil(std::max<std::size_t>(2 * slots_.size(), 8)), FlatIndex::kNone);
    shift_ = 64 - std::countr_zero(chains_.size());
    for (std::uint32_t slot = 0; slot + 1 < slots_.size(); ++slot) {
      std::uint32_t& chain = chain_of(slots_[slot].stream, slots_[slot].correlation);
      slots_[slot].chained = chain;
      chain = slot;
    }
  }

  std::vector<Request> slots_;
  std::vector<std::uint32_t> chains_;  // First slots; a power of two of them.
  std::uint32_t free_ = FlatIndex::kNone;
  std::uint32_t size_ = 0;
  int shift_ = 0;
};

}  // namespace valkyrie::protocol
