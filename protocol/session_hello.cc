// HELLO, HELLO_ACK, AUTH and AUTH_OK: docs/spec/session.md, "Hello".
#include <algorithm>
#include <array>
#include <chrono>

#include "protocol/assert.h"
#include "protocol/hello.h"
#include "protocol/properties.h"
#include "protocol/session_core.h"

namespace valkyrie::protocol {

namespace {

HelloOptions options_of(const SessionConfig& config) {
  const SessionLimits& limits = config.limits;
  return {.frame_body_bytes = limits.frame_body_bytes_max,
          .call_message_bytes = limits.call_message_bytes_max,
          .stream_message_bytes = limits.stream_message_bytes_max,
          .streams = limits.peer_streams_max,
          .requests_in_flight = limits.requests_in_flight_max,
          .stream_credit_bytes = limits.stream_credit_bytes,
          .connection_credit_bytes = limits.connection_credit_bytes,
          .agent = config.agent,
          .node_id = config.node_id};
}

}  // namespace

SessionCore::SessionCore(Role its_role, SharedSessionConfig its_config, BufferPool& pool,
                         Instant now)
    : role(its_role),
      shared_config(std::move(its_config)),
      config(*shared_config),
      output(pool, config.shares),
      now_(now),
      control_budget_(config.limits.control_frames_burst, config.limits.control_frames_per_second,
                      now),
      reset_budget_(config.limits.peer_resets_burst, config.limits.peer_resets_per_second, now),
      connection_granted_(config.limits.connection_credit_bytes),
      connection_flow_{.window = config.limits.connection_credit_bytes},
      next_local_id_(role == Role::dialer ? 1 : 2),
      remote_id_max_(std::uint64_t{config.limits.peer_streams_max} * 2 -
                     (role == Role::acceptor && config.limits.peer_streams_max > 0 ? 1 : 0)),
      started_at_(now),
      received_at_(now),
      ping_at_(now) {
  if (role == Role::dialer) send_hello();
}

void SessionCore::send_hello() {
  Hello hello{.options = options_of(config)};
  hello.options.token = std::as_bytes(std::span(config.token));
  credentials_shown_ = config.token.empty() ? 0 : 1;
  std::array<std::byte, kHelloBytes> body;  // Not initialised: it is mostly room for a token.
  const auto size = encode_hello(hello, config.grease ? Grease::yes : Grease::no, body);
  VALKYRIE_ASSERT(size.has_value());
  push_control(FrameType::hello, 0, 0, {}, Body(body).first(*size));
}

bool SessionCore::on_hello(const FrameHeader&, Body body) {
  const auto hello = decode_hello(body);
  if (!hello) return fail(hello.error().close_code(), to_string(hello.error().fault));
  take_options(hello->options);
  peer.token.assign(reinterpret_cast<const char*>(hello->options.token.data()),
                    hello->options.token.size());
  peer.keepalive_interval = config.limits.keepalive_interval;
  HelloAck ack{.options = options_of(config)};
  ack.options.keepalive_interval_ms = static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(config.limits.keepalive_interval)
          .count());
  ack.options.qos_ceiling = config.qos_ceiling;
  std::array<std::byte, kHelloBytes> reply;  // Not initialised, as above.
  const auto size = encode_hello_ack(ack, config.grease ? Grease::yes : Grease::no, reply);
  VALKYRIE_ASSERT(size.has_value());
  push_control(FrameType::hello_ack, 0, 0, {}, Body(reply).first(*size));
  return become_ready();
}

bool SessionCore::on_hello_ack(const FrameHeader&, Body body) {
  const auto ack = decode_hello_ack(body);
  if (!ack) return fail(ack.error().close_code(), to_string(ack.error().fault));
  if (ack->version != kProtocolVersion) return fail(CloseCode::version, "version not offered");
  take_options(ack->options);
  peer.qos_ceiling = ack->options.qos_ceiling;
  peer.keepalive_interval = std::chrono::milliseconds(ack->options.keepalive_interval_ms);
  return become_ready();
}

std::expected<void, SendError> SessionCore::send_auth(std::span<const std::byte> credential) {
  VALKYRIE_ASSERT(role == Role::dialer);
  if (state == State::hello) return std::unexpected(SendError::not_ready);
  if (state == State::closed) return std::unexpected(SendError::closed);
  if (credential.empty() || credential.size() > properties(FrameType::auth).payload_max) {
    return std::unexpected(SendError::too_large);
  }
  ++credentials_shown_;
  push_control(FrameType::auth, 0, 0, {}, credential);
  return {};
}

void SessionCore::send_auth_ok(std::uint32_t seconds_left) {
  VALKYRIE_ASSERT(role == Role::acceptor);
  if (state != State::open) return;
  std::array<std::byte, AuthOkBody::kBytes> body;
  AuthOkBody{seconds_left}.encode(body);
  push_control(FrameType::auth_ok, 0, 0, {}, body);
}

bool SessionCore::on_auth(Body body) {
  peer.token.assign(reinterpret_cast<const char*>(body.data()), body.size());
  event_ = {};
  event_.type = EventType::auth;
  event_.payload = body;
  return true;
}

// One for each credential shown is expected, that of HELLO included.
bool SessionCore::on_auth_ok(Body body) {
  if (credentials_shown_ == 0) return fail(CloseCode::protocol_violation, "auth_ok to no auth");
  --credentials_shown_;
  event_ = {};
  event_.type = EventType::auth_ok;
  event_.seconds_left = AuthOkBody::decode(body.first<AuthOkBody::kBytes>()).seconds_left;
  return true;
}

void SessionCore::take_options(const HelloOptions& options) {
  peer.frame_body_bytes_max = options.frame_body_bytes;
  peer.call_message_bytes_max = options.call_message_bytes;
  peer.stream_message_bytes_max = options.stream_message_bytes;
  peer.requests_in_flight_max = options.requests_in_flight;
  peer.agent = options.agent;
  peer.node_id = options.node_id;
  peer_stream_credit_ = options.stream_credit_bytes;
  // Its frame limit, and never more than it grants at least of its connection window.
  body_max_ =
      std::min(options.frame_body_bytes,
               static_cast<std::uint32_t>(options.connection_credit_bytes / 4 * 3 - kHeaderBytes));
  connection_send_granted_ = peer_connection_credit_ = options.connection_credit_bytes;
  output.add_connection_credit(options.connection_credit_bytes);
  local_id_max_ = options.streams * 2 - (role == Role::dialer && options.streams > 0 ? 1 : 0);
}

bool SessionCore::become_ready() {
  state = State::open;
  if (config.grease) {
    // Keeps peers honest about types they do not know: docs/spec/extension.md.
    const FrameHeader grease{.type = static_cast<FrameType>(kGreaseType)};
    output.push(OutputQueue::kControlLane, grease, {}, {});
  }
  event_ = {};
  event_.type = EventType::ready;
  return true;
}

}  // namespace valkyrie::protocol
