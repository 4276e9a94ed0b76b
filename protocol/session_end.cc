// How requests, streams and the session end, and how the owner hears of it.
#include <algorithm>
#include <array>
#include <utility>

#include "protocol/assert.h"
#include "protocol/frame_body.h"
#include "protocol/session_core.h"

namespace valkyrie::protocol {

// Events that no frame of this moment brings: ends, flushed messages, room.
bool SessionCore::next_queued_event() {
  if (!failed_.empty()) {
    Request request = failed_.pop();
    return report_failed(request);
  }
  if (report_dying()) return true;
  if (flushed_) {
    const auto done = std::move(flushed_);
    flushed_ = std::move(done->next);
    event_ = {};
    event_.type = EventType::flushed;
    event_.stream = done->stream;
    event_.user = done->user;
    event_.correlation = done->correlation;
    event_.cookie = done->cookie;
    return true;
  }
  if (stream_limit_raised_ || room_for_refused()) {
    stream_limit_raised_ = false;
    refused_.reset();
    event_ = {};
    event_.type = EventType::room;
    return true;
  }
  close_if_drained();
  if (state != State::closed || close_reported_) return false;
  close_reported_ = true;
  event_ = {};
  event_.type = EventType::closed;
  event_.code = close_code_;
  event_.local = close_local_;
  if (!close_local_) {
    event_.metadata = parse_metadata(final_metadata_, FrameType::goaway, MetadataReader::relay)
                          .value_or(MetadataView{});
  }
  return true;
}

bool SessionCore::report_failed(Request& request) {
  begin_event(EventType::request_failed, streams[request.stream_slot]);
  event_.stream = request.stream;
  event_.correlation = request.correlation;
  event_.cookie = request.cookie;
  event_.code = request.code;
  event_.status = request.status;
  event_.outcome = request.outcome;
  return true;
}

// Reports the requests of the oldest stream that is over, then its end, one event a call.
bool SessionCore::report_dying() {
  while (!dying_.empty()) {
    const std::uint32_t slot = dying_.front();
    Stream& stream = streams[slot];
    if (stream.outgoing.first != FlatIndex::kNone) {
      Request request = outgoing[stream.outgoing.first];
      outgoing.erase(stream.outgoing, stream.outgoing.first);
      return report_failed(request);
    }
    if (stream.incoming.first != FlatIndex::kNone) {
      const std::uint32_t at = stream.incoming.first;
      if (incoming[at].incomplete) {
        incoming.erase(stream.incoming, at);
        continue;
      }
      incoming.move(stream.incoming, stream.abandoned, at);
      incoming[at].abandoned = true;
      begin_event(EventType::abandoned, stream);
      event_.correlation = incoming[at].correlation;
      event_.cookie = incoming[at].cookie;
      event_.code = stream.final_code;
      return true;
    }
    dying_.pop();
    stream.dying = false;
    begin_event(stream.final_event, stream);
    event_.code = stream.final_code;
    event_.local = stream.final_local;
    event_.outcome = stream.final_outcome;
    if (stream.final_event == EventType::reset && !stream.final_local) {
      event_.metadata = parse_metadata(final_metadata_, FrameType::reset, MetadataReader::relay)
                            .value_or(MetadataView{});
    }
    if (!stream.discarding || state == State::closed) streams.close_id(slot);
    release_stream(slot);
    return true;
  }
  return false;
}

// Whether each unanswered request, or a stream as a whole, may have been executed: it left whole,
// and the peer does not say that it never took it. Decided now, before the output forgets what
// left.
void SessionCore::decide_outcomes(Stream& stream, CloseCode code, std::uint32_t last_taken) {
  if (stream.local && stream.kind == StreamKind::stream) {
    const bool taken = last_taken > 0 && !proves_not_executed(code);
    stream.final_outcome = taken && output.departed(stream.open_ticket) ? Outcome::maybe_executed
                                                                        : Outcome::not_executed;
  }
  for (std::uint32_t at = stream.outgoing.first; at != FlatIndex::kNone; at = outgoing[at].next) {
    Request& request = outgoing[at];
    const bool left = request.queued && output.departed(request.last);
    const bool taken = request.correlation <= last_taken && !proves_not_executed(code);
    request.code = code;
    request.status = caller_status(code);
    request.outcome = left && taken ? Outcome::maybe_executed : Outcome::not_executed;
  }
}

// From now on the owner can do nothing with the stream; the rest is told by events.
void SessionCore::finish_stream(std::uint32_t slot, EventType final_event, CloseCode code,
                                bool is_local) {
  Stream& stream = streams[slot];
  if (std::exchange(stream.over, true)) return;
  held -= stream.received - stream.consumed;
  stream.consumed = stream.received;
  forget_window(stream);
  stream.assembly.reset();
  stream.receiving = false;  // What still comes of a message is discarded with the rest.
  stream.final_event = final_event;
  stream.final_code = code;
  stream.final_local = is_local;
  forget_waiting(stream);
  end_stall(slot);
  stream.dying = true;
  dying_.push(slot);
  attention_ = true;
}

// A stream is closed once each side has sent END or RESET.
void SessionCore::close_if_done(std::uint32_t slot) {
  Stream& stream = streams[slot];
  if (stream.over || !stream.end_queued || !stream.remote_ended) return;
  if (stream.incoming.first != FlatIndex::kNone) return;
  streams.close_id(slot);
  if (!stream.local && stream.kind != StreamKind::subscribe) reset_budget_.give_back();
  finish_stream(slot, EventType::stream_closed, CloseCode::none, /*is_local=*/false);
}

// Frees the place of a stream when nobody needs it any more: neither the peer (its id is closed)
// nor the owner (every request of the peer was answered, wanted or not).
void SessionCore::release_stream(std::uint32_t slot) {
  Stream& stream = streams[slot];
  if (!stream.over || stream.dying || stream.in_index) return;
  if (stream.abandoned.first != FlatIndex::kNone) return;
  if (!stream.local) ++remote_ids_freed_;
  streams.erase(slot);
  raise_stream_limit();
}

void SessionCore::fail_request(std::uint32_t slot, StatusCode status, CloseCode code,
                               Outcome outcome) {
  Request request = outgoing[slot];
  request.status = status;
  request.code = code;
  request.outcome = outcome;
  outgoing.erase(streams[request.stream_slot].outgoing, slot);
  failed_.push(request);
  attention_ = true;
}

// The peer broke a rule of the connection. Always false: the events are queued.
bool SessionCore::fail(CloseCode code, std::string_view text) {
  close(code, text);
  return false;
}

void SessionCore::close(CloseCode code, std::string_view text) {
  if (state == State::closed) return;
  const std::uint32_t last_stream = highest_remote_id_;
  end_session(code, /*is_local=*/true);
  push_goaway(code, text, last_stream, Duration{0});
}

void SessionCore::push_goaway(CloseCode code, std::string_view text, std::uint32_t last_stream,
                              Duration grace) {
  std::array<std::byte, kEntryHeaderBytes + kStatusBytesMax> buffer;
  MetadataWriter writer(buffer);
  if (!text.empty()) {
    writer.status({.code = caller_status(code), .outcome = Outcome::maybe_executed, .text = text});
  }
  std::array<std::byte, GoawayBody::kBytes> body;
  const auto drain_ms = std::chrono::duration_cast<std::chrono::milliseconds>(grace).count();
  GoawayBody{code, last_stream, static_cast<std::uint32_t>(drain_ms)}.encode(body);
  push_control(FrameType::goaway, 0, 0, *writer.finish(), body);
}

void SessionCore::end_session(CloseCode code, bool is_local) {
  state = State::closed;
  attention_ = true;
  close_code_ = code;
  close_local_ = is_local;
  input_ = {};
  skip_ = 0;
  for (std::uint32_t slot = 0; slot < streams.slot_count(); ++slot) {
    Stream& stream = streams[slot];
    if (stream.id == 0) continue;
    if (!stream.over) {
      const bool taken = !stream.local || stream.id <= goaway_last_stream_;
      decide_outcomes(stream, code == CloseCode::none ? CloseCode::destination_lost : code,
                      taken ? 0xFFFFFFFF : 0);
      finish_stream(slot, EventType::reset, code, is_local);
    } else if (stream.discarding && !stream.dying) {
      streams.close_id(slot);
      release_stream(slot);
    }
  }
  output.drop_all(/*control_too=*/!is_local);
  drain_until_.reset();
}

void SessionCore::drain(Duration grace, Instant now) {
  now_ = std::max(now_, now);
  if (state == State::closed) return;
  if (state == State::hello) {
    close(CloseCode::draining, {});
    return;
  }
  const bool begins = !drain_until_;
  drain_until_ = std::min(drain_until_.value_or(Instant::max()), now + grace);
  if (!begins) return;
  push_goaway(CloseCode::draining, {}, kDrainLastStream, grace);
  end_call_streams();
}

// Nothing more is asked, published or subscribed to on the streams of this side: the peer drains,
// or this side does. A `stream` goes on to its end.
void SessionCore::end_call_streams() {
  for (std::uint32_t slot = 0; slot < streams.slot_count(); ++slot) {
    const Stream& stream = streams[slot];
    const bool mine = stream.id != 0 && stream.local && stream.kind != StreamKind::stream;
    if (mine && !stream.over && !stream.local_ended) queue_end(slot, {});
  }
}

void SessionCore::close_if_drained() {
  if (!drain_until_ || state == State::closed || streams.size() > 0 || waiting_bytes.total() > 0) {
    return;
  }
  // The last answers must be gone: GOAWAY is a control frame and would overtake them.
  if (output.bytes() > 0) return;
  close(CloseCode::draining, {});
}

}  // namespace valkyrie::protocol
