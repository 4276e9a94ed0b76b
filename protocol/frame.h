// The 20-byte frame header: layout, encoding and every check that needs the header alone.
// Spec: docs/spec/framing.md. No I/O, no state, no allocation; callable from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "protocol/big_endian.h"
#include "protocol/constants.h"
#include "protocol/properties.h"

namespace valkyrie::protocol {

// A frame header without magic and version. `type` may hold an ignorable number without a name.
struct FrameHeader {
  FrameType type = FrameType::ping;
  std::uint8_t flags = 0;
  std::uint8_t qos = 0;
  std::uint16_t metadata_bytes = 0;
  std::uint32_t stream = 0;
  // Metadata and payload together.
  std::uint32_t body_bytes = 0;
  std::uint32_t correlation = 0;

  // Bytes of the body after the metadata. REQUIRES: a header that decode_header() returned.
  [[nodiscard]] constexpr std::uint32_t payload_bytes() const {
    return body_bytes - metadata_bytes;
  }
  // Whether the message continues in the next frame of the stream.
  [[nodiscard]] constexpr bool more() const { return (flags & kFlagMore) != 0; }
  // What the frame takes from the credit of its stream or connection, where its type takes any.
  [[nodiscard]] constexpr std::uint64_t credit_bytes() const {
    return std::uint64_t{kHeaderBytes} + body_bytes;
  }

  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

// Static properties of a type byte; for unknown types `known` is false.
[[nodiscard]] constexpr const FrameProperties& properties(FrameType type) {
  return kFrameProperties[static_cast<std::uint8_t>(type)];
}

// The qos byte of a class and an urgency (0 first, 31 last). REQUIRES: urgency < 32
[[nodiscard]] constexpr std::uint8_t qos_byte(QosClass qos_class,
                                              std::uint8_t urgency = kUrgencyDefault) {
  return static_cast<std::uint8_t>(static_cast<unsigned>(qos_class) << 5u | (urgency & 31u));
}

// Class of a qos byte. A byte that decode_header() let pass holds a class with a name.
[[nodiscard]] constexpr QosClass qos_class(std::uint8_t qos) {
  return static_cast<QosClass>(qos >> 5u);
}

// Urgency of a qos byte, 0 first, 31 last.
[[nodiscard]] constexpr std::uint8_t qos_urgency(std::uint8_t qos) { return qos & 31u; }

// The checks of a header, in the order in which every implementation makes them.
enum class HeaderCheck : std::uint8_t {
  // All passed.
  none,
  magic,
  version,
  type,
  flags,
  body_length,
  // Metadata where the type has none or longer than the body, and what it leaves for the payload:
  // a fixed payload of another length, MORE without payload.
  metadata_length,
  qos,
  stream_id,
  correlation_id,
};

// The one word for a check in GOAWAY texts and logs.
[[nodiscard]] std::string_view to_string(HeaderCheck check);

// The first check that `bytes` fail, HeaderCheck::none when all pass: for messages and for the
// error path of decode_header().
[[nodiscard]] HeaderCheck first_failed_check(std::span<const std::byte, kHeaderBytes> bytes,
                                             std::uint32_t body_bytes_max);

// Code of the GOAWAY for a failed check. REQUIRES: check != HeaderCheck::none
[[nodiscard]] CloseCode close_code(HeaderCheck check);

// Writes a header. REQUIRES: a header that would decode; checked by nobody, as it costs time.
inline void encode_header(const FrameHeader& header, std::span<std::byte, kHeaderBytes> out) {
  std::byte* at = out.data();
  store_big_endian(at, static_cast<std::uint32_t>(std::uint32_t{kMagic} << 16u |
                                                  std::uint32_t{kProtocolVersion} << 8u |
                                                  static_cast<std::uint32_t>(header.type)));
  at[4] = std::byte{header.flags};
  at[5] = std::byte{header.qos};
  store_big_endian(at + 6, header.metadata_bytes);
  store_big_endian(at + 8, header.stream);
  store_big_endian(at + 12, header.body_bytes);
  store_big_endian(at + 16, header.correlation);
}

// Reads the fields without any check; magic and version are not looked at.
[[nodiscard]] inline FrameHeader read_header(std::span<const std::byte, kHeaderBytes> bytes) {
  const std::byte* at = bytes.data();
  return {.type = static_cast<FrameType>(at[3]),
          .flags = static_cast<std::uint8_t>(at[4]),
          .qos = static_cast<std::uint8_t>(at[5]),
          .metadata_bytes = load_big_endian<std::uint16_t>(at + 6),
          .stream = load_big_endian<std::uint32_t>(at + 8),
          .body_bytes = load_big_endian<std::uint32_t>(at + 12),
          .correlation = load_big_endian<std::uint32_t>(at + 16)};
}

// Reads a header and makes all checks that need nothing else: framing.md, "Order of checks". The
// code is that of the first failed check and ends the connection. A frame of an ignorable unknown
// type (properties(type).ignorable) passes with its other fields unchecked: skip its body.
[[nodiscard]] inline std::expected<FrameHeader, CloseCode> decode_header(
    std::span<const std::byte, kHeaderBytes> bytes, std::uint32_t body_bytes_max) {
  constexpr std::uint32_t kPrefix = std::uint32_t{kMagic} << 8u | kProtocolVersion;
  const FrameHeader header = read_header(bytes);
  const std::uint32_t prefix = load_big_endian<std::uint32_t>(bytes.data()) >> 8u;
  const FrameProperties& type = properties(header.type);
  const std::uint32_t payload = header.body_bytes - header.metadata_bytes;
  // One branch for a good frame: all checks at once, in no order. Only a bad one pays for order.
  const bool good =
      static_cast<int>(prefix == kPrefix) & static_cast<int>(type.known) &
      static_cast<int>((header.flags & type.flags_illegal) == 0) &
      static_cast<int>(header.body_bytes <= body_bytes_max) &
      static_cast<int>(header.metadata_bytes <= header.body_bytes) &
      static_cast<int>(header.metadata_bytes <= type.metadata_max) &
      static_cast<int>(payload - type.payload_min <= type.payload_max - type.payload_min) &
      static_cast<int>((payload | (header.flags ^ kFlagMore)) != 0) &
      static_cast<int>(header.qos <= type.qos_max) &
      static_cast<int>(header.stream == 0 ? type.stream_zero : type.stream_nonzero) &
      static_cast<int>(header.correlation == 0 ? type.correlation_zero : type.correlation_nonzero);
  if (!good) [[unlikely]] {
    const HeaderCheck check = first_failed_check(bytes, body_bytes_max);
    if (check != HeaderCheck::none) return std::unexpected(close_code(check));
  }
  return header;
}

}  // namespace valkyrie::protocol
