// What the owner sends: straight into the output where credit allows, else behind it.
#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "protocol/assert.h"
#include "protocol/frame_body.h"
#include "protocol/session_core.h"

namespace valkyrie::protocol {

namespace {

// Least payload of a part of a message, if there is that much: crumbs cost more than they carry.
constexpr std::uint64_t kPartBytesMin = 1024;

// What relayed data may fill of the output: calls shall find room beside it.
constexpr std::uint64_t kRelayedShareOfOutput = 4;

// Bytes of relayed data up to which what waits is kept where its owner has it. It shares memory
// that is read into; a peer that stops taking data shall not keep much of that from others.
constexpr std::uint64_t kSharedRelayedBytes = 2u << 20;

}  // namespace

void SessionCore::push_control(FrameType type, std::uint32_t stream, std::uint32_t correlation,
                               Body metadata, Body payload) {
  if (output.control_bytes() > config.limits.control_output_bytes_max &&
      type != FrameType::goaway) {
    fail(CloseCode::flood, "too much control output");
    return;
  }
  const FrameHeader header{
      .type = type,
      .metadata_bytes = static_cast<std::uint16_t>(metadata.size()),
      .stream = stream,
      .body_bytes = static_cast<std::uint32_t>(metadata.size() + payload.size()),
      .correlation = correlation};
  output.push(OutputQueue::kControlLane, header, metadata, payload);
}

// A stream whose frames are still queued keeps their lane, whatever the class now: the order in a
// stream never changes.
std::uint16_t SessionCore::lane_of(const Stream& stream, std::uint8_t qos) {
  if (stream.last_ticket.lane > OutputQueue::kOpenLane && !output.departed(stream.last_ticket)) {
    return stream.last_ticket.lane;
  }
  return output.lane_for(qos);
}

// The longest payload of a frame of this class: while there are critical ones, the others are cut
// so that these need not wait long.
std::size_t SessionCore::part_max(std::uint8_t qos) const {
  const bool cut = now_ < critical_until && qos_class(qos) != QosClass::critical;
  return cut ? kKernelUnsentCriticalBytes : std::numeric_limits<std::size_t>::max();
}

std::expected<std::uint32_t, SendError> SessionCore::open_stream(StreamKind kind,
                                                                 std::uint8_t options,
                                                                 const Outgoing& open,
                                                                 std::uint64_t user) {
  if (state == State::hello) return std::unexpected(SendError::not_ready);
  if (state == State::closed) return std::unexpected(SendError::closed);
  if (peer_draining_ || drain_until_) return std::unexpected(SendError::draining);
  if (open.metadata.size() > kMetadataBytes) return std::unexpected(SendError::too_large);
  if (role == Role::dialer && qos_class(open.qos) < peer.qos_ceiling) {
    return std::unexpected(SendError::forbidden);
  }
  if (next_local_id_ > 0xFFFFFFFF) return std::unexpected(SendError::exhausted);
  if (next_local_id_ > local_id_max_) {
    stream_limit_hit_ = true;
    return std::unexpected(SendError::stream_limit);
  }
  if (output.bytes() > room_for(config.limits.queued_bytes_max, open.qos)) {
    return refuse_for_room(open.qos, 0);
  }
  const auto id = static_cast<std::uint32_t>(next_local_id_);
  next_local_id_ += 2;
  const std::uint32_t slot = streams.insert(id);
  Stream& stream = streams[slot];
  stream.kind = kind;
  stream.local = true;
  stream.qos = open.qos;
  stream.user = user;
  stream.send_allowed = peer_stream_credit_;
  stream.granted = stream.flow.window = config.limits.stream_credit_bytes;
  std::array<std::byte, StreamOpenBody::kBytes> body;
  StreamOpenBody{kind, options}.encode(body);
  const FrameHeader header{
      .type = FrameType::stream_open,
      .qos = open.qos,
      .metadata_bytes = static_cast<std::uint16_t>(open.metadata.size()),
      .stream = id,
      .body_bytes = static_cast<std::uint32_t>(open.metadata.size() + body.size())};
  note_class(open.qos);
  stream.open_ticket = output.push(OutputQueue::kOpenLane, header, open.metadata, body);
  return id;
}

// The checks that every send on a stream shares.
std::expected<Stream*, SendError> SessionCore::sendable(std::uint32_t id, StreamKind kind,
                                                        bool opener, const Outgoing& message) {
  if (state == State::hello) return std::unexpected(SendError::not_ready);
  Stream* stream = find(id);
  if (stream == nullptr) return std::unexpected(SendError::closed);
  VALKYRIE_ASSERT(stream->kind == kind);
  VALKYRIE_ASSERT(!opener || stream->local);
  if (stream->local_ended) {
    return std::unexpected(peer_draining_ || drain_until_ ? SendError::draining
                                                          : SendError::closed);
  }
  const std::uint64_t payload_max =
      kind == StreamKind::stream ? peer.stream_message_bytes_max : peer.call_message_bytes_max;
  if (message.metadata.size() > kMetadataBytes || message.payload.size() > payload_max) {
    return std::unexpected(SendError::too_large);
  }
  if (role == Role::dialer && stream->local && qos_class(message.qos) < peer.qos_ceiling) {
    return std::unexpected(SendError::forbidden);
  }
  return stream;
}

std::expected<Sent, SendError> SessionCore::send_request(std::uint32_t id,
                                                         const Outgoing& request) {
  const auto stream = sendable(id, StreamKind::call, /*opener=*/true, request);
  if (!stream) return std::unexpected(stream.error());
  return send_asking(streams.find(id), FrameType::request, request);
}

// Sends a message with the next correlation id of its stream, and waits for its answer.
std::expected<Sent, SendError> SessionCore::send_asking(std::uint32_t slot, FrameType type,
                                                        const Outgoing& message) {
  if (outgoing.size() >= peer.requests_in_flight_max) {
    return std::unexpected(SendError::in_flight_max);
  }
  Stream& stream = streams[slot];
  if (stream.correlation_sent == 0xFFFFFFFF) return std::unexpected(SendError::exhausted);
  const std::uint32_t correlation = ++stream.correlation_sent;
  const std::uint32_t at = outgoing.insert(stream.outgoing, stream.id, correlation);
  outgoing[at].cookie = message.cookie;
  outgoing[at].stream_slot = slot;
  const FrameHeader header{.type = type, .qos = message.qos, .correlation = correlation};
  const auto sent = send_message(slot, header, message, at);
  if (!sent) {
    --streams[slot].correlation_sent;
    outgoing.erase(streams[slot].outgoing, at);
  }
  return sent;
}

std::expected<Sent, SendError> SessionCore::send_notify(std::uint32_t id, const Outgoing& notify) {
  const auto stream = sendable(id, StreamKind::call, /*opener=*/true, notify);
  if (!stream) return std::unexpected(stream.error());
  const FrameHeader header{.type = FrameType::notify, .qos = notify.qos};
  return send_message(streams.find(id), header, notify);
}

std::expected<Sent, SendError> SessionCore::send_response(std::uint32_t id,
                                                          std::uint32_t correlation,
                                                          const Outgoing& response) {
  const std::uint32_t at = incoming.find(id, correlation);
  if (at == FlatIndex::kNone || incoming[at].incomplete) {
    return std::unexpected(SendError::unknown);
  }
  const std::uint32_t slot = incoming[at].stream_slot;
  Stream& stream = streams[slot];
  if (incoming[at].abandoned) {
    incoming.erase(stream.abandoned, at);
    release_stream(slot);
    return std::unexpected(SendError::unknown);
  }
  if (stream.over || stream.discarding) {
    incoming.erase(stream.incoming, at);  // Before its `abandoned`, which nobody needs any more.
    return std::unexpected(SendError::closed);
  }
  if (response.metadata.size() > kMetadataBytes ||
      response.payload.size() > peer.call_message_bytes_max) {
    return std::unexpected(SendError::too_large);
  }
  if (stream.local_ended) {
    incoming.erase(stream.incoming, at);
    return std::unexpected(SendError::closed);
  }
  const FrameHeader header{
      .type = FrameType::response, .qos = incoming[at].qos, .correlation = correlation};
  const auto sent = send_message(slot, header, response);
  if (!sent) return sent;
  incoming.erase(streams[slot].incoming, at);
  if (streams[slot].remote_ended) end_if_answered(slot);
  return sent;
}

// The session's own answer, which nobody would send again: if there is no room its stream is given
// up.
void SessionCore::send_answer(std::uint32_t slot, std::uint32_t correlation, std::uint8_t qos,
                              const Outgoing& answer) {
  const FrameHeader header{.type = FrameType::response, .qos = qos, .correlation = correlation};
  if (!send_message(slot, header, answer)) {
    return reset(streams[slot].id, CloseCode::slow_peer, "answers are not taken");
  }
  if (streams[slot].remote_ended) end_if_answered(slot);
}

std::expected<Sent, SendError> SessionCore::send_data(std::uint32_t id, const Outgoing& data,
                                                      bool more) {
  const auto stream = sendable(id, StreamKind::stream, /*opener=*/false, data);
  if (!stream) return std::unexpected(stream.error());
  VALKYRIE_ASSERT(!more || !data.payload.empty());
  const FrameHeader header{
      .type = FrameType::stream_data, .flags = more ? kFlagMore : std::uint8_t{0}, .qos = data.qos};
  return send_message(streams.find(id), header, data);
}

// Bytes of the output that a message may fill; beyond them it waits.
std::uint64_t SessionCore::output_max(std::uint8_t qos, bool relayed) const {
  const std::uint64_t room = room_for(config.limits.queued_bytes_max, qos);
  const bool shares = relayed && qos_class(qos) != QosClass::critical;
  return shares ? room / kRelayedShareOfOutput : room;
}

// Whether a message that cannot go now is kept, or refused.
bool SessionCore::may_wait(const FrameHeader& header, const Outgoing& message) const {
  if (header.type == FrameType::event) return message.owner != nullptr;
  const std::uint64_t size = kHeaderBytes + message.metadata.size() + message.payload.size();
  if (message.relayed) {
    return relayed_bytes.takes(header.qos, size, 0, config.limits.held_bytes_max);
  }
  return waiting_bytes.takes(header.qos, size, output.bytes(), config.limits.queued_bytes_max);
}

std::unexpected<SendError> SessionCore::refuse_for_room(std::uint8_t qos, std::uint64_t size) {
  if (!refused_) refused_ = Refused{.qos = qos, .size = size};
  refused_->qos = std::min(refused_->qos, qos);
  refused_->size = std::min(refused_->size, size);
  return std::unexpected(SendError::queue_full);
}

// Whether something that was refused would be taken now; once the output is half empty, as for what
// waits in it, but for critical frames at once.
bool SessionCore::room_for_refused() const {
  if (!refused_ || state != State::open) return false;
  const std::uint64_t most = config.limits.queued_bytes_max;
  const bool critical = qos_class(refused_->qos) == QosClass::critical;
  if (output.bytes() > (critical ? most : most / 2)) return false;
  return refused_->size == 0 ||
         waiting_bytes.takes(refused_->qos, refused_->size, output.bytes(), most);
}

// Copies what a message is made of, which the owner may forget. The output shares a long copy.
void SessionCore::keep(WaitingMessage& message) {
  std::vector<std::byte> copy;
  copy.reserve(message.metadata.size() + message.payload.size());
  copy.assign(message.metadata.begin(), message.metadata.end());
  copy.insert(copy.end(), message.payload.begin(), message.payload.end());
  Body bytes(copy);
  if (message.payload.size() < kSharedPayloadBytes) {
    message.bytes = std::move(copy);
  } else {
    message.owner = std::make_shared<const std::vector<std::byte>>(std::move(copy));
  }
  message.payload = bytes.subspan(message.metadata.size());
  message.metadata = bytes.first(message.metadata.size());
}

// Whether a message may go whole, at once: nothing waits before it, credit and room are there.
bool SessionCore::goes_at_once(const Stream& stream, std::uint8_t qos,
                               const Outgoing& message) const {
  const std::size_t body = message.metadata.size() + message.payload.size();
  const std::uint64_t size = kHeaderBytes + body;
  const std::uint64_t queued = output.bytes() + (message.relayed ? 0 : waiting_bytes.total());
  return !stream.waiting && body <= body_max_ && message.payload.size() <= part_max(qos) &&
         stream.send_used + size <= stream.send_allowed &&
         queued + size <= output_max(qos, message.relayed);
}

void SessionCore::charge_frame(Stream& stream, FrameHeader& header, Body metadata, Body payload) {
  header.stream = stream.id;
  header.metadata_bytes = static_cast<std::uint16_t>(metadata.size());
  header.body_bytes = static_cast<std::uint32_t>(metadata.size() + payload.size());
  note_class(header.qos);
  stream.send_used += header.credit_bytes();
}

void SessionCore::note_pushed(Stream& stream, const FrameHeader& header) {
  stream.qos = header.qos;
  if (config.meter != nullptr) {
    config.meter->queued(output, static_cast<std::size_t>(qos_class(header.qos)),
                         header.credit_bytes(), stream.last_ticket);
  }
}

void SessionCore::push_frame(Stream& stream, FrameHeader header, Body metadata, Body payload) {
  charge_frame(stream, header, metadata, payload);
  stream.last_ticket = output.push(lane_of(stream, header.qos), header, metadata, payload);
  note_pushed(stream, header);
}

// The same, with a payload that is not copied if it is long and somebody keeps it.
void SessionCore::push_shared_frame(Stream& stream, FrameHeader header, Body metadata, Body payload,
                                    std::shared_ptr<const void> owner) {
  if (owner == nullptr || payload.size() < kSharedPayloadBytes) {
    return push_frame(stream, header, metadata, payload);
  }
  charge_frame(stream, header, metadata, payload);
  stream.last_ticket =
      output.push_shared(lane_of(stream, header.qos), header, metadata, payload, std::move(owner));
  note_pushed(stream, header);
}

// Queues a message, whole if credit and room allow it, else behind what waits on its stream.
std::expected<Sent, SendError> SessionCore::send_message(std::uint32_t slot,
                                                         const FrameHeader& header,
                                                         const Outgoing& message,
                                                         std::uint32_t request) {
  Stream& stream = streams[slot];
  if (!goes_at_once(stream, header.qos, message)) return wait(slot, header, message);
  if (message.owner != nullptr) {
    push_shared_frame(stream, header, message.metadata, message.payload, message.owner);
  } else {
    push_frame(stream, header, message.metadata, message.payload);
  }
  if (request != FlatIndex::kNone) {
    Request& asked = outgoing[request];
    asked.first = asked.last = stream.last_ticket;
    asked.started = asked.queued = true;
  }
  return Sent{.correlation = header.correlation};
}

// Takes a message that has to wait, or a part of it; refuses it when too much does.
std::expected<Sent, SendError> SessionCore::wait(std::uint32_t slot, const FrameHeader& header,
                                                 const Outgoing& message) {
  Stream& stream = streams[slot];
  const std::size_t body = message.metadata.size() + message.payload.size();
  if (!may_wait(header, message)) {
    // What is passed on for a peer is not sent again, and an event is the subscription's to send.
    const bool again = !message.relayed && header.type != FrameType::event;
    if (again) return refuse_for_room(header.qos, kHeaderBytes + body);
    return std::unexpected(SendError::queue_full);
  }
  auto waiting = std::make_unique<WaitingMessage>();
  waiting->metadata = message.metadata;
  waiting->payload = message.payload;
  waiting->owned = header.type == FrameType::event && message.owner != nullptr;
  WaitingBytes& account = waiting_account(message.relayed, waiting->owned);
  if (message.owner != nullptr && (!message.relayed || account.total() <= kSharedRelayedBytes)) {
    waiting->owner = message.owner;
  } else {
    keep(*waiting);
  }
  waiting->correlation = header.correlation;
  waiting->stream = stream.id;
  waiting->user = stream.user;
  waiting->cookie = message.cookie;
  waiting->type = header.type;
  waiting->qos = header.qos;
  waiting->more = header.more();
  waiting->relayed = message.relayed;
  account.add(header.qos, body);
  WaitingMessage* const added = waiting.get();
  (stream.waiting ? stream.waiting_last->next : stream.waiting) = std::move(waiting);
  stream.waiting_last = added;
  if (stream.waiting.get() == added && pump(slot)) return Sent{.correlation = header.correlation};
  added->announced = true;
  note_stall(slot);
  return Sent{.correlation = header.correlation, .waiting = true};
}

void SessionCore::note_request(Stream& stream, std::uint32_t correlation, Ticket ticket,
                               bool whole) {
  if (!stream.local || correlation == 0) return;
  const std::uint32_t at = outgoing.find(stream.id, correlation);
  if (at == FlatIndex::kNone) return;
  Request& request = outgoing[at];
  if (!std::exchange(request.started, true)) request.first = ticket;
  request.last = ticket;
  request.queued = whole;
}

// Queues what credit and room allow of the messages that wait on a stream. True if none is left.
bool SessionCore::pump(std::uint32_t slot) {
  bool progress = false;
  while (streams[slot].waiting) {
    Stream& stream = streams[slot];
    WaitingMessage& message = *stream.waiting;
    if (message.type == FrameType::end) {
      const Body metadata = message.metadata;
      const FrameHeader header{.type = FrameType::end,
                               .metadata_bytes = static_cast<std::uint16_t>(metadata.size()),
                               .stream = stream.id,
                               .body_bytes = static_cast<std::uint32_t>(metadata.size())};
      stream.last_ticket = output.push(lane_of(stream, stream.qos), header, metadata, {});
      stream.end_queued = true;
      waiting_bytes.take(message.qos, metadata.size());
      pop_waiting(stream);
      end_stall(slot);
      close_if_done(slot);
      return true;
    }
    const std::size_t before = message.sent;
    const bool whole = push_part(stream, slot, message);
    progress = progress || whole || message.sent > before;
    if (!whole) break;
    pop_waiting(stream);
  }
  if (progress || !streams[slot].waiting) end_stall(slot);
  return !streams[slot].waiting;
}

// Queues the next parts of a message; true when its last byte is queued.
bool SessionCore::push_part(Stream& stream, std::uint32_t slot, WaitingMessage& message) {
  const std::uint64_t most = output_max(message.qos, message.relayed);
  for (;;) {
    const bool first = message.sent == 0;
    const std::size_t metadata = first ? message.metadata.size() : 0;
    const std::size_t left = message.left() - metadata;
    const std::uint64_t overhead = kHeaderBytes + metadata;
    const std::uint64_t credit = stream.send_allowed - stream.send_used;
    if (credit < overhead + std::min<std::uint64_t>(left, kPartBytesMin)) return false;
    const std::uint64_t longest = std::max(most, overhead + kPartBytesMin) - overhead;
    const std::size_t size = std::min<std::uint64_t>(
        {left, body_max_ - metadata, credit - overhead, part_max(message.qos), longest});
    if (output.bytes() > 0 && output.bytes() + overhead + size > most) {
      if (!std::exchange(stream.blocked, true)) blocked_.push(slot);
      return false;
    }
    const bool whole = size == left;
    FrameHeader header{
        .type = message.type, .qos = message.qos, .correlation = message.correlation};
    if (!whole || message.more) header.flags = kFlagMore;
    const Body part = message.payload.subspan(message.payload.size() - left, size);
    push_shared_frame(stream, header, message.metadata.first(metadata), part, message.owner);
    message.sent += metadata + size;
    waiting_account(message.relayed, message.owned).take(message.qos, metadata + size);
    note_request(stream, message.correlation, stream.last_ticket, whole);
    if (whole) return true;
  }
}

// Takes the first waiting message off its stream; the owner hears of it if it was told to wait.
void SessionCore::pop_waiting(Stream& stream) {
  auto done = std::move(stream.waiting);
  stream.waiting = std::move(done->next);
  if (!stream.waiting) stream.waiting_last = nullptr;
  if (!done->announced) return;
  WaitingMessage* const added = done.get();
  (flushed_ ? flushed_last_->next : flushed_) = std::move(done);
  flushed_last_ = added;
  attention_ = true;
}

// Takes a request that waits out of its stream's messages.
void SessionCore::drop_waiting(std::uint32_t slot, std::uint32_t correlation) {
  Stream& stream = streams[slot];
  std::unique_ptr<WaitingMessage>* link = &stream.waiting;
  WaitingMessage* previous = nullptr;
  while (*link && (*link)->correlation != correlation) {
    previous = link->get();
    link = &(*link)->next;
  }
  if (!*link) return;
  waiting_bytes.take((*link)->qos, (*link)->left());
  *link = std::move((*link)->next);
  if (!*link) stream.waiting_last = previous;
  if (!stream.waiting) return end_stall(slot);
  if (previous == nullptr && !pump(slot)) note_stall(slot);
}

void SessionCore::forget_waiting(Stream& stream) {
  while (stream.waiting) {
    const WaitingMessage& message = *stream.waiting;
    waiting_account(message.relayed, message.owned).take(message.qos, message.left());
    stream.waiting = std::move(stream.waiting->next);
  }
  stream.waiting_last = nullptr;
}

// The output has room again: the streams that waited for it go on in turn, once it is half empty;
// critical ones at once.
void SessionCore::pump_blocked() {
  for (std::size_t count = blocked_.size(); count > 0; --count) {
    const bool half_empty = output.bytes() * 2 < config.limits.queued_bytes_max;
    const std::uint32_t slot = blocked_.pop();
    Stream& stream = streams[slot];
    if (!stream.blocked) continue;
    if (!half_empty && stream.waiting && qos_class(stream.waiting->qos) != QosClass::critical) {
      blocked_.push(slot);
      continue;
    }
    stream.blocked = false;
    if (!stream.over && !pump(slot)) note_stall(slot);
  }
}

std::expected<void, SendError> SessionCore::send_end(std::uint32_t id, Body metadata) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->local_ended) return std::unexpected(SendError::closed);
  if (metadata.size() > kMetadataBytes) return std::unexpected(SendError::too_large);
  // With answers still owed END comes by itself, after the last of them.
  if (stream->remote_ended && stream->incoming.first != FlatIndex::kNone) return {};
  queue_end(streams.find(id), metadata);
  return {};
}

