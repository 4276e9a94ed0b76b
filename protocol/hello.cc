#include "protocol/hello.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "protocol/big_endian.h"
#include "protocol/properties.h"

namespace valkyrie::protocol {
namespace {

constexpr std::size_t kOptionHeaderBytes = 4;
constexpr std::size_t kHelloFixedBytes = 2;
constexpr std::size_t kHelloAckFixedBytes = 1;
constexpr std::array kGreaseValue{std::byte{0x76}, std::byte{0x6B}};

// A u32 option: where it lives and between what bounds.
struct LimitOption {
  HelloOption id;
  std::uint32_t HelloOptions::* field;
  std::uint32_t least;
  std::uint32_t most;
};

constexpr std::uint32_t milliseconds(Duration duration) {
  return static_cast<std::uint32_t>(duration / std::chrono::milliseconds(1));
}

constexpr std::array<LimitOption, 8> kLimitOptions = {{
    {HelloOption::frame_body_bytes, &HelloOptions::frame_body_bytes, kFrameBodyBytesMin,
     kFrameBodyBytesMax},
    {HelloOption::call_message_bytes, &HelloOptions::call_message_bytes, kCallMessageBytesMin,
     kCallMessageBytesMax},
    {HelloOption::stream_message_bytes, &HelloOptions::stream_message_bytes, kStreamMessageBytesMin,
     kStreamMessageBytesMax},
    {HelloOption::streams, &HelloOptions::streams, kPeerStreamsMin, kPeerStreamsMax},
    {HelloOption::requests_in_flight, &HelloOptions::requests_in_flight, kRequestsInFlightMin,
     kRequestsInFlightMax},
    {HelloOption::stream_credit_bytes, &HelloOptions::stream_credit_bytes, kStreamCreditBytesMin,
     kStreamCreditBytesMax},
    {HelloOption::connection_credit_bytes, &HelloOptions::connection_credit_bytes,
     kConnectionCreditBytesMin, kConnectionCreditBytesMax},
    {HelloOption::keepalive_interval_ms, &HelloOptions::keepalive_interval_ms,
     milliseconds(kKeepaliveIntervalMin), milliseconds(kKeepaliveIntervalMax)},
}};

std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Appends options to a buffer; overflow sticks.
class OptionWriter {
 public:
  OptionWriter(std::span<std::byte> out, std::size_t used)
      : out_(out.first(std::min<std::size_t>(out.size(), kHelloBytes))), size_(used) {}

  void put(HelloOption id, std::span<const std::byte> value) {
    if (overflow_ || kOptionHeaderBytes + value.size() > out_.size() - size_) {
      overflow_ = true;
      return;
    }
    std::byte* at = out_.data() + size_;
    store_big_endian(at, static_cast<std::uint16_t>(id));
    store_big_endian(at + 2, static_cast<std::uint16_t>(value.size()));
    if (!value.empty()) std::memcpy(at + kOptionHeaderBytes, value.data(), value.size());
    size_ += kOptionHeaderBytes + value.size();
  }

  void put_if_any(HelloOption id, std::span<const std::byte> value) {
    if (!value.empty()) put(id, value);
  }

  template <std::unsigned_integral T>
  void put_number(HelloOption id, T value) {
    std::array<std::byte, sizeof(T)> bytes;
    store_big_endian(bytes.data(), value);
    put(id, bytes);
  }

  void put_all(const HelloOptions& options, Grease grease) {
    const HelloOptions defaults;
    if (options.features != 0) put_number(HelloOption::features, options.features);
    for (const LimitOption& limit : kLimitOptions) {
      const std::uint32_t value = options.*limit.field;
      if (value != defaults.*limit.field) put_number(limit.id, value);
    }
    if (options.qos_ceiling != defaults.qos_ceiling) {
      put_number(HelloOption::qos_ceiling, static_cast<std::uint8_t>(options.qos_ceiling));
    }
    put_if_any(HelloOption::agent, as_bytes(options.agent));
    put_if_any(HelloOption::token, options.token);
    put_if_any(HelloOption::node_id, as_bytes(options.node_id));
    put_if_any(HelloOption::session_id, options.session_id);
    if (grease == Grease::yes) put(HelloOption::grease, kGreaseValue);
  }

  [[nodiscard]] std::optional<std::size_t> size() const {
    if (overflow_) return std::nullopt;
    return size_;
  }

