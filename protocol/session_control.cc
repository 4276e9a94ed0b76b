// Frames that carry no message: the life of streams, credit, drain.
#include <algorithm>
#include <array>

#include "protocol/frame_body.h"
#include "protocol/session_core.h"

namespace valkyrie::protocol {

namespace {

// The fixed part of a body, behind the metadata.
template <typename T>
T fixed_part(const FrameHeader& header, std::span<const std::byte> body) {
  return T::decode(body.subspan(header.metadata_bytes).template first<T::kBytes>());
}

}  // namespace

bool SessionCore::on_stream_open(const FrameHeader& header, Body body) {
  const auto open = fixed_part<StreamOpenBody>(header, body);
  if (is_local(header.stream) || header.stream <= highest_remote_id_ || !open.legal()) {
    return fail(CloseCode::protocol_violation, to_string(header.type));
  }
  if (header.stream > remote_id_max_) return fail(CloseCode::stream_limit, "too many streams");
  if (role == Role::acceptor && qos_class(header.qos) < config.qos_ceiling) {
    return fail(CloseCode::forbidden, "class above the ceiling");
  }
  if (const auto code = charge(header, nullptr)) return fail(*code, "credit overrun");
  // Ids that were skipped are closed: their places are free again.
  const std::uint32_t expected =
      highest_remote_id_ == 0 ? (role == Role::acceptor ? 1 : 2) : highest_remote_id_ + 2;
  remote_ids_freed_ += (header.stream - expected) / 2;
  highest_remote_id_ = header.stream;
  const std::uint32_t slot = streams.insert(header.stream);
  Stream& stream = streams[slot];
  stream.kind = open.kind;
  stream.qos = header.qos;
  stream.send_allowed = peer_stream_credit_;
  stream.granted = stream.flow.window = config.limits.stream_credit_bytes;
  const auto metadata =
      parse_metadata(body.first(header.metadata_bytes), header.type, config.reader);
  if (!metadata) {
    reset(stream.id, CloseCode::bad_metadata, to_string(metadata.error()));
    return false;
  }
  // Who serves it may act from now on: see RESET.
  if (stream.kind == StreamKind::stream) stream.correlation_taken = 1;
  Event& event = begin_event(EventType::stream_opened, stream);
  event.kind = open.kind;
  event.options = open.options;
  event.qos = header.qos;
  event.metadata = *metadata;
  return true;
}

// Metadata of a control frame only explains: what is malformed counts as absent.
MetadataView SessionCore::control_metadata(const FrameHeader& header, Body body) {
  return parse_metadata(body.first(header.metadata_bytes), header.type, MetadataReader::relay)
      .value_or(MetadataView{});
}

bool SessionCore::on_end(const FrameHeader& header, Body body, std::uint32_t slot) {
  Stream& stream = streams[slot];
  if (stream.remote_ended || stream.receiving) {
    return fail(CloseCode::protocol_violation, "end");
  }
  stream.remote_ended = true;
  if (stream.discarding) {
    streams.close_id(slot);
    if (!stream.dying) release_stream(slot);
    return false;
  }
  // A subscription that comes and goes makes the work of one that is reset.
  const bool counted = role == Role::acceptor && !stream.local && !drain_until_ &&
                       stream.kind == StreamKind::subscribe;
  if (counted && !reset_budget_.spend(now_)) {
    return fail(CloseCode::flood, "too many subscriptions came and went");
  }
  Event& event = begin_event(EventType::end, stream);
  event.metadata = control_metadata(header, body);
  if (stream.kind != StreamKind::stream) {
    if (stream.local) {
      // The peer answers no more: what it owes is lost, and nothing more can be asked.
      while (stream.outgoing.first != FlatIndex::kNone) {
        fail_request(stream.outgoing.first, StatusCode::unavailable, CloseCode::destination_lost,
                     Outcome::maybe_executed);
      }
      if (!stream.local_ended) queue_end(slot, {});
    } else if (stream.kind != StreamKind::subscribe) {
      end_if_answered(slot);
    }
  }
  close_if_done(slot);
  return true;
}

bool SessionCore::on_reset(const FrameHeader& header, Body body, std::uint32_t slot) {
  Stream& stream = streams[slot];
  const auto reset_body = fixed_part<ResetBody>(header, body);
  if (stream.discarding) {
    stream.remote_ended = true;
    streams.close_id(slot);
    if (!stream.dying) release_stream(slot);
    return false;
  }
  if (role == Role::acceptor && !stream.local && !reset_budget_.spend(now_)) {
    return fail(CloseCode::flood, "too many streams were reset");
  }
  decide_outcomes(stream, reset_body.code, reset_body.last_correlation);
  // The peer discards until it hears END or RESET; an END that was still queued is taken back.
  const bool dropped = drop_queued(stream);
  if (dropped || !stream.end_queued) push_reset(stream, CloseCode::cancelled, {});
  if (state != State::open) return false;
  stream.remote_ended = true;
  streams.close_id(slot);
  const MetadataView metadata = control_metadata(header, body);
  final_metadata_.assign(metadata.bytes().begin(), metadata.bytes().end());
  finish_stream(slot, EventType::reset, reset_body.code, /*is_local=*/false);
  return false;
}

bool SessionCore::on_cancel(const FrameHeader& header, std::uint32_t slot) {
  Stream& stream = streams[slot];
  if (stream.discarding) return false;  // Its request may be among what was discarded.
  if (header.correlation > stream.correlation_taken) {
    return fail(CloseCode::protocol_violation, "cancel of no request");
  }
  const std::uint32_t at = incoming.find(stream.id, header.correlation);
  if (at == FlatIndex::kNone || incoming[at].abandoned || incoming[at].cancelled) {
    // Answered, refused while incomplete, or told before.
    if (stream.receiving && stream.receiving_correlation == header.correlation) {
      stream.receiving = false;
    }
    return false;
  }
  Request& request = incoming[at];
  request.cancelled = true;
  if (request.incomplete) {
    // The rest of it never comes; the owner never saw it.
    const std::uint8_t qos = request.qos;
    stream.receiving = false;
    stream.assembly.reset();
    incoming.erase(stream.incoming, at);
    take_back(stream, static_cast<std::uint32_t>(std::exchange(stream.incomplete_cost, 0)));
    answer_status(slot, header.correlation, qos, StatusCode::cancelled, "cancelled");
    return false;
  }
  Event& event = begin_event(EventType::cancel, stream);
  event.correlation = header.correlation;
  event.cookie = request.cookie;
  return true;
}

// Credit is a total since the start. One that says less than an earlier one changes nothing; it
// cannot be meant and cannot harm.
bool SessionCore::on_credit(const FrameHeader& header, Body body, std::uint32_t slot) {
  const std::uint64_t total = CreditBody::decode(body.first<CreditBody::kBytes>()).total_bytes;
  if (header.stream == 0) {
    if (total > connection_send_granted_) {
      output.add_connection_credit(total - connection_send_granted_);
      connection_send_granted_ = total;
    }
    return false;
  }
  Stream& stream = streams[slot];
  if (total <= stream.send_allowed || stream.discarding) return false;
  stream.send_allowed = total;
  if (stream.waiting && !pump(slot)) note_stall(slot);
  return false;
}

bool SessionCore::on_stream_limit(Body body) {
  const auto highest =
      StreamLimitBody::decode(body.first<StreamLimitBody::kBytes>()).highest_stream;
  if (highest <= local_id_max_) return false;
  local_id_max_ = highest;
  stream_limit_raised_ = std::exchange(stream_limit_hit_, false);
  attention_ = attention_ || stream_limit_raised_;
  return false;
}

bool SessionCore::on_goaway(const FrameHeader& header, Body body) {
  const auto goaway = fixed_part<GoawayBody>(header, body);
  goaway_last_stream_ = std::min(goaway_last_stream_, goaway.last_stream);
  const MetadataView metadata = control_metadata(header, body);
  if (state == State::open && goaway.code == CloseCode::draining &&
      goaway.last_stream == kDrainLastStream) {
    if (std::exchange(peer_draining_, true)) return false;
    end_call_streams();
    event_ = {};
    event_.type = EventType::goaway;
    event_.code = goaway.code;
    event_.drain_ms = goaway.drain_ms;
    event_.metadata = metadata;
    return true;
  }
  final_metadata_.assign(metadata.bytes().begin(), metadata.bytes().end());
  end_session(goaway.code, /*is_local=*/false);
  return false;
}

// Ids of streams whose work is over go back to the peer, a quarter of the window at a time.
void SessionCore::raise_stream_limit() {
  const std::uint32_t window = config.limits.peer_streams_max;
  if (remote_ids_freed_ == 0 || remote_ids_freed_ * 4 < window || state != State::open) return;
  remote_id_max_ =
      std::min<std::uint64_t>(remote_id_max_ + std::uint64_t{remote_ids_freed_} * 2, 0xFFFFFFFF);
  remote_ids_freed_ = 0;
  std::array<std::byte, StreamLimitBody::kBytes> body;
  StreamLimitBody{static_cast<std::uint32_t>(remote_id_max_)}.encode(body);
  push_control(FrameType::stream_limit, 0, 0, {}, body);
}

}  // namespace valkyrie::protocol
