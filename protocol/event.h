// What a Session tells its owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "protocol/constants.h"
#include "protocol/metadata.h"

namespace valkyrie::protocol {

// What happened. Which fields of Event are set is said beside each; `stream` and `user` are set
// wherever a stream is concerned.
enum class EventType : std::uint8_t {
  ready,           // The hello is done; Session::peer() is set.
  stream_opened,   // By the peer: kind, options, qos, metadata (SERVICE, METHOD, ...).
  request,         // correlation, qos, metadata, payload (whole), cost.
  cancel,          // The peer gives up a request: correlation, cookie. Its response is still owed.
  abandoned,       // Nobody waits for the answer to a request any more, since its stream or session
                   // is over: correlation, cookie, code. Answer it all the same once the work is
                   // over: that frees its place, not the peer's giving up (rapid reset).
  response,        // correlation, cookie, qos, metadata (STATUS if not OK), payload, cost.
  request_failed,  // Instead of a response or of published: correlation, cookie, code, status,
                   // outcome.
  notify,          // qos, metadata, payload (whole), cost.
  publish,        // correlation (0: nobody waits), qos, metadata, payload (whole), cost. One with a
                  // correlation is a request too: `cancel` never comes for it, `abandoned` may.
  published,      // correlation, cookie, level (0 if STATUS says that it failed), metadata.
  event,          // Of a subscription: correlation (sequence), qos, metadata (SUBJECT), payload
                  // (whole), cost.
  data,           // qos, metadata (first part only), payload, more, to_come, cost.
  end,            // The peer ended its direction: metadata.
  reset,          // The stream is over: code, local, outcome (of a `stream` of this side),
                  // metadata. The stream's last event.
  stream_closed,  // Both directions ended in order. The stream's last event.
  flushed,        // A waiting message was scheduled whole: correlation, cookie. Does not come if
                  // request_failed or the stream's last event comes first.
  room,           // open_stream() or a message that was refused with stream_limit or queue_full is
                  // worth another try.
  goaway,         // The peer drains: code, drain_ms. Open nothing new; END call streams.
  pong,           // cookie is the token of ping().
  auth,           // The dialer shows a credential, which is the payload. Answer it with
                  // send_auth_ok(), or close() as unauthenticated.
  auth_ok,        // The acceptor has taken a credential: seconds_left.
  closed,         // The session is over: code, local, metadata. The last event of all.
};

// One event. Spans are borrowed; see Session::poll_event.
struct Event {
  EventType type = EventType::closed;
  StreamKind kind = StreamKind::call;
  std::uint8_t options = 0;  // Of stream_opened: the octet of STREAM_OPEN.
  std::uint8_t qos = 0;      // The frame's byte: class in the top 3 bits, urgency in the low 5.
  bool more = false;         // Of data: the message continues with the stream's next data event.
  std::uint8_t level = 0;    // Of published: the level reached, as ACK_LEVEL counts them.
  bool local = false;        // Of closed and reset: this side decided.
  CloseCode code = CloseCode::none;
  StatusCode status = StatusCode::ok;       // Of request_failed.
  Outcome outcome = Outcome::not_executed;  // Of request_failed and reset.
  std::uint32_t stream = 0;
  std::uint32_t correlation = 0;
  std::uint32_t cost = 0;          // Bytes to give back with Session::consume() once dealt with.
  std::uint32_t to_come = 0;       // Of data with more: at least so many bytes of payload follow.
  std::uint32_t drain_ms = 0;      // Of goaway: the peer's patience.
  std::uint32_t seconds_left = 0;  // Of auth_ok: how long it holds; AuthOkBody::kNoEnd: for good.
  std::uint64_t user = 0;          // What open_stream() or set_user() attached to the stream.
  std::uint64_t cookie = 0;  // What send_*() or set_cookie() attached to the request or message.
  MetadataView metadata{};
  std::span<const std::byte> payload{};
};

}  // namespace valkyrie::protocol
