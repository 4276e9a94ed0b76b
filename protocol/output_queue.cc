#include "protocol/output_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/assert.h"
#include "protocol/properties.h"

namespace valkyrie::protocol {

namespace {

// Bytes a class may send per round and unit of its weight.
constexpr std::int64_t kQuantumBytes = 1024;

constexpr auto kCritical = static_cast<std::size_t>(QosClass::critical);
constexpr auto kSystem = static_cast<std::size_t>(QosClass::system);

// First header byte of a frame that was taken out of the queue.
constexpr std::byte kDropped{0};

std::uint32_t load_u32(const std::byte* at) { return load_big_endian<std::uint32_t>(at); }

}  // namespace

OutputQueue::OutputQueue(BufferPool& pool, const ClassWeights& weights)
    : pool_(pool), lanes_(2), weights_(weights) {}

OutputQueue::~OutputQueue() {
  drop_all(/*control_too=*/true);
  written(unwritten_);
}

std::uint16_t OutputQueue::lane_for(std::uint8_t qos) {
  const auto qos_class = static_cast<std::uint8_t>(qos >> 5);
  const auto urgency = static_cast<std::uint8_t>(qos & 31);
  VALKYRIE_ASSERT(qos_class < kClasses);
  for (std::size_t i = 2; i < lanes_.size(); ++i) {
    if (lanes_[i].qos_class == qos_class && lanes_[i].urgency == urgency) {
      return static_cast<std::uint16_t>(i);
    }
  }
  lanes_.push_back({.qos_class = qos_class, .urgency = urgency});
  return static_cast<std::uint16_t>(lanes_.size() - 1);
}

// Adds an empty chunk to a lane.
void OutputQueue::extend(Lane& lane, std::uint16_t index) { link(lane, index, pool_.acquire()); }

void OutputQueue::link(Lane& lane, std::uint16_t index, Chunk* chunk) {
  chunk->lane = index;
  if (lane.tail == nullptr) {
    lane.head = chunk;
    lane.offset = 0;
  } else {
    lane.tail->next = chunk;
  }
  lane.tail = chunk;
}

void OutputQueue::append(Lane& lane, std::uint16_t index, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::uint32_t room = lane.tail->capacity - lane.tail->end;
    const auto size = static_cast<std::uint32_t>(
        std::min<std::size_t>(bytes.size(), room == 0 ? Chunk::kBytes : room));
    std::memcpy(reserve(lane, index, size), bytes.data(), size);
    bytes = bytes.subspan(size);
  }
}

void OutputQueue::append_frame(Lane& lane, std::uint16_t index, const FrameHeader& header,
                               std::span<const std::byte> metadata,
                               std::span<const std::byte> payload) {
  std::byte* const at = reserve(lane, index, kHeaderBytes);
  encode_header(header, std::span<std::byte, kHeaderBytes>(at, kHeaderBytes));
  append(lane, index, metadata);
  append(lane, index, payload);
}

// A frame of two chunks: the one with header and metadata may hold frames before it.
Ticket OutputQueue::push_shared(std::uint16_t index, const FrameHeader& header,
                                std::span<const std::byte> metadata,
                                std::span<const std::byte> payload,
                                std::shared_ptr<const void> owner) {
  VALKYRIE_ASSERT(!payload.empty());
  VALKYRIE_ASSERT(metadata.size() + payload.size() == header.body_bytes);
  Lane& lane = lanes_[index];
  const auto size = static_cast<std::uint32_t>(kHeaderBytes + metadata.size());
  if (!has_room(lane, size) && size <= Chunk::kSmallBytes) {
    link(lane, index, pool_.acquire_small());
  }
  std::byte* at = reserve(lane, index, size);
  encode_header(header, std::span<std::byte, kHeaderBytes>(at, kHeaderBytes));
  if (!metadata.empty()) std::memcpy(at + kHeaderBytes, metadata.data(), metadata.size());
  Chunk* slice = pool_.acquire_small();
  slice->at = const_cast<std::byte*>(payload.data());  // Never written to: it has no room.
  slice->capacity = slice->end = slice->live = static_cast<std::uint32_t>(payload.size());
  slice->owner = std::move(owner);
  link(lane, index, slice);
  return note_pushed(lane, index, header);
}

