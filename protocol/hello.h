// Bodies of HELLO and HELLO_ACK. Spec: docs/spec/session.md, "Hello". No state, no allocation;
// callable from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/constants.h"

namespace valkyrie::protocol {

// Options of either frame. Absent ones hold the default of the spec. Text and bytes are borrowed:
// from the caller when encoding, from the received body after decoding.
struct HelloOptions {
  // Bit 1 << Feature for each feature the sender can speak.
  std::uint64_t features = 0;
  // What the sender of these options accepts.
  std::uint32_t frame_body_bytes = kFrameBodyBytesDefault;
  std::uint32_t call_message_bytes = kCallMessageBytesDefault;
  std::uint32_t stream_message_bytes = kStreamMessageBytesDefault;
  std::uint32_t streams = kPeerStreamsDefault;
  std::uint32_t requests_in_flight = kRequestsInFlightDefault;
  std::uint32_t stream_credit_bytes = kStreamCreditBytesDefault;
  std::uint32_t connection_credit_bytes = kConnectionCreditBytesDefault;
  // HELLO_ACK only.
  std::uint32_t keepalive_interval_ms =
      static_cast<std::uint32_t>(kKeepaliveIntervalDefault / std::chrono::milliseconds(1));
  // HELLO_ACK only.
  QosClass qos_ceiling = kQosCeilingDefault;
  // `name/version`, printable ASCII; empty if absent.
  std::string_view agent{};
  // HELLO only; empty if absent.
  std::span<const std::byte> token{};
  // Printable ASCII; empty unless the sender is a node.
  std::string_view node_id{};
  // HELLO_ACK only: 16 bytes, or empty if absent.
  std::span<const std::byte> session_id{};
};

// HELLO: what the dialer offers.
struct Hello {
  std::uint8_t version_min = kProtocolVersion;
  std::uint8_t version_max = kProtocolVersion;
  HelloOptions options{};
};

// HELLO_ACK: what the acceptor chose.
struct HelloAck {
  std::uint8_t version = kProtocolVersion;
  HelloOptions options{};
};

// What is wrong with a hello.
enum class HelloFault : std::uint8_t {
  // Shorter than its fixed part, or an option runs past the end.
  truncated,
  // HELLO: min > max. HELLO_ACK: a version that was not offered.
  bad_version,
  // HELLO: versions of both sides do not meet.
  no_common_version,
  // Option ids fall or repeat.
  option_order,
  // A required option (0x8000 and up) that this version does not know.
  unknown_required,
  // The option has no place in this frame.
  wrong_frame,
  value_length,
  // A limit below its least value, a class without a name, text that is not printable ASCII.
  value,
};

// The one word for a fault in GOAWAY texts and logs.
[[nodiscard]] std::string_view to_string(HelloFault fault);

// A fault and the option it is about; 0 where it is about none.
struct HelloError {
  HelloFault fault = HelloFault::truncated;
  std::uint16_t option = 0;

  // Code of the GOAWAY: version, feature, else protocol_violation.
  [[nodiscard]] CloseCode close_code() const;
  friend bool operator==(const HelloError&, const HelloError&) = default;
};

// Whether to add the option 0x7A7A, which every peer must ignore.
enum class Grease : bool { no, yes };

// Write the body into `out` and return its bytes. Options that hold their default are left out.
// nullopt if `out` is too short or the body would pass 16 KiB. REQUIRES: values decode() accepts.
[[nodiscard]] std::optional<std::size_t> encode_hello(const Hello& hello, Grease grease,
                                                      std::span<std::byte> out);
[[nodiscard]] std::optional<std::size_t> encode_hello_ack(const HelloAck& ack, Grease grease,
                                                          std::span<std::byte> out);

// Read a body. Limits above what this version can use come back as its most; unknown options below
// 0x8000 are skipped.
[[nodiscard]] std::expected<Hello, HelloError> decode_hello(std::span<const std::byte> body);
[[nodiscard]] std::expected<HelloAck, HelloError> decode_hello_ack(std::span<const std::byte> body);

}  // namespace valkyrie::protocol