void SessionCore::queue_end(std::uint32_t slot, Body metadata) {
  Stream& stream = streams[slot];
  stream.local_ended = true;
  auto end = std::make_unique<WaitingMessage>();
  end->type = FrameType::end;
  end->qos = stream.qos;
  end->metadata = metadata;
  keep(*end);
  waiting_bytes.add(end->qos, metadata.size());
  WaitingMessage* const added = end.get();
  (stream.waiting ? stream.waiting_last->next : stream.waiting) = std::move(end);
  stream.waiting_last = added;
  if (stream.waiting.get() == added) (void)pump(slot);
}

// END of the answering side of a call stream follows its last answer by itself.
void SessionCore::end_if_answered(std::uint32_t slot) {
  Stream& stream = streams[slot];
  if (stream.over || stream.local_ended || stream.incoming.first != FlatIndex::kNone) return;
  queue_end(slot, {});
}

void SessionCore::push_reset(Stream& stream, CloseCode code, std::string_view text) {
  std::array<std::byte, kEntryHeaderBytes + kStatusBytesMax> buffer;
  MetadataWriter writer(buffer);
  if (!text.empty()) {
    writer.status(
        {.code = caller_status(code),
         .outcome = proves_not_executed(code) ? Outcome::not_executed : Outcome::maybe_executed,
         .text = text});
  }
  const Body metadata = *writer.finish();
  std::array<std::byte, ResetBody::kBytes> body;
  ResetBody{code, stream.correlation_taken}.encode(body);
  const FrameHeader header{.type = FrameType::reset,
                           .metadata_bytes = static_cast<std::uint16_t>(metadata.size()),
                           .stream = stream.id,
                           .body_bytes = static_cast<std::uint32_t>(metadata.size() + body.size())};
  // Behind the STREAM_OPEN if that has not left: an id is opened before it is reset.
  const bool opening = stream.local && !output.departed(stream.open_ticket);
  if (!opening && output.control_bytes() > config.limits.control_output_bytes_max) {
    fail(CloseCode::flood, "too much control output");
    return;
  }
  output.push(opening ? OutputQueue::kOpenLane : OutputQueue::kControlLane, header, metadata, body);
}

