// Message frames as they arrive: requests, responses, notifications, data; whole or in fragments.
#include <array>
#include <utility>

#include "protocol/assert.h"
#include "protocol/session_core.h"

namespace valkyrie::protocol {

bool SessionCore::on_message(const FrameHeader& header, Body body, std::uint32_t slot) {
  Stream& stream = streams[slot];
  const bool first = !stream.receiving;
  Incoming message{.header = header};
  if (first && !stream.discarding && !check_correlation(message, stream)) {
    return fail(CloseCode::protocol_violation, "correlation id");
  }
  if (const auto code = charge(header, &stream)) return fail(*code, "credit overrun");
  if (stream.discarding) return false;
  // Of a frame that flows the rest comes later: continue_flow().
  held += header.credit_bytes();
  const Body metadata_bytes = body.first(header.metadata_bytes);
  message.payload = body.subspan(header.metadata_bytes);
  message.cost = static_cast<std::uint32_t>(kHeaderBytes + body.size());
  if (!metadata_bytes.empty()) {
    const auto parsed = parse_metadata(metadata_bytes, header.type, config.reader);
    if (!parsed && !is_unimplemented(parsed.error())) {
      reset(stream.id, CloseCode::bad_metadata, to_string(parsed.error()));
      return false;
    }
    if (parsed) {
      message.metadata = *parsed;
    } else {
      message.unimplemented = true;
    }
  }
  if (first && !header.more()) return deliver(message, slot);
  return on_fragment(message, slot);
}

// Correlation ids of requests rise; a response has one that was sent, and is late when nobody
// waits for it any more.
bool SessionCore::check_correlation(Incoming& message, Stream& stream) {
  const FrameHeader& header = message.header;
  if (asks(header)) {
    if (header.correlation <= stream.correlation_taken) return false;
    stream.correlation_taken = header.correlation;
  } else if (header.type == FrameType::response) {
    if (header.correlation > stream.correlation_sent) return false;
    message.request = outgoing.find(stream.id, header.correlation);
    message.late = message.request == FlatIndex::kNone;
    if (message.late) ++stats_.late_answers;
  }
  return true;
}

// A part of a message. Parts of data are passed on as they come, all others are put together here.
bool SessionCore::on_fragment(Incoming& message, std::uint32_t slot) {
  Stream& stream = streams[slot];
  const bool first = !stream.receiving;
  if (first) {
    stream.receiving = true;
    stream.receiving_type = message.header.type;
    stream.receiving_correlation = message.header.correlation;
    stream.incomplete_cost = 0;
    stream.incomplete_payload = 0;
    stream.refusing = message.late;
  }
  stream.incomplete_payload += message.payload.size();
  if (stream.kind == StreamKind::stream) return on_data_fragment(message, slot);
  if (first && !stream.refusing) {
    stream.assembly = std::make_unique<Assembly>();
    const auto bytes = message.metadata.bytes();
    stream.assembly->metadata.assign(bytes.begin(), bytes.end());
    stream.refusing = !admit(message, slot);
  }
  stream.incomplete_cost += message.cost;
  if (!stream.refusing && stream.incomplete_payload > config.limits.call_message_bytes_max) {
    refuse(message.header, slot, StatusCode::resource_exhausted, "message too large");
    stream.refusing = true;
  }
  if (!stream.refusing && held > config.limits.held_bytes_max) {
    refuse(message.header, slot, StatusCode::resource_exhausted, "too many bytes held");
    stream.refusing = true;
  }
  if (stream.over) return false;
  if (stream.refusing) {
    stream.assembly.reset();
    take_back(stream, static_cast<std::uint32_t>(std::exchange(stream.incomplete_cost, 0)));
  } else {
    auto& payload = stream.assembly->payload;
    payload.insert(payload.end(), message.payload.begin(), message.payload.end());
  }
  if (message.header.more()) {
    grant(stream);
    return false;
  }
  stream.receiving = false;
  return stream.refusing ? false : deliver_assembled(message.header, slot);
}

bool SessionCore::on_data_fragment(Incoming& message, std::uint32_t slot) {
  Stream& stream = streams[slot];
  if (stream.incomplete_payload > config.limits.stream_message_bytes_max) {
    reset(stream.id, CloseCode::too_large, "message too large");
    return false;
  }
  stream.receiving = message.header.more();
  return deliver(message, slot);
}

// The last part of a message has come: it is delivered as if it had come whole.
bool SessionCore::deliver_assembled(const FrameHeader& header, std::uint32_t slot) {
  Stream& stream = streams[slot];
  delivered_ = std::move(stream.assembly);
  Incoming message{.header = header,
                   .payload = delivered_->payload,
                   .cost = static_cast<std::uint32_t>(std::exchange(stream.incomplete_cost, 0)),
                   .admitted = true};
  if (asks(header)) {
    message.request = incoming.find(stream.id, header.correlation);
  } else if (header.type == FrameType::response) {
    message.request = outgoing.find(stream.id, header.correlation);
    message.late = message.request == FlatIndex::kNone;  // It failed while its parts came in.
  }
  if (!delivered_->metadata.empty()) {
    // Valid: it was parsed when it came.
    message.metadata = *parse_metadata(delivered_->metadata, header.type, config.reader);
  }
  return deliver(message, slot);
}

// Makes room for a request that begins to arrive; false if it was refused.
bool SessionCore::admit(Incoming& message, std::uint32_t slot) {
  const FrameHeader& header = message.header;
  if (message.unimplemented) {
    refuse(header, slot, StatusCode::unimplemented, "metadata key not understood");
    return false;
  }
  if (!asks(header)) return true;
  Stream& stream = streams[slot];
  if (incoming.size() >= config.limits.requests_in_flight_max) {
    refuse(header, slot, StatusCode::resource_exhausted, "too many requests in flight");
    return false;
  }
  message.request = incoming.insert(stream.incoming, stream.id, header.correlation);
  Request& request = incoming[message.request];
  request.stream_slot = slot;
  request.qos = header.qos;
  request.incomplete = header.more();
  return true;
}

// Turns down what is arriving: a request is answered, a response fails its request.
void SessionCore::refuse(const FrameHeader& header, std::uint32_t slot, StatusCode code,
                         std::string_view text) {
  Stream& stream = streams[slot];
  if (header.type == FrameType::request) {
    ++stats_.refused_messages;
    const std::uint32_t at = incoming.find(stream.id, header.correlation);
    if (at != FlatIndex::kNone) incoming.erase(stream.incoming, at);
    answer_status(slot, header.correlation, header.qos, code, text);
  } else if (header.type == FrameType::response) {
    const std::uint32_t at = outgoing.find(stream.id, header.correlation);
    if (at != FlatIndex::kNone) fail_request(at, code, CloseCode::none, Outcome::executed);
  } else if (header.type != FrameType::notify) {
    refuse_published(header, slot, code, text);
  }
}

bool SessionCore::deliver(Incoming& message, std::uint32_t slot) {
  Stream& stream = streams[slot];
  const FrameHeader& header = message.header;
  bool refused = message.late;
  if (!refused && stream.kind != StreamKind::stream) {
    if (message.payload.size() > config.limits.call_message_bytes_max) {
      refuse(header, slot, StatusCode::resource_exhausted, "message too large");
      refused = true;
    } else if (!message.admitted) {
      refused = !admit(message, slot);
    }
  }
  if (!refused && stream.kind == StreamKind::stream && message.unimplemented) {
    reset(stream.id, CloseCode::bad_metadata, "metadata key not understood");
    return false;
  }
  if (refused) {
    if (!stream.over) take_back(stream, message.cost);
    return false;
  }
  if (held > config.limits.held_bytes_max) shed_largest_holder();
  if (streams[slot].over) return false;
  Event& event = begin_event(EventType::data, stream);
  event.qos = header.qos;
  event.correlation = header.correlation;
  event.metadata = message.metadata;
  event.payload = message.payload;
  event.cost = message.cost;
  switch (header.type) {
    case FrameType::request:
      event.type = EventType::request;
      incoming[message.request].incomplete = false;
      return true;
    case FrameType::response:
      event.type = EventType::response;
      event.cookie = outgoing[message.request].cookie;
      outgoing.erase(stream.outgoing, message.request);
      return true;
    case FrameType::notify:
      event.type = EventType::notify;
      return true;
    case FrameType::publish:
      event.type = EventType::publish;
      if (header.correlation != 0) incoming[message.request].incomplete = false;
      return true;
    case FrameType::event:
      event.type = EventType::event;
      return true;
    default:
      event.more = header.more();
      event.to_come = static_cast<std::uint32_t>(flow_left_);
      return true;
  }
}

void SessionCore::consume(std::uint32_t id, std::uint32_t bytes) {
  const std::uint32_t slot = streams.find(id);
  if (slot == FlatIndex::kNone || streams[slot].over) return;
  take_back(streams[slot], bytes);
}

void SessionCore::take_back(Stream& stream, std::uint32_t bytes) {
  VALKYRIE_ASSERT(bytes <= stream.received - stream.consumed);
  stream.consumed += bytes;
  held -= bytes;
  grant(stream);
}

// Stream credit returns when bytes have left. While a message is incomplete its own bytes are
// granted again, so that it can become whole in any window: docs/spec/flow-control.md.
void SessionCore::grant(Stream& stream) {
  if (stream.remote_ended || stream.discarding || state != State::open) return;
  const std::uint64_t returned = stream.consumed + stream.incomplete_cost;
  const std::uint64_t window = stream.flow.window;
  if (window + returned < stream.granted + window / 4) return;
  fit_window(stream);
  stream.granted = stream.flow.window + returned;
  std::array<std::byte, CreditBody::kBytes> body;
  CreditBody{stream.granted}.encode(body);
  push_control(FrameType::credit, stream.id, 0, {}, body);
}

// Answers a request that never reaches the owner.
void SessionCore::answer_status(std::uint32_t slot, std::uint32_t correlation, std::uint8_t qos,
                                StatusCode code, std::string_view text) {
  std::array<std::byte, kEntryHeaderBytes + kStatusBytesMax> buffer;
  MetadataWriter writer(buffer);
  writer.status({.code = code, .outcome = Outcome::not_executed, .text = text});
  send_answer(slot, correlation, qos, {.metadata = *writer.finish()});
}

// Over the session's budget of held bytes with no message to refuse: the stream that holds most
// is reset.
void SessionCore::shed_largest_holder() {
  std::uint32_t largest = FlatIndex::kNone;
  std::uint64_t most = 0;
  for (std::uint32_t slot = 0; slot < streams.slot_count(); ++slot) {
    const Stream& stream = streams[slot];
    if (stream.id == 0 || stream.over || stream.discarding) continue;
    const std::uint64_t bytes = stream.received - stream.consumed;
    if (bytes > most) {
      most = bytes;
      largest = slot;
    }
  }
  if (largest != FlatIndex::kNone) {
    reset(streams[largest].id, CloseCode::slow_peer, "too many bytes held");
  }
}

}  // namespace valkyrie::protocol
