#include "sdk/cpp/src/link.h"

#include <algorithm>
#include <fmt/core.h>
#include <span>
#include <utility>

#include "protocol/frame_body.h"
#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/stream_user.h"

namespace valkyrie::detail {
namespace {

// How long a closed connection may take to hand its last bytes over.
constexpr protocol::Duration kLinger = std::chrono::milliseconds{500};

// Who renews a credential does so in time, but not at a time that is known here.
constexpr protocol::Duration kRenewalLookMin = std::chrono::seconds{1};

protocol::SessionConfig session_config(const ClientOptions& options, std::string credential) {
  protocol::SessionConfig config;
  config.token = std::move(credential);
  config.agent = options.agent;
  // A client may serve: the node opens a stream for each method and caller.
  config.limits.peer_streams_max = protocol::kServiceStreamsDefault;
  return config;
}

}  // namespace

Link::Link(Core& core, std::uint64_t number, std::string url, transport::Socket socket,
           std::unique_ptr<protocol::Channel> channel, std::string credential)
    : core_(core),
      number_(number),
      url_(std::move(url)),
      credential_(std::move(credential)),
      connection_(core.reactor(), std::move(socket), protocol::Role::dialer,
                  session_config(core.options(), credential_), core.buffers(), *this,
                  {.linger = kLinger}, nullptr, std::move(channel)) {}

bool Link::start() { return connection_.start().has_value(); }

void Link::on_event(transport::Connection&, const protocol::Event& event) {
  switch (event.type) {
    case protocol::EventType::response:
      return core_.caller().on_response(*this, event);
    case protocol::EventType::request:
      return core_.server().on_request(*this, event);
    case protocol::EventType::request_failed:
      return core_.on_request_failed(event);
    case protocol::EventType::cancel:
      return core_.server().on_cancel(event);
    case protocol::EventType::abandoned:
      return core_.server().on_abandoned(*this, event);
    case protocol::EventType::notify:
      return core_.server().on_notify(*this, event);
    case protocol::EventType::stream_opened:
      return core_.server().on_stream_opened(*this, event);
    case protocol::EventType::data:
      if (event.user != 0) StreamUser::of(event.user)->on_data(*this, event);
      return;
    case protocol::EventType::publish:
      return;  // Never asked for: its streams are not taken.
    case protocol::EventType::published:
      return core_.publisher().on_published(event);
    case protocol::EventType::event:
      if (event.user != 0) StreamUser::of(event.user)->on_publication(*this, event);
      return;
    case protocol::EventType::end:
      if (event.user != 0) StreamUser::of(event.user)->on_end(*this, event);
      return;
    case protocol::EventType::reset:
    case protocol::EventType::stream_closed:
      if (event.user != 0) StreamUser::of(event.user)->on_over(*this, event);
      return;
    case protocol::EventType::flushed:
      if (event.user != 0) StreamUser::of(event.user)->on_flushed(event);
      return core_.on_room();
    case protocol::EventType::room:
      return core_.on_room();
    case protocol::EventType::pong:
      return core_.on_pong(event.cookie);
    case protocol::EventType::auth:
      return;  // Dialers are shown none.
    case protocol::EventType::auth_ok:
      return renew_within(event.seconds_left);
    case protocol::EventType::ready:
      state_ = State::ready;
      ready_at_ = core_.now();
      return core_.on_link_ready(*this);
    case protocol::EventType::goaway:
      if (state_ == State::ready) state_ = State::draining;
      return core_.on_link_draining(*this);
    case protocol::EventType::closed:
      return;  // on_closed() follows and knows more.
  }
}

void Link::renew_within(std::uint32_t seconds_left) {
  renewal_.cancel();
  if (seconds_left == protocol::AuthOkBody::kNoEnd) return;
  credential_ends_ = core_.now() + std::chrono::seconds{seconds_left};
  renew_later();
}

// Looks when three quarters of the time are over, then of the rest, and so on.
void Link::renew_later() {
  const protocol::Instant now = core_.now();
  if (now >= credential_ends_ || state_ == State::gone) return;
  const protocol::Duration wait =
      std::max<protocol::Duration>((credential_ends_ - now) / 4 * 3, kRenewalLookMin);
  core_.reactor().timers().arm(renewal_, now + wait);
}

// One that is as it was, or cannot be read now, may be another by the next time.
void Link::renew() {
  auto credential = core_.read_credential();
  if (!credential) core_.log(fmt::format("cannot renew: {}", credential.error().message()));
  if (!credential || credential->empty() || *credential == credential_) return renew_later();
  credential_ = *std::move(credential);
  static_cast<void>(session().send_auth(std::as_bytes(std::span(credential_))));
}

void Link::on_closed(transport::Connection&, const transport::CloseReason& reason) {
  state_ = State::gone;
  renewal_.cancel();
  core_.on_link_closed(*this, to_string(reason));
}

}  // namespace valkyrie::detail
