// The streams of a session.
// Private to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "protocol/event.h"
#include "protocol/flat_index.h"
#include "protocol/output_queue.h"
#include "protocol/request_table.h"
#include "protocol/time.h"

namespace valkyrie::protocol {

// A message that was taken from the owner and stands behind missing credit.
struct WaitingMessage {
  std::unique_ptr<WaitingMessage> next;
  std::vector<std::byte> bytes;           // Both of them, unless
  std::shared_ptr<const void> owner;      // this keeps them.
  std::span<const std::byte> metadata{};  // Where they are.
  std::span<const std::byte> payload{};
  std::size_t sent = 0;  // Of metadata and payload.
  std::uint32_t correlation = 0;
  std::uint32_t stream = 0;  // Kept for the flushed event.
  std::uint64_t user = 0;
  std::uint64_t cookie = 0;
  FrameType type = FrameType::stream_data;
  std::uint8_t qos = 0;
  bool more = false;       // The owner's message continues after this part.
  bool announced = false;  // The owner was told that it waits, and hears when it has gone.
  bool relayed = false;
  bool owned = false;  // Whoever shares it bounds its memory.

  // Bytes that have not been sent.
  [[nodiscard]] std::size_t left() const { return metadata.size() + payload.size() - sent; }
};

// A message that is arriving in fragments.
struct Assembly {
  std::vector<std::byte> metadata;
  std::vector<std::byte> payload;
};

// A window and how fast it is used.
struct Flow {
  std::uint32_t window = 0;
  std::uint64_t mark = 0;  // Bytes since the start, when it was last looked at,
  Instant since{};         // which was then; at the epoch: never.
};

// A stream, from either side's STREAM_OPEN until both are done with it.
struct Stream {
  std::uint32_t id = 0;
  StreamKind kind = StreamKind::call;
  std::uint8_t qos = 0;  // Of its last frame sent.
  // State, docs/spec/streams.md.
  bool local = false;         // This side opened it.
  bool local_ended = false;   // The owner may send nothing more.
  bool end_queued = false;    // END or RESET is on its way.
  bool remote_ended = false;  // END or RESET was received.
  bool discarding = false;    // RESET was sent; what comes is thrown away.
  bool over = false;          // The owner is told, or about to be; only its remains are here.
  bool in_index = false;      // Its id still leads here.
  bool receiving = false;     // A fragmented message of the peer is incomplete.
  bool refusing = false;      // It is thrown away as it comes.
  bool dying = false;         // In the queue of streams whose end is being reported.
  bool stalled = false;       // In the list of streams that wait for credit.
  bool blocked = false;       // In the queue of streams that wait for room in the output.
  EventType final_event = EventType::stream_closed;
  CloseCode final_code = CloseCode::none;
  bool final_local = false;
  Outcome final_outcome = Outcome::not_executed;

  std::uint64_t user = 0;
  // Sending, in bytes since the start.
  std::uint64_t send_allowed = 0;
  std::uint64_t send_used = 0;
  Ticket open_ticket{};  // Of its STREAM_OPEN.
  Ticket last_ticket{};  // Of its last other frame queued.
  std::unique_ptr<WaitingMessage> waiting;
  WaitingMessage* waiting_last = nullptr;
  // Receiving, in bytes since the start.
  std::uint64_t received = 0;
  std::uint64_t consumed = 0;
  std::uint64_t granted = 0;
  Flow flow{};
  std::uint64_t incomplete_cost = 0;     // Of the message that is arriving.
  std::uint64_t incomplete_payload = 0;  // Its payload so far.
  std::unique_ptr<Assembly> assembly;
  FrameType receiving_type = FrameType::request;
  std::uint32_t receiving_correlation = 0;
  // Requests.
  std::uint32_t correlation_sent = 0;
  std::uint32_t correlation_taken = 0;  // Highest received.
  RequestList outgoing{};
  RequestList incoming{};
  RequestList abandoned{};  // Received, and nobody waits for the answer.
  // Lists of the session.
  std::uint32_t stall_previous = FlatIndex::kNone;
  std::uint32_t stall_next = FlatIndex::kNone;
  Instant stall_since{};
};

// Streams by slot and by id. Slots are reused.
class StreamTable {
 public:
  // Makes a stream. Invalidates references to others.
  std::uint32_t insert(std::uint32_t id) {
    std::uint32_t slot;
    if (free_.empty()) {
      slot = static_cast<std::uint32_t>(slots_.size());
      if (slots_.size() == slots_.capacity()) grow();
      slots_.emplace_back();
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    slots_[slot].id = id;
    slots_[slot].in_index = true;
    index_.insert(id, slot);
    return slot;
  }
  // The slot of an id, or FlatIndex::kNone.
  [[nodiscard]] std::uint32_t find(std::uint32_t id) {
    if (id == last_id_) return last_slot_;
    const std::uint32_t slot = index_.find(id);
    if (slot != FlatIndex::kNone) {
      last_id_ = id;
      last_slot_ = slot;
    }
    return slot;
  }
  // The id is closed: it leads nowhere from now on.
  void close_id(std::uint32_t slot) {
    Stream& stream = slots_[slot];
    if (!stream.in_index) return;
    stream.in_index = false;
    index_.erase(stream.id);
    if (last_id_ == stream.id) {
      last_id_ = 0;
      last_slot_ = FlatIndex::kNone;
    }
  }
  // Frees a slot whose id is closed.
  void erase(std::uint32_t slot) {
    slots_[slot] = Stream{};
    free_.push_back(slot);
  }
  // Lets go of memory when no slot is in use.
  void give_memory_back() {
    if (free_.size() == slots_.size()) *this = {};
  }
  // The stream in a slot. Invalid after the next insert().
  [[nodiscard]] Stream& operator[](std::uint32_t slot) { return slots_[slot]; }
  // Ids that lead to a stream.
  [[nodiscard]] std::size_t size() const { return index_.size(); }
  // Slots in use or free, for walks over all streams (those with `id` 0 are free).
  [[nodiscard]] std::uint32_t slot_count() const {
    return static_cast<std::uint32_t>(slots_.size());
  }

 private:
  // A service has a stream for each of its callers: doubling would waste most where there are most.
  static constexpr std::size_t kDoublingMax = 256;

  void grow() {
    const std::size_t size = slots_.size();
    if (size >= kDoublingMax) slots_.reserve(size + size / 8);
  }

  std::vector<Stream> slots_;
  std::vector<std::uint32_t> free_;
  FlatIndex index_;
  std::uint32_t last_id_ = 0;
  std::uint32_t last_slot_ = FlatIndex::kNone;
};

}  // namespace valkyrie::protocol
