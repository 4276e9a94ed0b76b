// Frames on their way to the peer, in lanes, and the choice of the next one: control first, then
// by class, urgency and age. Rules: docs/spec/scheduling.md.
// Private to this folder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "protocol/assert.h"
#include "protocol/buffer_pool.h"
#include "protocol/constants.h"
#include "protocol/frame.h"
#include "protocol/limits.h"
#include "protocol/properties.h"

namespace valkyrie::protocol {

// Where a queued frame stands: its lane, and the lane's byte count after it.
struct Ticket {
  std::uint64_t end = 0;
  std::uint16_t lane = 0;
};

// Holds encoded frames and gives them out in the order of the scheduling rules. Frames of a lane
// keep their order; a lane is one class and urgency, or the control frames, or the STREAM_OPENs.
//
// The owner charges stream credit before it pushes; connection credit is charged here, when a
// frame is chosen, so that the most urgent frame gets it. Not thread-safe.
class OutputQueue {
 public:
  // The lanes that every queue has. Stream ids may only rise on the wire, so STREAM_OPENs share
  // a lane, whatever their class.
  static constexpr std::uint16_t kControlLane = 0;
  static constexpr std::uint16_t kOpenLane = 1;

  // Keeps a reference to `pool`. `weights` are the shares of the classes under competition, of
  // which only the ratios count; that of `critical` is not looked at, the others are above 0.
  explicit OutputQueue(BufferPool& pool, const ClassWeights& weights = kClassWeights);
  ~OutputQueue();
  OutputQueue(const OutputQueue&) = delete;
  OutputQueue& operator=(const OutputQueue&) = delete;

  // The lane of a qos byte, made on first use.
  std::uint16_t lane_for(std::uint8_t qos);
  // Queues a frame behind the others of `lane`; copies the body, which is `metadata` and
  // `payload`. The header's lengths must agree with them.
  Ticket push(std::uint16_t lane, const FrameHeader& header, std::span<const std::byte> metadata,
              std::span<const std::byte> payload);
  // The same, but the payload is not copied: `owner` keeps it, unchanged, until it is written or
  // taken out. Pays from kSharedPayloadBytes on.
  Ticket push_shared(std::uint16_t lane, const FrameHeader& header,
                     std::span<const std::byte> metadata, std::span<const std::byte> payload,
                     std::shared_ptr<const void> owner);
  // True once the frame was chosen: from then on the peer may have seen it.
  [[nodiscard]] bool departed(Ticket ticket) const {
    return lanes_[ticket.lane].departed >= ticket.end;
  }
  // Takes out the frames of a stream that are still in `lane`; with a correlation other than 0
  // only those that carry it. Returns their bytes. Costs a walk over the lane. Tickets of
  // what was taken out mean nothing any more.
  std::uint64_t drop(std::uint16_t lane, std::uint32_t stream, std::uint32_t correlation = 0);
  // Takes out everything that was not chosen yet, control frames only if `control_too`.
  void drop_all(bool control_too);

  // Adds to the connection credit that the peer has granted, bytes.
  void add_connection_credit(std::uint64_t bytes) { connection_credit_ += bytes; }

  // From now on what is not critical leaves so many bytes of the connection credit unused, so that
  // little of it lies unread before a critical frame. Frames that are longer than critical times
  // make them need no more than their own credit.
  void keep_connection_credit(std::uint64_t bytes) { credit_kept_ = bytes; }

  // See Session::gather.
  std::size_t gather(std::span<std::span<const std::byte>> pieces, std::size_t budget);
  // See Session::written.
  void written(std::size_t bytes);

  // Lets go of memory that nothing is in.
  void give_memory_back() {
    if (segments_.empty()) segments_.shrink_to_fit();
  }

  // True if gather() would find something.
  [[nodiscard]] bool has_output();
  // True if bytes were chosen and not written.
  [[nodiscard]] bool has_unwritten() const { return unwritten_ > 0; }
  // Bytes queued, chosen or not, and not yet written.
  [[nodiscard]] std::uint64_t bytes() const { return queued_ + unwritten_; }
  // Bytes of control frames not yet chosen.
  [[nodiscard]] std::uint64_t control_bytes() const {
    return lanes_[kControlLane].pushed - lanes_[kControlLane].departed;
  }
  // Frames chosen so far.
  [[nodiscard]] std::uint64_t frames_chosen() const { return frames_chosen_; }
  // Credited frames chosen so far.
  [[nodiscard]] std::uint64_t credited_frames_chosen() const { return credited_frames_; }

 private:
  static constexpr std::size_t kClasses = 5;
  static constexpr std::size_t kSegmentsMax = 64;
  // The longest frame that is made while critical ones come and go, with usual metadata.
  static constexpr std::uint64_t kLongestCut = kHeaderBytes + 1024 + kKernelUnsentCriticalBytes;

  struct Lane {
    Chunk* head = nullptr;
    Chunk* tail = nullptr;
    std::uint32_t offset = 0;          // Read position in `head`.
    std::uint32_t frames = 0;          // Queued, dropped ones too.
    std::uint64_t pushed = 0;          // Bytes ever queued.
    std::uint64_t departed = 0;        // Bytes ever chosen or dropped.
    std::uint64_t waits_since = 0;     // frames_chosen_ when it was last served or became busy.
    std::uint64_t credited_bytes = 0;  // Of the queued frames, those that cost credit.
    std::uint32_t credited_frames = 0;
    std::uint8_t qos_class = 0;
    std::uint8_t urgency = 0;
    bool has_dropped = false;
  };
  struct Segment {
    Chunk* chunk;
    std::uint32_t offset;
    std::uint32_t size;
  };
  // What the header at the head of a lane says.
  struct Head {
    std::uint32_t stream;
    std::uint32_t size;  // Header and body.
    bool credited;
    bool dropped;
  };