// Takes what is queued on a stream out of the output, its END too. False if nothing was.
bool SessionCore::drop_queued(Stream& stream) {
  if (output.departed(stream.last_ticket)) return false;
  output.drop(stream.last_ticket.lane, stream.id);
  return true;
}

void SessionCore::reset(std::uint32_t id, CloseCode code, std::string_view text) {
  const std::uint32_t slot = streams.find(id);
  if (slot == FlatIndex::kNone || streams[slot].over || streams[slot].discarding) return;
  Stream& stream = streams[slot];
  decide_outcomes(stream, code, 0xFFFFFFFF);
  drop_queued(stream);
  push_reset(stream, code, text);
  if (state != State::open) return;
  stream.local_ended = stream.end_queued = true;
  if (stream.remote_ended) {
    streams.close_id(slot);
  } else {
    stream.discarding = true;
  }
  finish_stream(slot, EventType::reset, code, /*is_local=*/true);
}

void SessionCore::cancel(std::uint32_t id, std::uint32_t correlation) {
  const std::uint32_t at = outgoing.find(id, correlation);
  if (at == FlatIndex::kNone || outgoing[at].cancelled) return;
  Request& request = outgoing[at];
  Stream& stream = streams[request.stream_slot];
  const bool left = request.started && output.departed(request.first);
  if (stream.over || (left && stream.kind == StreamKind::publish)) return;
  request.cancelled = true;
  if (request.started && !(request.queued && output.departed(request.last))) {
    stream.send_used -= output.drop(request.last.lane, id, correlation);
  }
  if (!request.queued) drop_waiting(request.stream_slot, correlation);
  if (left) {
    push_control(FrameType::cancel, id, correlation, {}, {});
  } else {
    fail_request(at, StatusCode::cancelled, CloseCode::cancelled, Outcome::not_executed);
  }
}

}  // namespace valkyrie::protocol
