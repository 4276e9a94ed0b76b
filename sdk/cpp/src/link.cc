#include "sdk/cpp/src/link.h"

#include <utility>

#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/stream_user.h"

namespace valkyrie::detail {
namespace {

// How long a closed connection may take to hand its last bytes over.
constexpr protocol::Duration kLinger = std::chrono::milliseconds{500};

protocol::SessionConfig session_config(const ClientOptions& options) {
  protocol::SessionConfig config;
  config.agent = options.agent;
  // A client may serve: the node opens a stream for each method and caller.
  config.limits.peer_streams_max = protocol::kServiceStreamsDefault;
  return config;
}

}  // namespace

Link::Link(Core& core, std::uint64_t number, std::string url, transport::Socket socket,
           std::unique_ptr<protocol::Channel> channel)
    : core_(core),
      number_(number),
      url_(std::move(url)),
      connection_(core.reactor(), std::move(socket), protocol::Role::dialer,
                  session_config(core.options()), core.buffers(), *this, {.linger = kLinger},
                  nullptr, std::move(channel)) {}

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
      return;
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

void Link::on_closed(transport::Connection&, const transport::CloseReason& reason) {
  state_ = State::gone;
  core_.on_link_closed(*this, to_string(reason));
}

}  // namespace valkyrie::detail
