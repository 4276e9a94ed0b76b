// Publish/subscribe, docs/spec/publish.md: messages to subjects, what answers them, and events.
#include <array>

#include "protocol/assert.h"
#include "protocol/frame_body.h"
#include "protocol/session_core.h"

namespace valkyrie::protocol {

namespace {

// The code of the RESET that tells what a STATUS would have told, where no answer is awaited.
CloseCode reset_code(StatusCode code) {
  return code == StatusCode::resource_exhausted ? CloseCode::too_large : CloseCode::bad_metadata;
}

}  // namespace

std::expected<Sent, SendError> SessionCore::send_publish(std::uint32_t id, const Outgoing& message,
                                                         bool ack) {
  const auto stream = sendable(id, StreamKind::publish, /*opener=*/true, message);
  if (!stream) return std::unexpected(stream.error());
  const std::uint32_t slot = streams.find(id);
  if (ack) return send_asking(slot, FrameType::publish, message);
  return send_message(slot, {.type = FrameType::publish, .qos = message.qos}, message);
}

std::expected<void, SendError> SessionCore::send_published(std::uint32_t id,
                                                           std::uint32_t correlation,
                                                           std::uint8_t level, Body metadata) {
  const std::uint32_t at = incoming.find(id, correlation);
  if (at == FlatIndex::kNone || incoming[at].incomplete) {
    return std::unexpected(SendError::unknown);
  }
  const std::uint32_t slot = incoming[at].stream_slot;
  Stream& stream = streams[slot];
  VALKYRIE_ASSERT(stream.kind == StreamKind::publish);
  if (incoming[at].abandoned) {
    incoming.erase(stream.abandoned, at);
    release_stream(slot);
    return std::unexpected(SendError::unknown);
  }
  if (stream.over || stream.discarding) return std::unexpected(SendError::closed);
  if (metadata.size() > kMetadataBytes) return std::unexpected(SendError::too_large);
  incoming.erase(stream.incoming, at);
  if (stream.local_ended) return std::unexpected(SendError::closed);
  answer_published(slot, correlation, level, metadata);
  return {};
}

std::expected<Sent, SendError> SessionCore::send_event(std::uint32_t id, std::uint32_t sequence,
                                                       const Outgoing& event) {
  const auto stream = sendable(id, StreamKind::subscribe, /*opener=*/false, event);
  if (!stream) return std::unexpected(stream.error());
  VALKYRIE_ASSERT(!(*stream)->local);
  const FrameHeader header{.type = FrameType::event, .qos = event.qos, .correlation = sequence};
  return send_message(streams.find(id), header, event);
}

void SessionCore::answer_published(std::uint32_t slot, std::uint32_t correlation,
                                   std::uint8_t level, Body metadata) {
  std::array<std::byte, PublishedBody::kBytes> body;
  PublishedBody{level}.encode(body);
  push_control(FrameType::published, streams[slot].id, correlation, metadata, body);
  if (state == State::open && streams[slot].remote_ended) end_if_answered(slot);
}

// Turns down a PUBLISH or an EVENT that is arriving. One that nobody waits for can only be told of
// by the end of its stream.
void SessionCore::refuse_published(const FrameHeader& header, std::uint32_t slot, StatusCode code,
                                   std::string_view text) {
  Stream& stream = streams[slot];
  ++stats_.refused_messages;
  if (!asks(header)) {
    reset(stream.id, reset_code(code), text);
    return;
  }
  const std::uint32_t at = incoming.find(stream.id, header.correlation);
  if (at != FlatIndex::kNone) incoming.erase(stream.incoming, at);
  std::array<std::byte, kEntryHeaderBytes + kStatusBytesMax> buffer;
  MetadataWriter writer(buffer);
  writer.status({.code = code, .outcome = Outcome::not_executed, .text = text});
  answer_published(slot, header.correlation, 0, *writer.finish());
}

bool SessionCore::on_published(const FrameHeader& header, Body body, std::uint32_t slot) {
  Stream& stream = streams[slot];
  if (header.correlation > stream.correlation_sent) {
    return fail(CloseCode::protocol_violation, "published, but never sent");
  }
  if (stream.discarding) return false;
  const std::uint32_t at = outgoing.find(stream.id, header.correlation);
  if (at == FlatIndex::kNone) {
    ++stats_.late_answers;
    return false;
  }
  Event& event = begin_event(EventType::published, stream);
  event.correlation = header.correlation;
  event.cookie = outgoing[at].cookie;
  event.metadata = control_metadata(header, body);
  event.level =
      PublishedBody::decode(body.subspan(header.metadata_bytes).first<PublishedBody::kBytes>())
          .level;
  outgoing.erase(stream.outgoing, at);
  return true;
}

}  // namespace valkyrie::protocol
