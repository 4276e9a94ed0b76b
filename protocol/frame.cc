#include "protocol/frame.h"

namespace valkyrie::protocol {
namespace {

// Over the receiver's limit, or over the limit of a type whose length is free within bounds.
bool body_too_long(const FrameHeader& header, const FrameProperties& type,
                   std::uint32_t body_bytes_max) {
  if (header.body_bytes > body_bytes_max) return true;
  const bool free_length = type.payload_min != type.payload_max;
  return type.known && free_length && type.metadata_max == 0 &&
         header.body_bytes > type.payload_max;
}

bool lengths_disagree(const FrameHeader& header, const FrameProperties& type) {
  if (header.metadata_bytes > type.metadata_max) return true;
  if (header.metadata_bytes > header.body_bytes) return true;
  const std::uint32_t payload = header.payload_bytes();
  if (payload < type.payload_min || payload > type.payload_max) return true;
  return header.more() && payload == 0;
}

}  // namespace

std::string_view to_string(HeaderCheck check) {
  switch (check) {
    case HeaderCheck::none:
      return "none";
    case HeaderCheck::magic:
      return "magic";
    case HeaderCheck::version:
      return "version";
    case HeaderCheck::type:
      return "type";
    case HeaderCheck::flags:
      return "flags";
    case HeaderCheck::body_length:
      return "body_length";
    case HeaderCheck::metadata_length:
      return "metadata_length";
    case HeaderCheck::qos:
      return "qos";
    case HeaderCheck::stream_id:
      return "stream_id";
    case HeaderCheck::correlation_id:
      return "correlation_id";
  }
  return "unknown";
}

[[gnu::cold]] HeaderCheck first_failed_check(std::span<const std::byte, kHeaderBytes> bytes,
                                             std::uint32_t body_bytes_max) {
  const FrameHeader header = read_header(bytes);
  const FrameProperties& type = properties(header.type);
  if (load_big_endian<std::uint16_t>(bytes.data()) != kMagic) return HeaderCheck::magic;
  if (bytes[2] != std::byte{kProtocolVersion}) return HeaderCheck::version;
  if (type.ignorable) {
    return header.body_bytes > body_bytes_max ? HeaderCheck::body_length : HeaderCheck::none;
  }
  if (!type.known) return HeaderCheck::type;
  if ((header.flags & type.flags_illegal) != 0) return HeaderCheck::flags;
  if (body_too_long(header, type, body_bytes_max)) return HeaderCheck::body_length;
  if (lengths_disagree(header, type)) return HeaderCheck::metadata_length;
  if (header.qos > type.qos_max) return HeaderCheck::qos;
  if (header.stream == 0 ? !type.stream_zero : !type.stream_nonzero) return HeaderCheck::stream_id;
  if (header.correlation == 0 ? !type.correlation_zero : !type.correlation_nonzero) {
    return HeaderCheck::correlation_id;
  }
  return HeaderCheck::none;
}

CloseCode close_code(HeaderCheck check) {
  if (check == HeaderCheck::version) return CloseCode::version;
  if (check == HeaderCheck::body_length) return CloseCode::too_large;
  return CloseCode::bad_frame;
}

}  // namespace valkyrie::protocol
