#include "tests/conformance/described_frame.h"

#include <algorithm>

#include "protocol/frame_body.h"
#include "protocol/hello.h"
#include "protocol/metadata.h"
#include "tests/conformance/vector_file.h"

namespace valkyrie::conformance {

using namespace valkyrie::protocol;

namespace {

// The fixed part at the front of a payload.
template <typename Body>
Body fixed(std::span<const std::byte> payload) {
  return Body::decode(payload.first<Body::kBytes>());
}

void add(boost::json::object& to, const boost::json::object& from) {
  for (const auto& [key, value] : from) to[key] = value;
}

}  // namespace

boost::json::object describe_body(FrameType type, std::span<const std::byte> payload) {
  switch (type) {
    case FrameType::hello:
      if (const auto hello = decode_hello(payload)) {
        return {{"version_min", hello->version_min}, {"version_max", hello->version_max}};
      }
      return {};
    case FrameType::hello_ack:
      if (const auto ack = decode_hello_ack(payload)) return {{"version", ack->version}};
      return {};
    case FrameType::ping:
    case FrameType::pong:
      return {{"value", hex_of(payload)}};
    case FrameType::goaway: {
      const auto body = fixed<GoawayBody>(payload);
      return {{"code", to_string(body.code)},
              {"last_stream", body.last_stream},
              {"drain_ms", body.drain_ms}};
    }
    case FrameType::auth_ok:
      return {{"seconds_left", fixed<AuthOkBody>(payload).seconds_left}};
    case FrameType::stream_open: {
      const auto body = fixed<StreamOpenBody>(payload);
      return {{"kind", to_string(body.kind)}, {"options", body.options}, {"legal", body.legal()}};
    }
    case FrameType::reset: {
      const auto body = fixed<ResetBody>(payload);
      return {{"code", to_string(body.code)}, {"last_correlation", body.last_correlation}};
    }
    case FrameType::credit:
      return {{"total", fixed<CreditBody>(payload).total_bytes}};
    case FrameType::stream_limit:
      return {{"highest_stream", fixed<StreamLimitBody>(payload).highest_stream}};
    case FrameType::published:
      return {{"level", fixed<PublishedBody>(payload).level}};
    default:
      return {};
  }
}

boost::json::object describe_frame(const FrameHeader& header, std::span<const std::byte> body) {
  if (properties(header.type).ignorable) return {{"type", "ignorable"}};
  const auto metadata = body.first(header.metadata_bytes);
  const auto payload = body.subspan(header.metadata_bytes);
  boost::json::object fields{{"type", to_string(header.type)},
                             {"stream", header.stream},
                             {"correlation", header.correlation},
                             {"qos", header.qos},
                             {"flags", header.flags},
                             {"payload", hex_of(payload)},
                             {"payload_bytes", payload.size()}};
  const auto view = parse_metadata(metadata, header.type, MetadataReader::relay);
  const Status status = view ? view->status().value_or(Status{}) : Status{};
  fields["status"] = to_string(status.code);
  fields["outcome"] = to_string(status.outcome);
  add(fields, describe_body(header.type, payload));
  return fields;
}

bool matches(const boost::json::object& want, const boost::json::object& actual) {
  // Through text, because parsed and computed numbers differ in signedness.
  return std::ranges::all_of(want, [&actual](const auto& member) {
    const auto* found = actual.if_contains(member.key());
    return found != nullptr &&
           boost::json::serialize(*found) == boost::json::serialize(member.value());
  });
}

}  // namespace valkyrie::conformance
