#include "protocol/session.h"

#include <utility>

#include "protocol/assert.h"
#include "protocol/session_core.h"

namespace valkyrie::protocol {

std::string_view to_string(SendError error) {
  switch (error) {
    case SendError::not_ready:
      return "not_ready";
    case SendError::draining:
      return "draining";
    case SendError::closed:
      return "closed";
    case SendError::stream_limit:
      return "stream_limit";
    case SendError::exhausted:
      return "exhausted";
    case SendError::too_large:
      return "too_large";
    case SendError::queue_full:
      return "queue_full";
    case SendError::in_flight_max:
      return "in_flight_max";
    case SendError::forbidden:
      return "forbidden";
    case SendError::unknown:
      return "unknown";
  }
  return "unknown";
}

Stream* SessionCore::find(std::uint32_t id) {
  const std::uint32_t slot = streams.find(id);
  if (slot == FlatIndex::kNone || streams[slot].over || streams[slot].discarding) return nullptr;
  return &streams[slot];
}

void SessionCore::written(std::size_t bytes, Instant now) {
  now_ = std::max(now_, now);
  // What the owner sent came without a time.
  if (std::exchange(critical_sent_, false)) {
    critical_until = now_ + kCriticalTime;
    if (state == State::open) return_connection_credit();
  }
  // What goes beside critical frames depends on how long the path is.
  if (now_ < critical_until && output.bytes() >= kCriticalUnreadBytes) probe_round_trip();
  stats_.bytes_sent += bytes;
  if (config.meter != nullptr) config.meter->written(output, now);
  output.written(bytes);
  const std::uint64_t credited = output.credited_frames_chosen();
  control_budget_.earn(credited - std::exchange(credited_seen_, credited));
  if (!output.has_unwritten()) {
    blocked_since_.reset();
  } else if (bytes > 0 || !blocked_since_) {
    blocked_since_ = now;
  }
  if (!blocked_.empty()) pump_blocked();
  date_stalls();
  close_if_drained();
}

Session::Session(Role role, SharedSessionConfig config, BufferPool& pool, Instant now)
    : core_(std::make_unique<SessionCore>(role, std::move(config), pool, now)) {}
Session::~Session() = default;

void Session::receive(std::span<const std::byte> bytes, Instant now,
                      const std::shared_ptr<const void>* owner) {
  core_->receive(bytes, now, owner);
}
void Session::receive_eof(Instant now) { core_->receive_eof(now); }
const Event* Session::poll_event() { return core_->poll_event(); }
std::shared_ptr<const void> Session::payload_owner() const { return core_->payload_owner(); }

std::expected<std::uint32_t, SendError> Session::open_stream(StreamKind kind, std::uint8_t options,
                                                             const Outgoing& open,
                                                             std::uint64_t user) {
  return core_->open_stream(kind, options, open, user);
}

void Session::set_user(std::uint32_t stream, std::uint64_t user) {
  if (Stream* found = core_->find(stream)) found->user = user;
}

bool Session::set_cookie(std::uint32_t stream, std::uint32_t correlation, std::uint64_t cookie) {
  const std::uint32_t slot = core_->incoming.find(stream, correlation);
  if (slot == FlatIndex::kNone) return false;
  core_->incoming[slot].cookie = cookie;
  return true;
}

std::expected<Sent, SendError> Session::send_request(std::uint32_t stream,
                                                     const Outgoing& request) {
  return core_->send_request(stream, request);
}
std::expected<Sent, SendError> Session::send_notify(std::uint32_t stream, const Outgoing& notify) {
  return core_->send_notify(stream, notify);
}
std::expected<Sent, SendError> Session::send_response(std::uint32_t stream,
                                                      std::uint32_t correlation,
                                                      const Outgoing& response) {
  return core_->send_response(stream, correlation, response);
}
std::expected<Sent, SendError> Session::send_publish(std::uint32_t stream, const Outgoing& message,
                                                     bool ack) {
  return core_->send_publish(stream, message, ack);
}
std::expected<void, SendError> Session::send_published(std::uint32_t stream,
                                                       std::uint32_t correlation,
                                                       std::uint8_t level,
                                                       std::span<const std::byte> metadata) {
  return core_->send_published(stream, correlation, level, metadata);
}
std::expected<Sent, SendError> Session::send_event(std::uint32_t stream, std::uint32_t sequence,
                                                   const Outgoing& event) {
  return core_->send_event(stream, sequence, event);
}
std::expected<Sent, SendError> Session::send_data(std::uint32_t stream, const Outgoing& data,
                                                  bool more) {
  return core_->send_data(stream, data, more);
}
std::expected<void, SendError> Session::send_end(std::uint32_t stream,
                                                 std::span<const std::byte> metadata) {
  return core_->send_end(stream, metadata);
}
void Session::reset(std::uint32_t stream, CloseCode code, std::string_view text) {
  core_->reset(stream, code, text);
}
void Session::cancel(std::uint32_t stream, std::uint32_t correlation) {
  core_->cancel(stream, correlation);
}
std::expected<void, SendError> Session::send_auth(std::span<const std::byte> credential) {
  return core_->send_auth(credential);
}
void Session::send_auth_ok(std::uint32_t seconds_left) { core_->send_auth_ok(seconds_left); }
void Session::ping(std::uint64_t token) { core_->ping(token); }
void Session::consume(std::uint32_t stream, std::uint32_t bytes) { core_->consume(stream, bytes); }
void Session::drain(Duration grace, Instant now) { core_->drain(grace, now); }
void Session::close(CloseCode code, std::string_view text) { core_->close(code, text); }

std::size_t Session::gather(std::span<std::span<const std::byte>> pieces, std::size_t budget) {
  core_->output.keep_connection_credit(core_->credit_to_keep());
  return core_->output.gather(pieces, budget);
}
void Session::written(std::size_t bytes, Instant now) { core_->written(bytes, now); }
bool Session::has_output() const {
  core_->output.keep_connection_credit(core_->credit_to_keep());
  return core_->output.has_output();
}

std::optional<Instant> Session::deadline() const { return core_->deadline(); }
void Session::on_deadline(Instant now) { core_->on_deadline(now); }

bool Session::ready() const { return core_->state == SessionCore::State::open; }
bool Session::closed() const { return core_->state == SessionCore::State::closed; }
QosClass Session::qos_ceiling() const { return core_->config.qos_ceiling; }
const PeerInfo& Session::peer() const { return core_->peer; }

std::uint64_t Session::send_credit(std::uint32_t stream) const {
  const Stream* found = core_->find(stream);
  return found == nullptr ? 0 : found->send_allowed - found->send_used;
}
bool Session::writable(std::uint32_t stream) const {
  const Stream* found = core_->find(stream);
  return found != nullptr && !found->waiting && found->send_used < found->send_allowed;
}
std::size_t Session::stream_count() const { return core_->streams.size(); }
std::size_t Session::requests_in_flight() const { return core_->outgoing.size(); }
std::uint64_t Session::held_bytes() const { return core_->held; }
bool Session::critical(Instant now) const { return now < core_->critical_until; }
std::uint64_t Session::scheduled_bytes() const { return core_->output.bytes(); }
std::uint64_t Session::queued_bytes() const {
  return core_->output.bytes() + core_->waiting_bytes.total() + core_->relayed_bytes.total();
}
SessionStats Session::stats() const { return core_->stats(); }

SessionStats SessionCore::stats() const {
  SessionStats stats = stats_;
  stats.frames_sent = output.frames_chosen();
  return stats;
}

}  // namespace valkyrie::protocol