  std::byte* reserve(Lane& lane, std::uint16_t index, std::uint32_t size);
  // Whether a frame's next bytes fit behind each other into the last chunk.
  static bool has_room(const Lane& lane, std::size_t size) {
    return lane.tail != nullptr && lane.tail->capacity - lane.tail->end >= size;
  }
  void extend(Lane& lane, std::uint16_t index);
  static void link(Lane& lane, std::uint16_t index, Chunk* chunk);
  Ticket note_pushed(Lane& lane, std::uint16_t index, const FrameHeader& header);
  void append_frame(Lane& lane, std::uint16_t index, const FrameHeader& header,
                    std::span<const std::byte> metadata, std::span<const std::byte> payload);
  void append(Lane& lane, std::uint16_t index, std::span<const std::byte> bytes);
  [[nodiscard]] Head head_of(Lane& lane);
  [[nodiscard]] bool affordable(const Lane& lane, const Head& head) const;
  [[nodiscard]] bool has_credit_for(std::uint64_t bytes) const {
    const std::uint64_t kept = bytes <= kLongestCut ? credit_kept_ : 0;
    return bytes + kept <= connection_credit_;
  }
  [[nodiscard]] bool unopened(std::uint32_t stream);
  Lane* choose();
  Lane* choose_in_class(std::size_t qos_class);
  Lane* choose_for_turn();
  Lane* choose_by_deficit();
  Lane* sendable(Lane* lane);
  void take(Lane& lane, bool keep);
  bool take_all(Lane& lane, std::size_t budget);
  void account(Lane& lane, const Head& head, bool is_class_lane);
  void charge(std::uint64_t bytes, std::uint32_t frames, bool critical);
  void advance_chunk(Lane& lane);
  void emit(Chunk* chunk, std::uint32_t offset, std::uint32_t size);
  void settle(Chunk* chunk);

  BufferPool& pool_;
  std::vector<Lane> lanes_;
  std::vector<Segment> segments_;  // Chosen and unwritten, in order, from first_segment_ on.
  std::size_t first_segment_ = 0;
  std::uint64_t queued_ = 0;  // Bytes not yet chosen.
  std::uint32_t frames_queued_ = 0;
  std::uint16_t pushed_last_ = 0;  // A lane.
  std::uint64_t unwritten_ = 0;
  std::uint64_t connection_credit_ = 0;
  std::uint64_t credit_kept_ = 0;
  std::uint64_t frames_chosen_ = 0;
  std::uint64_t credited_frames_ = 0;
  const ClassWeights weights_;
  std::int64_t critical_allowance_ = kCriticalBurstBytes;  // Below 0: one frame was longer.
  bool critical_by_right_ = false;                         // The frame just chosen is.
  std::int64_t critical_lead_ = 0;  // Bytes it is ahead of `system` in the share they divide.
  std::array<std::int64_t, kClasses> deficit_{};
  std::array<std::uint32_t, kClasses> frames_in_class_{};
  std::array<std::uint8_t, kClasses> since_longest_{};
  std::size_t turn_ = 1;       // Class whose turn it is in the deficit round.
  bool turn_charged_ = false;  // It has had its quantum in this round.
};

// Here for the straight path of a call, which is one function.
[[gnu::always_inline]] inline std::byte* OutputQueue::reserve(Lane& lane, std::uint16_t index,
                                                              std::uint32_t size) {
  if (!has_room(lane, size)) extend(lane, index);
  std::byte* const at = lane.tail->at + lane.tail->end;
  lane.tail->end += size;
  lane.tail->live += size;
  return at;
}

[[gnu::always_inline]] inline Ticket OutputQueue::note_pushed(Lane& lane, std::uint16_t index,
                                                              const FrameHeader& header) {
  pushed_last_ = index;
  const std::size_t size = kHeaderBytes + header.body_bytes;
  const FrameProperties& type = properties(header.type);
  if (!type.control && !type.ignorable) {
    lane.credited_bytes += size;
    ++lane.credited_frames;
  }
  lane.pushed += size;
  queued_ += size;
  if (lane.frames == 0) lane.waits_since = frames_chosen_;
  ++lane.frames;
  ++frames_queued_;
  if (index > kOpenLane) ++frames_in_class_[lane.qos_class];
  return {.end = lane.pushed, .lane = index};
}

[[gnu::always_inline]] inline Ticket OutputQueue::push(std::uint16_t index,
                                                       const FrameHeader& header,
                                                       std::span<const std::byte> metadata,
                                                       std::span<const std::byte> payload) {
  Lane& lane = lanes_[index];
  const std::size_t size = kHeaderBytes + metadata.size() + payload.size();
  VALKYRIE_ASSERT(size == kHeaderBytes + header.body_bytes);
  if (lane.tail == nullptr ? size <= Chunk::kBytes : has_room(lane, size)) {
    std::byte* at = reserve(lane, index, static_cast<std::uint32_t>(size));
    encode_header(header, std::span<std::byte, kHeaderBytes>(at, kHeaderBytes));
    at += kHeaderBytes;
    if (!metadata.empty()) std::memcpy(at, metadata.data(), metadata.size());
    if (!payload.empty()) std::memcpy(at + metadata.size(), payload.data(), payload.size());
  } else {
    append_frame(lane, index, header, metadata, payload);
  }
  return note_pushed(lane, index, header);
}

}  // namespace valkyrie::protocol