std::uint64_t OutputQueue::drop(std::uint16_t index, std::uint32_t stream,
                                std::uint32_t correlation) {
  Lane& lane = lanes_[index];
  std::uint64_t dropped = 0;
  Chunk* chunk = lane.head;
  std::uint32_t offset = lane.offset;
  for (std::uint32_t i = 0; i < lane.frames; ++i) {
    if (offset == chunk->end) {
      chunk = chunk->next;
      offset = 0;
    }
    std::byte* header = chunk->at + offset;
    if (load_u32(header + 8) == stream && header[0] != kDropped &&
        (correlation == 0 || load_u32(header + 16) == correlation)) {
      header[0] = kDropped;
      dropped += kHeaderBytes + load_u32(header + 12);
      lane.has_dropped = true;
    }
    std::uint32_t left = static_cast<std::uint32_t>(kHeaderBytes) + load_u32(header + 12);
    while (left > chunk->end - offset) {
      left -= chunk->end - offset;
      chunk = chunk->next;
      offset = 0;
    }
    offset += left;
  }
  return dropped;
}

void OutputQueue::drop_all(bool control_too) {
  for (std::size_t i = control_too ? 0 : 1; i < lanes_.size(); ++i) {
    while (lanes_[i].frames > 0) take(lanes_[i], /*keep=*/false);
  }
}

OutputQueue::Head OutputQueue::head_of(Lane& lane) {
  advance_chunk(lane);
  const std::byte* header = lane.head->at + lane.offset;
  const FrameProperties& properties = kFrameProperties[std::to_integer<std::size_t>(header[3])];
  return {.stream = load_u32(header + 8),
          .size = static_cast<std::uint32_t>(kHeaderBytes) + load_u32(header + 12),
          .credited = !properties.control && !properties.ignorable,
          .dropped = header[0] == kDropped};
}

// Moves the read position over the end of a chunk.
void OutputQueue::advance_chunk(Lane& lane) {
  while (lane.offset == lane.head->end && lane.head->next != nullptr) {
    Chunk* done = lane.head;
    lane.head = done->next;
    lane.offset = 0;
    if (done->live == 0) pool_.release(done);
  }
}

// The lane, if a frame at its head may be sent now; takes dropped ones off its head.
OutputQueue::Lane* OutputQueue::sendable(Lane* lane) {
  while (lane->frames > 0) {
    const Head head = head_of(*lane);
    if (!head.dropped) return affordable(*lane, head) ? lane : nullptr;
    take(*lane, /*keep=*/false);
  }
  return nullptr;
}

bool OutputQueue::affordable(const Lane& lane, const Head& head) const {
  if (!head.credited) return true;
  if (&lane == &lanes_[kOpenLane]) {
    const bool critical = std::to_integer<unsigned>(lane.head->at[lane.offset + 5]) < 32;
    return critical || has_credit_for(head.size);
  }
  return lane.qos_class == 0 || has_credit_for(head.size);
}

// True if the stream's STREAM_OPEN is still waiting for credit: its frames may not pass it.
bool OutputQueue::unopened(std::uint32_t stream) {
  Lane& opens = lanes_[kOpenLane];
  if (opens.frames == 0) return false;
  const std::uint32_t first = head_of(opens).stream;
  return ((stream ^ first) & 1) == 0 && stream >= first;
}

OutputQueue::Lane* OutputQueue::choose_in_class(std::size_t qos_class) {
  if (frames_in_class_[qos_class] == 0) return nullptr;
  Lane* urgent = nullptr;
  Lane* longest = nullptr;
  for (std::size_t i = 2; i < lanes_.size(); ++i) {
    Lane& lane = lanes_[i];
    if (lane.qos_class != qos_class) continue;
    while (lane.frames > 0 && head_of(lane).dropped) take(lane, /*keep=*/false);
    if (lane.frames == 0 || unopened(head_of(lane).stream)) continue;
    if (urgent == nullptr || lane.urgency < urgent->urgency) urgent = &lane;
    if (longest == nullptr || lane.waits_since < longest->waits_since) longest = &lane;
  }
  const bool for_longest = since_longest_[qos_class] + 1u >= kLongestWaiterInterval;
  return for_longest ? longest : urgent;
}

