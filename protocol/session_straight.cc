// The straight path of what nearly all frames are: a whole REQUEST or RESPONSE that nothing is
// wrong with. It asks everything at once and changes nothing unless all is well; whatever it turns
// away goes step by step, through session_receive.cc and session_messages.cc, and is judged there.
#include "protocol/session_core.h"

namespace valkyrie::protocol {

namespace {

// The first four bytes of a REQUEST. Those of a RESPONSE differ in the last bit.
constexpr std::uint32_t kRequestPrefix = std::uint32_t{kMagic} << 16 |
                                         std::uint32_t{kProtocolVersion} << 8 |
                                         static_cast<std::uint32_t>(FrameType::request);
static_assert((static_cast<unsigned>(FrameType::request) ^ 1u) ==
              static_cast<unsigned>(FrameType::response));

}  // namespace

// Whether a frame is legal on its stream, and within every limit that is not of bytes.
bool SessionCore::is_usual(const FrameHeader& header, const Stream& stream,
                           bool is_response) const {
  if (stream.kind != StreamKind::call || stream.local != is_response || stream.remote_ended ||
      stream.receiving || stream.discarding || stream.over || header.correlation == 0 ||
      header.qos > properties(FrameType::request).qos_max) {
    return false;
  }
  if (is_response) return true;
  return header.correlation > stream.correlation_taken &&
         incoming.size() < config.limits.requests_in_flight_max &&
         (role == Role::dialer || qos_class(header.qos) >= config.qos_ceiling);
}

// Whether credit and the limits of bytes allow a message.
bool SessionCore::affords(const FrameHeader& header, const Stream& stream) const {
  const std::uint64_t cost = header.credit_bytes();
  return stream.received + cost <= stream.granted && held + cost <= config.limits.held_bytes_max &&
         header.body_bytes - header.metadata_bytes <= config.limits.call_message_bytes_max &&
         (qos_class(header.qos) == QosClass::critical ||
          connection_received_ + cost <= connection_granted_);
}

// Takes the frame at the front of the input and makes it event_; false says nothing about it.
bool SessionCore::take_usual_call() {
  if (state != State::open || input_.size() < kHeaderBytes) return false;
  const std::byte* const at = input_.data();
  const std::uint32_t prefix = load_big_endian<std::uint32_t>(at);
  const bool is_response = prefix == (kRequestPrefix ^ 1u);
  if ((prefix != kRequestPrefix && !is_response) || at[4] != std::byte{0}) return false;
  const FrameHeader header =
      read_header(std::span<const std::byte, kHeaderBytes>(at, kHeaderBytes));
  const std::uint64_t cost = header.credit_bytes();
  const bool whole = header.body_bytes <= config.limits.frame_body_bytes_max &&
                     header.metadata_bytes <= header.body_bytes && input_.size() >= cost;
  if (!whole || header.stream == 0) return false;
  const std::uint32_t slot = streams.find(header.stream);
  if (slot == FlatIndex::kNone) return false;
  Stream& stream = streams[slot];
  if (!is_usual(header, stream, is_response) || !affords(header, stream)) return false;
  std::uint32_t request = FlatIndex::kNone;
  if (is_response) {
    request = outgoing.find(stream.id, header.correlation);
    if (request == FlatIndex::kNone) return false;
  }
  MetadataView metadata;
  if (header.metadata_bytes != 0) {
    const auto parsed = parse_metadata(input_.subspan(kHeaderBytes, header.metadata_bytes),
                                       header.type, config.reader);
    if (!parsed) return false;
    metadata = *parsed;
  }
  Event& event = begin_event(is_response ? EventType::response : EventType::request, stream);
  event.qos = header.qos;
  event.correlation = header.correlation;
  event.metadata = metadata;
  event.payload = input_.subspan(kHeaderBytes + header.metadata_bytes,
                                 header.body_bytes - header.metadata_bytes);
  event.cost = static_cast<std::uint32_t>(cost);
  input_ = input_.subspan(cost);
  if (is_response) {
    event.cookie = outgoing[request].cookie;
    outgoing.erase(stream.outgoing, request);
  } else {
    stream.correlation_taken = header.correlation;
    request = incoming.insert(stream.incoming, stream.id, header.correlation);
    incoming[request].stream_slot = slot;
    incoming[request].qos = header.qos;
  }
  ++stats_.frames_received;
  control_budget_.earn(1);
  held += cost;
  stream.received += cost;
  spend_connection_credit(header);
  return true;
}

}  // namespace valkyrie::protocol
