// Bytes to frames, the order of checks (docs/spec/framing.md), and who handles which frame.
#include <algorithm>
#include <array>
#include <utility>

#include "protocol/assert.h"
#include "protocol/properties.h"
#include "protocol/session_core.h"

namespace valkyrie::protocol {

namespace {

// Bytes of payload that must have come of a frame to be handled before the rest has.
constexpr std::size_t kFlowBytesMin = 4096;

std::span<const std::byte, kHeaderBytes> header_of(std::span<const std::byte> bytes) {
  return std::span<const std::byte, kHeaderBytes>(bytes.data(), kHeaderBytes);
}

}  // namespace

void SessionCore::receive(std::span<const std::byte> bytes, Instant now,
                          const std::shared_ptr<const void>* owner) {
  VALKYRIE_ASSERT(input_.empty());
  now_ = now;
  if (state == State::closed || bytes.empty()) return;
  received_at_ = now;
  ping_at_ = now;
  stats_.bytes_received += bytes.size();
  input_ = bytes;
  input_owner_ = owner;
}

void SessionCore::receive_eof(Instant now) {
  now_ = now;
  input_ = {};
  if (state == State::closed) return;
  end_session(drain_until_ || peer_draining_ ? CloseCode::draining : CloseCode::none,
              /*is_local=*/false);
}

const Event* SessionCore::poll_event() {
  if (partial_delivered_ || delivered_) forget_delivered();
  for (;;) {
    if (attention_ || drain_until_ || refused_) {
      if (next_queued_event()) return &event_;
      attention_ = false;
    }
    if (state == State::closed) input_ = {};
    if (input_.empty()) {
      input_owner_ = nullptr;
      return nullptr;
    }
    if (next_frame()) return &event_;
  }
}

std::shared_ptr<const void> SessionCore::payload_owner() const {
  const bool is_input = !partial_delivered_ && delivered_ == nullptr;
  if (input_owner_ == nullptr || !is_input || event_.payload.size() < kSharedPayloadBytes) {
    return nullptr;
  }
  return *input_owner_;
}

// The bytes that the last event borrowed are not looked at any more.
void SessionCore::forget_delivered() {
  delivered_.reset();
  if (!std::exchange(partial_delivered_, false)) return;
  partial_.clear();
}

// Handles what the input begins with. True if event_ is an event.
bool SessionCore::next_frame() {
  if (skip_ > 0) {
    const std::size_t size = std::min(skip_, input_.size());
    skip_ -= size;
    input_ = input_.subspan(size);
    return false;
  }
  if (flow_left_ > 0) return continue_flow();
  if (!partial_.empty()) return frame_from_partial();
  if (take_usual_call()) return true;
  if (input_.size() < kHeaderBytes) {
    partial_.assign(input_.begin(), input_.end());
    input_ = {};
    return false;
  }
  FrameHeader header;
  if (!take_header(header_of(input_), header)) return false;
  if (skip_ > 0) {
    input_ = input_.subspan(kHeaderBytes);
    return false;
  }
  const std::size_t size = kHeaderBytes + header.body_bytes;
  if (input_.size() < size) {
    if (may_flow(header)) return begin_flow(header);
    partial_.assign(input_.begin(), input_.end());
    input_ = {};
    return false;
  }
  const Body body = input_.subspan(kHeaderBytes, header.body_bytes);
  input_ = input_.subspan(size);
  return dispatch(header, body);
}

// Whether the beginning of a frame at the front of the input, all there is of it, is worth handling
// by itself: bulk is then never put together from pieces.
bool SessionCore::may_flow(const FrameHeader& header) const {
  return header.type == FrameType::stream_data && state == State::open && header.stream != 0 &&
         input_.size() >= kHeaderBytes + header.metadata_bytes + kFlowBytesMin;
}

// Handles what has come of a frame of data as one that has MORE.
bool SessionCore::begin_flow(const FrameHeader& header) {
  const Body body = std::exchange(input_, {}).subspan(kHeaderBytes);
  flow_ = header;
  flow_left_ = header.body_bytes - body.size();
  FrameHeader begun = header;
  begun.flags |= kFlagMore;
  return dispatch(begun, body);
}

// The credit of the whole frame was charged when it began.
bool SessionCore::continue_flow() {
  const Body payload = input_.first(std::min(flow_left_, input_.size()));
  input_ = input_.subspan(payload.size());
  flow_left_ -= payload.size();
  const std::uint32_t slot = streams.find(flow_.stream);
  if (slot == FlatIndex::kNone || streams[slot].over || streams[slot].discarding) return false;
  FrameHeader header = flow_;
  header.metadata_bytes = 0;
  if (flow_left_ > 0) header.flags |= kFlagMore;
  Incoming message{
      .header = header, .payload = payload, .cost = static_cast<std::uint32_t>(payload.size())};
  streams[slot].incomplete_payload += payload.size();
  return on_data_fragment(message, slot);
}

// Completes the frame whose beginning came with an earlier read.
bool SessionCore::frame_from_partial() {
  const auto move_input = [this](std::size_t wanted) {
    const std::size_t size = std::min(wanted - partial_.size(), input_.size());
    partial_.insert(partial_.end(), input_.begin(),
                    input_.begin() + static_cast<std::ptrdiff_t>(size));
    input_ = input_.subspan(size);
    return partial_.size() == wanted;
  };
  if (partial_.size() < kHeaderBytes && !move_input(kHeaderBytes)) return false;
  FrameHeader header;
  if (!take_header(header_of(partial_), header)) return false;
  if (skip_ > 0) {
    VALKYRIE_ASSERT(partial_.size() == kHeaderBytes);
    partial_.clear();
    return false;
  }
  if (!move_input(kHeaderBytes + header.body_bytes)) return false;
  partial_delivered_ = true;
  const bool event = dispatch(header, Body(partial_).subspan(kHeaderBytes));
  if (!event) {
    partial_.clear();
    partial_delivered_ = false;
  }
  return event;
}

// The checks that need the header alone. False when the session has ended or the frame is nothing
// to handle; then skip_ says how much of it is still to come.
bool SessionCore::take_header(std::span<const std::byte, kHeaderBytes> bytes, FrameHeader& header) {
  const auto decoded = decode_header(bytes, config.limits.frame_body_bytes_max);
  if (!decoded) {
    const HeaderCheck check = first_failed_check(bytes, config.limits.frame_body_bytes_max);
    fail(decoded.error(), to_string(check));
    return false;
  }
  header = *decoded;
  if (!properties(header.type).ignorable) return true;
  if (state == State::hello) return fail(CloseCode::protocol_violation, "frame before hello");
  ++stats_.skipped_frames;
  if (!control_budget_.spend(now_)) return fail(CloseCode::flood, "too many control frames");
  skip_ = header.body_bytes;
  if (skip_ > 0) return true;
  // Nothing to skip: the header itself is the frame.
  if (partial_.empty()) {
    input_ = input_.subspan(kHeaderBytes);
  } else {
    partial_.clear();
  }
  return false;
}

bool SessionCore::dispatch(const FrameHeader& header, Body body) {
  ++stats_.frames_received;
  if (properties(header.type).control) {
    if (header.type != FrameType::hello && header.type != FrameType::hello_ack &&
        !control_budget_.spend(now_)) {
      return fail(CloseCode::flood, "too many control frames");
    }
  } else {
    control_budget_.earn(1);
  }
  if (header.stream == 0) return dispatch_connection(header, body);
  if (state == State::hello) return fail(CloseCode::protocol_violation, "frame before hello");
  return dispatch_stream(header, body);
}

bool SessionCore::dispatch_connection(const FrameHeader& header, Body body) {
  const FrameProperties& type = properties(header.type);
  const bool may_send = role == Role::acceptor ? type.from_dialer : type.from_acceptor;
  if (!may_send || type.needs_feature) {
    return fail(CloseCode::protocol_violation, to_string(header.type));
  }
  if (state == State::hello) {
    if (header.type == FrameType::hello) return on_hello(header, body);
    if (header.type == FrameType::hello_ack) return on_hello_ack(header, body);
    if (header.type != FrameType::goaway) {
      return fail(CloseCode::protocol_violation, "frame before hello");
    }
  }
  switch (header.type) {
    case FrameType::ping:
      push_control(FrameType::pong, 0, 0, {}, body);
      return false;
    case FrameType::pong:
      event_ = {};
      event_.type = EventType::pong;
      event_.cookie = PingBody::decode(body.first<PingBody::kBytes>()).value;
      if (event_.cookie == kProbeToken) {
        on_probe_answered();
        return false;
      }
      return event_.cookie != kKeepaliveToken;
    case FrameType::goaway:
      return on_goaway(header, body);
    case FrameType::credit:
      return on_credit(header, body, FlatIndex::kNone);
    case FrameType::stream_limit:
      return on_stream_limit(body);
    case FrameType::auth:
      return on_auth(body);
    case FrameType::auth_ok:
      return on_auth_ok(body);
    default:
      // A second HELLO or HELLO_ACK.
      return fail(CloseCode::protocol_violation, to_string(header.type));
  }
}

bool SessionCore::dispatch_stream(const FrameHeader& header, Body body) {
  if (header.type == FrameType::stream_open) return on_stream_open(header, body);
  const std::uint32_t slot = streams.find(header.stream);
  if (slot == FlatIndex::kNone) return on_closed_stream(header);
  if (const auto code = check_state(header, streams[slot])) {
    return fail(*code, to_string(header.type));
  }
  switch (header.type) {
    case FrameType::end:
      return on_end(header, body, slot);
    case FrameType::reset:
      return on_reset(header, body, slot);
    case FrameType::cancel:
      return on_cancel(header, slot);
    case FrameType::published:
      return on_published(header, body, slot);
    case FrameType::credit:
      return on_credit(header, body, slot);
    default:
      return on_message(header, body, slot);
  }
}

// A frame on a stream that is not there: closed, or never opened.
bool SessionCore::on_closed_stream(const FrameHeader& header) {
  const bool opened = is_local(header.stream) ? header.stream < next_local_id_
                                              : header.stream <= highest_remote_id_;
  if (!opened) return fail(CloseCode::protocol_violation, "stream was never opened");
  if (properties(header.type).control) return false;
  return fail(CloseCode::stream_closed, to_string(header.type));
}

// The checks of state that any frame on a known stream must pass.
std::optional<CloseCode> SessionCore::check_state(const FrameHeader& header,
                                                  const Stream& stream) const {
  const FrameProperties& type = properties(header.type);
  const bool from_opener = !stream.local;
  const bool may_send = from_opener ? type.from_opener : type.from_peer;
  const bool any_kind = (type.kinds >> static_cast<unsigned>(stream.kind) & 1) != 0;
  if (!may_send || !any_kind || type.needs_feature) return CloseCode::protocol_violation;
  if (type.control) return std::nullopt;
  if (stream.remote_ended) return CloseCode::stream_closed;
  const bool answering = stream.local;
  if (role == Role::acceptor && !answering && qos_class(header.qos) < config.qos_ceiling) {
    return CloseCode::forbidden;
  }
  if (stream.receiving &&
      (header.type != stream.receiving_type || header.correlation != stream.receiving_correlation ||
       header.metadata_bytes != 0)) {
    return CloseCode::protocol_violation;
  }
  return std::nullopt;
}

// Takes a credited frame from the credit of the connection and of its stream.
std::optional<CloseCode> SessionCore::charge(const FrameHeader& header, Stream* stream) {
  const std::uint64_t cost = header.credit_bytes();
  if (qos_class(header.qos) != QosClass::critical &&
      connection_received_ + cost > connection_granted_) {
    return CloseCode::flow_control;
  }
  spend_connection_credit(header);
  if (stream == nullptr) return std::nullopt;
  if (stream->received + cost > stream->granted) return CloseCode::flow_control;
  stream->received += cost;
  return std::nullopt;
}

// Critical frames cost none. But with them the peer begins to leave most of its credit unused, so
// it must not be short of what it has not got back yet.
void SessionCore::spend_connection_credit(const FrameHeader& header) {
  note_class(header.qos);
  if (qos_class(header.qos) != QosClass::critical) connection_received_ += header.credit_bytes();
  return_connection_credit();
}

// Connection credit returns when a frame is read, whatever becomes of it. At least three quarters
// of the window are always with the peer, so that any legal frame can be sent.
void SessionCore::return_connection_credit() {
  const bool critical = now_ < critical_until;
  // Beside critical frames on a short path: no more than at first, and that soon.
  const bool is_short = critical && round_trip_ < kShortPath;
  const std::uint64_t window =
      is_short ? config.limits.connection_credit_bytes : connection_flow_.window;
  const std::uint64_t step =
      critical ? std::min<std::uint64_t>(window / 4, kCriticalUnreadBytes / 4) : window / 4;
  if (connection_received_ + window < connection_granted_ + step) return;
  probe_round_trip();
  if (!is_short) fit_connection_window();
  connection_granted_ = connection_received_ + (is_short ? window : connection_flow_.window);
  std::array<std::byte, CreditBody::kBytes> body;
  CreditBody{connection_granted_}.encode(body);
  push_control(FrameType::credit, 0, 0, {}, body);
}

}  // namespace valkyrie::protocol