// The frame of the class whose turn it is. Critical frames beyond their tenth divide the turns of
// system with those of system, byte by byte, so that neither starves the other.
OutputQueue::Lane* OutputQueue::choose_for_turn() {
  Lane* lane = choose_in_class(turn_);
  if (turn_ != kSystem) return lane;
  Lane* critical = choose_in_class(kCritical);
  if (critical == nullptr || lane == nullptr) {
    critical_lead_ = 0;
    return critical != nullptr ? critical : lane;
  }
  return critical_lead_ <= 0 ? critical : lane;
}

// Deficit round robin over the classes but critical.
OutputQueue::Lane* OutputQueue::choose_by_deficit() {
  const auto next_turn = [this] {
    turn_ = turn_ + 1 == kClasses ? kSystem : turn_ + 1;
    turn_charged_ = false;
  };
  for (std::size_t idle = 0; idle + 1 < kClasses;) {
    Lane* lane = choose_for_turn();
    if (lane == nullptr) {
      deficit_[turn_] = 0;
      next_turn();
      ++idle;
      continue;
    }
    const Head head = head_of(*lane);
    if (!affordable(*lane, head)) {
      // The connection credit is for this frame next; only critical frames need none.
      return choose_in_class(kCritical);
    }
    idle = 0;
    if (!turn_charged_) {
      deficit_[turn_] += weights_[turn_] * kQuantumBytes;
      turn_charged_ = true;
    }
    if (deficit_[turn_] >= head.size) {
      deficit_[turn_] -= head.size;
      if (turn_ == kSystem) {
        const std::int64_t size = head.size;
        critical_lead_ += lane->qos_class == kCritical ? size : -size;
      }
      return lane;
    }
    next_turn();
  }
  return nullptr;
}

OutputQueue::Lane* OutputQueue::choose() {
  if (Lane* control = sendable(&lanes_[kControlLane])) return control;
  critical_by_right_ = true;
  if (Lane* opens = sendable(&lanes_[kOpenLane])) return opens;
  if (frames_in_class_[kCritical] > 0 && critical_allowance_ > 0) {
    if (Lane* critical = choose_in_class(kCritical)) return critical;
  }
  critical_by_right_ = false;
  return choose_by_deficit();
}

// Moves the read position of a lane over its first frame, which is sent or dropped.
void OutputQueue::take(Lane& lane, bool keep) {
  const Head head = head_of(lane);
  lane.departed += head.size;
  queued_ -= head.size;
  --lane.frames;
  --frames_queued_;
  if (head.credited) {
    lane.credited_bytes -= head.size;
    --lane.credited_frames;
  }
  if (lane.frames == 0) lane.has_dropped = false;
  const bool is_class_lane = &lane - lanes_.data() > kOpenLane;
  if (is_class_lane) --frames_in_class_[lane.qos_class];
  if (keep) account(lane, head, is_class_lane);
  for (std::uint32_t left = head.size; left > 0;) {
    advance_chunk(lane);
    Chunk* chunk = lane.head;
    const std::uint32_t size = std::min(left, chunk->end - lane.offset);
    if (keep) {
      emit(chunk, lane.offset, size);
    } else {
      chunk->live -= size;
    }
    lane.offset += size;
    left -= size;
  }
  if (!keep) settle(lane.head);
}

void OutputQueue::account(Lane& lane, const Head& head, bool is_class_lane) {
  ++frames_chosen_;
  lane.waits_since = frames_chosen_;
  if (!head.credited) return;
  const bool critical = is_class_lane
                            ? lane.qos_class == 0
                            : std::to_integer<unsigned>(lane.head->at[lane.offset + 5]) < 32;
  charge(head.size, 1, critical);
  if (is_class_lane) {
    std::uint8_t& since = since_longest_[lane.qos_class];
    since = since + 1u >= kLongestWaiterInterval ? 0 : static_cast<std::uint8_t>(since + 1);
  }
}

void OutputQueue::charge(std::uint64_t bytes, std::uint32_t frames, bool critical) {
  credited_frames_ += frames;
  if (!critical) connection_credit_ -= bytes;
  const auto size = static_cast<std::int64_t>(bytes);
  critical_allowance_ += size * kCriticalSharePercent / 100;
  // What went as system has paid there.
  if (critical && critical_by_right_) critical_allowance_ -= size;
  critical_allowance_ = std::min(critical_allowance_, std::int64_t{kCriticalBurstBytes});
}

