// What happens when nothing happens: handshake, keepalive, drain and stall limits.
#include <algorithm>
#include <array>
#include <utility>

#include "protocol/frame_body.h"
#include "protocol/session_core.h"

namespace valkyrie::protocol {

namespace {

// Of a wait that no call with a time has seen yet.
constexpr Instant kUnknown = Instant::max();

}  // namespace

std::optional<Instant> SessionCore::deadline() {
  if (state == State::closed) return std::nullopt;
  if (state == State::hello) return started_at_ + config.limits.handshake_timeout;
  Instant next = ping_at_ + peer.keepalive_interval;
  if (drain_until_) next = std::min(next, *drain_until_);
  if (stall_first_ != FlatIndex::kNone) {
    // A wait without a time has begun after now_: asked at once, it begins at most a turn late.
    const bool undated = streams[stall_last_].stall_since == kUnknown;
    const Instant since = streams[stall_first_].stall_since;
    next = std::min(next, undated ? now_ : since + config.limits.stall_timeout);
  }
  if (blocked_since_) next = std::min(next, *blocked_since_ + config.limits.stall_timeout);
  // What is held back for critical frames may go on.
  if (credit_to_keep() > 0 && output.bytes() > 0) next = std::min(next, critical_until);
  return next;
}

void SessionCore::on_deadline(Instant now) {
  now_ = std::max(now_, now);
  if (state == State::closed) return;
  if (state == State::hello) {
    // Counted from the start: bytes that trickle in buy no time.
    if (now >= started_at_ + config.limits.handshake_timeout) {
      close(CloseCode::handshake_timeout, {});
    }
    return;
  }
  if (now >= received_at_ + peer.keepalive_interval * kKeepaliveIntervals) {
    close(CloseCode::keepalive_timeout, {});
    return;
  }
  if (now >= ping_at_ + peer.keepalive_interval) {
    ping_at_ = now;
    ping(kKeepaliveToken);
    give_memory_back();
  }
  if (blocked_since_ && now >= *blocked_since_ + config.limits.stall_timeout) {
    close(CloseCode::slow_peer, "nothing was read for too long");
    return;
  }
  check_stall();
  if (drain_until_ && now >= *drain_until_) {
    for (std::uint32_t slot = 0; slot < streams.slot_count(); ++slot) {
      if (streams[slot].id != 0) reset(streams[slot].id, CloseCode::draining, {});
    }
    close(CloseCode::draining, {});
  }
}

void SessionCore::ping(std::uint64_t token) {
  if (state != State::open) return;
  std::array<std::byte, PingBody::kBytes> body;
  PingBody{token}.encode(body);
  push_control(FrameType::ping, 0, 0, {}, body);
}

// A session that was busy and is idle now costs what one costs that never was.
void SessionCore::give_memory_back() {
  if (partial_.empty()) partial_.shrink_to_fit();
  output.give_memory_back();
  streams.give_memory_back();
  if (outgoing.size() == 0) outgoing = {};
  if (incoming.size() == 0) incoming = {};
}

// Puts a stream that waits for credit at the end of the list of those. What the owner sends comes
// without a time, so the wait is counted from the next call that brings one.
void SessionCore::note_stall(std::uint32_t slot) {
  Stream& stream = streams[slot];
  if (stream.stalled || stream.over) return;
  stream.stalled = true;
  stream.stall_since = kUnknown;
  stream.stall_previous = stall_last_;
  stream.stall_next = FlatIndex::kNone;
  (stall_last_ == FlatIndex::kNone ? stall_first_ : streams[stall_last_].stall_next) = slot;
  stall_last_ = slot;
}

void SessionCore::end_stall(std::uint32_t slot) {
  Stream& stream = streams[slot];
  if (!std::exchange(stream.stalled, false)) return;
  (stream.stall_previous == FlatIndex::kNone ? stall_first_
                                             : streams[stream.stall_previous].stall_next) =
      stream.stall_next;
  (stream.stall_next == FlatIndex::kNone ? stall_last_
                                         : streams[stream.stall_next].stall_previous) =
      stream.stall_previous;
}

// The waits that no call with a time had seen, the last of the list, begin now.
void SessionCore::date_stalls() {
  for (std::uint32_t slot = stall_last_; slot != FlatIndex::kNone;
       slot = streams[slot].stall_previous) {
    if (streams[slot].stall_since != kUnknown) break;
    streams[slot].stall_since = now_;
  }
}

void SessionCore::check_stall() {
  date_stalls();
  while (stall_first_ != FlatIndex::kNone && state == State::open &&
         now_ >= streams[stall_first_].stall_since + config.limits.stall_timeout) {
    reset(streams[stall_first_].id, CloseCode::slow_peer, "no credit for too long");
  }
}

}  // namespace valkyrie::protocol
