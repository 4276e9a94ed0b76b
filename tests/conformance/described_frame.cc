#include "tests/conformance/described_frame.h"

#include <algorithm>

#include "protocol/frame_body.h"
#include "protocol/hello.h"
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

boost::json::object describe_options(const HelloOptions& options) {
  return {{"frame_body_bytes", options.frame_body_bytes},
          {"streams", options.streams},
          {"keepalive_interval_ms", options.keepalive_interval_ms},
          {"qos_ceiling", to_string(options.qos_ceiling)},
          {"agent", options.agent}};
}

}  // namespace

boost::json::object describe_metadata(const MetadataView& metadata) {
  boost::json::object fields;
  const Status status = metadata.status().value_or(Status{});
  fields["status"] = to_string(status.code);
  fields["outcome"] = to_string(status.outcome);
  if (const auto service = metadata.service()) fields["service"] = *service;
  if (const auto method = metadata.method()) fields["method"] = *method;
  if (const auto subject = metadata.subject()) fields["subject"] = *subject;
  if (const auto deadline = metadata.deadline()) fields["deadline_ns"] = deadline->count();
  boost::json::array pairs;
  metadata.for_each_pair([&pairs](std::string_view name, std::string_view value) {
    boost::json::value shown(value);
    if (name.ends_with("-bin")) {
      shown = boost::json::object{{"hex", hex_of(std::as_bytes(std::span(value)))}};
    }
    pairs.push_back(boost::json::array{name, shown});
  });
  if (!pairs.empty()) fields["pairs"] = pairs;
  return fields;
}

boost::json::object describe_body(FrameType type, std::span<const std::byte> payload) {
  switch (type) {
    case FrameType::hello:
      if (const auto hello = decode_hello(payload)) {
        boost::json::object fields = describe_options(hello->options);
        fields["version_min"] = hello->version_min;
        fields["version_max"] = hello->version_max;
        return fields;
      }
      return {};
    case FrameType::hello_ack:
      if (const auto ack = decode_hello_ack(payload)) {
        boost::json::object fields = describe_options(ack->options);
        fields["version"] = ack->version;
        return fields;
      }
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
  add(fields, describe_metadata(view.value_or(MetadataView{})));
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