// The usual case needs no choice: all that waits is in one lane and may go. Its frames are not
// even looked at.
bool OutputQueue::take_all(Lane& lane, std::size_t budget) {
  const std::uint64_t size = lane.pushed - lane.departed;
  const bool critical = lane.qos_class == 0;
  if (lane.frames != frames_queued_ || lane.has_dropped || unwritten_ + size > budget) return false;
  if (!critical && lane.credited_bytes + credit_kept_ > connection_credit_) return false;
  for (advance_chunk(lane); lane.offset < lane.head->end; advance_chunk(lane)) {
    emit(lane.head, lane.offset, lane.head->end - lane.offset);
    lane.offset = lane.head->end;
  }
  charge(lane.credited_bytes, lane.credited_frames, critical);
  frames_chosen_ += lane.frames;
  lane.waits_since = frames_chosen_;
  lane.departed = lane.pushed;
  frames_in_class_[lane.qos_class] -= lane.frames;
  lane.frames = lane.credited_frames = 0;
  lane.credited_bytes = 0;
  queued_ = 0;
  frames_queued_ = 0;
  return true;
}

void OutputQueue::emit(Chunk* chunk, std::uint32_t offset, std::uint32_t size) {
  unwritten_ += size;
  if (segments_.size() > first_segment_) {
    Segment& last = segments_.back();
    if (last.chunk == chunk && last.offset + last.size == offset) {
      last.size += size;
      return;
    }
  }
  segments_.push_back({chunk, offset, size});
}

std::size_t OutputQueue::gather(std::span<std::span<const std::byte>> pieces, std::size_t budget) {
  // Where all is in one lane there is nothing to choose. Critical frames have their share to pay.
  Lane& only = lanes_[pushed_last_];
  const bool alone = frames_queued_ > 0 && pushed_last_ > kOpenLane && only.qos_class != kCritical;
  if (alone && take_all(only, budget)) critical_lead_ = 0;
  while (frames_queued_ > 0 && unwritten_ < budget &&
         segments_.size() - first_segment_ < kSegmentsMax) {
    Lane* lane = choose();
    if (lane == nullptr) break;
    const bool is_class_lane = lane - lanes_.data() > kOpenLane;
    if (!is_class_lane || !take_all(*lane, budget)) take(*lane, /*keep=*/true);
  }
  const std::size_t count = std::min(pieces.size(), segments_.size() - first_segment_);
  for (std::size_t i = 0; i < count; ++i) {
    const Segment& segment = segments_[first_segment_ + i];
    pieces[i] = {segment.chunk->at + segment.offset, segment.size};
  }
  return count;
}

void OutputQueue::written(std::size_t bytes) {
  VALKYRIE_ASSERT(bytes <= unwritten_);
  unwritten_ -= bytes;
  while (bytes > 0) {
    Segment& segment = segments_[first_segment_];
    const auto size = static_cast<std::uint32_t>(std::min<std::size_t>(bytes, segment.size));
    segment.offset += size;
    segment.size -= size;
    segment.chunk->live -= size;
    bytes -= size;
    if (segment.size == 0) {
      ++first_segment_;
      settle(segment.chunk);
    }
  }
  if (first_segment_ == segments_.size()) {
    segments_.clear();
    first_segment_ = 0;
  } else if (first_segment_ >= kSegmentsMax) {
    segments_.erase(segments_.begin(),
                    segments_.begin() + static_cast<std::ptrdiff_t>(first_segment_));
    first_segment_ = 0;
  }
}

// Gives a chunk back once nothing in it is wanted and nothing will be added.
void OutputQueue::settle(Chunk* chunk) {
  if (chunk->live != 0) return;
  Lane& lane = lanes_[chunk->lane];
  if (lane.frames == 0 && chunk == lane.tail) {
    lane.head = lane.tail = nullptr;
  } else if (chunk == lane.head || chunk == lane.tail) {
    return;
  }
  pool_.release(chunk);
}

bool OutputQueue::has_output() {
  if (unwritten_ > 0) return true;
  for (std::size_t i = 0; i < lanes_.size() && frames_queued_ > 0; ++i) {
    Lane* lane = sendable(&lanes_[i]);
    if (lane != nullptr && (i <= kOpenLane || !unopened(head_of(*lane).stream))) return true;
  }
  return false;
}

}  // namespace valkyrie::protocol