 private:
  std::span<std::byte> out_;
  std::size_t size_;
  bool overflow_ = false;
};

bool is_printable(std::span<const std::byte> value) {
  return std::ranges::all_of(
      value, [](std::byte b) { return b >= std::byte{0x20} && b <= std::byte{0x7E}; });
}

std::string_view as_text(std::span<const std::byte> value) {
  return {reinterpret_cast<const char*>(value.data()), value.size()};
}

// Reads the value of one known option, whose length is legal. False if the value is not.
bool read_option(HelloOption id, std::span<const std::byte> value, HelloOptions& options) {
  for (const LimitOption& limit : kLimitOptions) {
    if (limit.id != id) continue;
    const auto stated = load_big_endian<std::uint32_t>(value.data());
    if (stated < limit.least) return false;
    options.*limit.field = std::min(stated, limit.most);
    return true;
  }
  switch (id) {
    case HelloOption::features:
      options.features = load_big_endian<std::uint64_t>(value.data());
      return true;
    case HelloOption::qos_ceiling:
      options.qos_ceiling = static_cast<QosClass>(value[0]);
      return options.qos_ceiling <= QosClass::telemetry;
    case HelloOption::agent:
      options.agent = as_text(value);
      return is_printable(value);
    case HelloOption::token:
      options.token = value;
      return true;
    case HelloOption::node_id:
      options.node_id = as_text(value);
      return is_printable(value);
    case HelloOption::session_id:
      options.session_id = value;
      return true;
    default:
      return true;  // resume_token belongs to a feature this version never offers; grease.
  }
}

HelloError fail(HelloFault fault, std::uint16_t option = 0) { return {fault, option}; }

const HelloOptionProperties* find_properties(std::uint16_t id) {
  for (const HelloOptionProperties& option : kHelloOptionProperties) {
    if (option.id == static_cast<HelloOption>(id)) return &option;
  }
  return nullptr;
}

std::optional<HelloError> read_options(std::span<const std::byte> bytes, bool is_ack,
                                       HelloOptions& options) {
  std::uint32_t least_id = 0;
  while (!bytes.empty()) {
    if (bytes.size() < kOptionHeaderBytes) return fail(HelloFault::truncated);
    const auto id = load_big_endian<std::uint16_t>(bytes.data());
    const std::size_t size = load_big_endian<std::uint16_t>(bytes.data() + 2);
    if (size > bytes.size() - kOptionHeaderBytes) return fail(HelloFault::truncated, id);
    if (id < least_id) return fail(HelloFault::option_order, id);
    least_id = std::uint32_t{id} + 1;
    const auto value = bytes.subspan(kOptionHeaderBytes, size);
    bytes = bytes.subspan(kOptionHeaderBytes + size);
    const HelloOptionProperties* rules = find_properties(id);
    if (rules == nullptr) {
      if (id >= kRequiredOptionFirst) return fail(HelloFault::unknown_required, id);
      continue;
    }
    if (!(is_ack ? rules->in_hello_ack : rules->in_hello)) {
      return fail(HelloFault::wrong_frame, id);
    }
    if (size < rules->value_min || size > rules->value_max) {
      return fail(HelloFault::value_length, id);
    }
    if (!read_option(rules->id, value, options)) return fail(HelloFault::value, id);
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(HelloFault fault) {
  switch (fault) {
    case HelloFault::truncated:
      return "truncated";
    case HelloFault::bad_version:
      return "bad_version";
    case HelloFault::no_common_version:
      return "no_common_version";
    case HelloFault::option_order:
      return "option_order";
    case HelloFault::unknown_required:
      return "unknown_required";
    case HelloFault::wrong_frame:
      return "wrong_frame";
    case HelloFault::value_length:
      return "value_length";
    case HelloFault::value:
      return "value";
  }
  return "unknown";
}

CloseCode HelloError::close_code() const {
  switch (fault) {
    case HelloFault::no_common_version:
      return CloseCode::version;
    case HelloFault::unknown_required:
      return CloseCode::feature;
    default:
      return CloseCode::protocol_violation;
  }
}

std::optional<std::size_t> encode_hello(const Hello& hello, Grease grease,
                                        std::span<std::byte> out) {
  if (out.size() < kHelloFixedBytes) return std::nullopt;
  out[0] = std::byte{hello.version_min};
  out[1] = std::byte{hello.version_max};
  OptionWriter writer(out, kHelloFixedBytes);
  writer.put_all(hello.options, grease);
  return writer.size();
}

std::optional<std::size_t> encode_hello_ack(const HelloAck& ack, Grease grease,
                                            std::span<std::byte> out) {
  if (out.size() < kHelloAckFixedBytes) return std::nullopt;
  out[0] = std::byte{ack.version};
  OptionWriter writer(out, kHelloAckFixedBytes);
  writer.put_all(ack.options, grease);
  return writer.size();
}

std::expected<Hello, HelloError> decode_hello(std::span<const std::byte> body) {
  if (body.size() < kHelloFixedBytes) return std::unexpected(fail(HelloFault::truncated));
  Hello hello{std::to_integer<std::uint8_t>(body[0]), std::to_integer<std::uint8_t>(body[1]), {}};
  if (hello.version_min > hello.version_max) {
    return std::unexpected(fail(HelloFault::bad_version));
  }
  if (hello.version_min > kProtocolVersion || hello.version_max < kProtocolVersion) {
    return std::unexpected(fail(HelloFault::no_common_version));
  }
  if (const auto error =
          read_options(body.subspan(kHelloFixedBytes), /*is_ack=*/false, hello.options)) {
    return std::unexpected(*error);
  }
  return hello;
}

std::expected<HelloAck, HelloError> decode_hello_ack(std::span<const std::byte> body) {
  if (body.size() < kHelloAckFixedBytes) return std::unexpected(fail(HelloFault::truncated));
  HelloAck ack{std::to_integer<std::uint8_t>(body[0]), {}};
  if (ack.version != kProtocolVersion) return std::unexpected(fail(HelloFault::bad_version));
  if (const auto error =
          read_options(body.subspan(kHelloAckFixedBytes), /*is_ack=*/true, ack.options)) {
    return std::unexpected(*error);
  }
  return ack;
}

}  // namespace valkyrie::protocol
