// What passes between the two ends of a stream. What one end hears from its session or service it
// passes to the other, on this shard or another, which takes it.
#include <fmt/format.h>

#include "server/router/router_core.h"

namespace valkyrie::router {

using protocol::EventType;
using protocol::SendError;
using Type = ShardMessage::Type;

void RouterCore::on_end_event(StreamEnd& end, const Event& event) {
  switch (event.type) {
    case EventType::data:
      if (end.opening) return hold(end, event);
      return pass_data(end, {.metadata = onward(event.metadata), .payload = event.payload},
                       lowered(reclassed(event.qos, end.qos_class), end.gate.get()), event.more,
                       event.cost, keeper_of(end));
    case EventType::end:
      if (end.opening) return hold(end, event);
      // What is dropped of what waits has left.
      if (end.kind == StreamEnd::Kind::instance) pass_credit(end, end.waiting);
      pass_end(end, onward(event.metadata));
      if (end.kind == StreamEnd::Kind::instance) {
        const auto status = event.metadata.status();
        if (end.instance != nullptr)
          note_answer(*end.instance, status ? status->code : StatusCode::ok);
        on_instance_ended(end);
      }
      return;
    case EventType::reset:
    case EventType::stream_closed:
      return finish(end, event);
    default:
      return;
  }
}

// What keeps the payload of the event that the end's session is telling.
Keeper RouterCore::keeper_of(const StreamEnd& end) {
  const Connection* connection = connections_.find(end.connection);
  return connection == nullptr ? nullptr : connection->session->payload_owner();
}

// Keeps what comes before the other end is there.
void RouterCore::hold(StreamEnd& end, const Event& event) {
  end.opening->pieces.push_back(
      {.body = body_of(onward(event.metadata), event.payload),
       .cost = event.cost,
       .qos = lowered(reclassed(event.qos, end.qos_class), end.gate.get()),
       .more = event.more,
       .end = event.type == EventType::end});
}

// The peer's END ends the call. The node ends its side for the caller, so that the instance is
// free whatever the caller does, and takes back what the instance has not taken.
void RouterCore::on_instance_ended(StreamEnd& end) {
  end.other = 0;
  leave_instance(end);
  Connection* connection = touch(end.connection);
  if (connection == nullptr) return;
  if (end.waiting > 0 || (end.mid_message && !end.ended)) {
    connection->session->reset(end.stream, CloseCode::cancelled, {});
  } else if (!end.ended) {
    static_cast<void>(connection->session->send_end(end.stream));
  }
}

// The stream is over at this end.
void RouterCore::finish(StreamEnd& end, const Event& event) {
  const bool is_caller = end.kind == StreamEnd::Kind::caller;
  const Connection* connection = connections_.find(end.connection);
  const bool lost = connection == nullptr || connection->session->closed();
  if (end.opening) close_opening(end);
  if (event.type == EventType::stream_closed) {
    pass_closed(end);
  } else if (!lost) {
    const auto status = event.metadata.status();
    pass_reset(end, event.code, status ? status->text : std::string_view());
  } else if (!is_caller && end.other != 0) {
    const registry::InstanceInfo& info = *end.instance->info;
    pass_reset(end, CloseCode::destination_lost,
               fmt::format("{}: instance \"{}\" is gone ({})", info.service, info.instance,
                           to_string(event.code)));
  } else if (end.to_service) {
    // A connection that breaks off gives no reason; the service shall see that it did.
    pass_reset(end, event.code == CloseCode::none ? CloseCode::destination_lost : event.code, {});
  } else {
    pass_reset(end, CloseCode::cancelled, "the caller is gone");
  }
  leave_instance(end);
  if (is_caller) --streams_;
  if (end.limited) end.gate->end_call();
  ends_.erase(end.id);
}

void RouterCore::pass_data(StreamEnd& from, const Message& message, std::uint8_t qos, bool more,
                           std::uint32_t cost, Keeper keeper) {
  // Once the call is over, what its caller still sends is not looked at.
  if (from.other == 0) return give_back(from, cost);
  if (from.other_shard == config_.shard) {
    StreamEnd& to = *ends_.find(from.other);
    if (!take_data(to, message, qos, more, cost, std::move(keeper))) give_back(from, cost);
    return;
  }
  ShardMessage data = letter(Type::stream_data, from.other);
  data.lane = from.id;
  data.qos = qos;
  data.more = more;
  data.bytes = cost;
  data.body = body_of(message.metadata, message.payload);
  post(from.other_shard, std::move(data));
}

// False if the bytes went nowhere: their sender gets its credit back.
bool RouterCore::take_data(StreamEnd& to, const Message& message, std::uint8_t qos, bool more,
                           std::uint32_t cost, Keeper keeper) {
  if (to.kind == StreamEnd::Kind::service) {
    take_service_data(to, message.payload, qos, more, cost);
    return true;
  }
  Connection* connection = touch(to.connection);
  if (connection == nullptr) return false;
  protocol::Session& session = *connection->session;
  const auto sent = session.send_data(to.stream,
                                      {.metadata = message.metadata,
                                       .payload = message.payload,
                                       .qos = qos,
                                       .cookie = tagged(Tag::stream, cost),
                                       .relayed = true,
                                       .owner = std::move(keeper)},
                                      more);
  if (sent) {
    to.mid_message = more;
    if (sent->waiting) {
      to.waiting += cost;
    } else {
      pass_credit(to, cost);
    }
    return true;
  }
  // Any other error means that the stream is over, which an event is about to say.
  if (sent.error() == SendError::queue_full) {
    session.reset(to.stream, CloseCode::slow_peer, "too many bytes wait for the peer");
  } else if (sent.error() == SendError::too_large) {
    session.reset(to.stream, CloseCode::too_large, "longer than the peer accepts");
  }
  return false;
}

void RouterCore::give_back(const StreamEnd& end, std::uint32_t bytes) {
  if (Connection* connection = touch(end.connection)) {
    connection->session->consume(end.stream, bytes);
  }
}

void RouterCore::pass_end(StreamEnd& from, Bytes metadata) {
  if (from.other == 0) return;
  if (from.other_shard == config_.shard) return take_end(*ends_.find(from.other), metadata);
  ShardMessage end = letter(Type::stream_end, from.other);
  end.body = body_of(metadata, {});
  post(from.other_shard, std::move(end));
}

void RouterCore::take_end(StreamEnd& to, Bytes metadata) {
  if (to.kind == StreamEnd::Kind::service) {
    return to.local->service->on_end(LocalStream(*this, to.id), now_);
  }
  to.ended = true;
  if (to.kind == StreamEnd::Kind::caller && !to.to_service) {
    // The call is over; see on_instance_ended().
    to.other = 0;
    leave_instance(to);
  }
  if (Connection* connection = touch(to.connection)) {
    static_cast<void>(connection->session->send_end(to.stream, metadata));
  }
}

void RouterCore::pass_reset(StreamEnd& from, CloseCode code, std::string_view text) {
  const std::uint64_t other = std::exchange(from.other, 0);
  if (other == 0) return;
  if (from.other_shard == config_.shard) return take_reset(*ends_.find(other), code, text);
  ShardMessage reset = letter(Type::stream_reset, other);
  reset.code = code;
  reset.body = body_of({}, std::as_bytes(std::span(text)));
  post(from.other_shard, std::move(reset));
}

void RouterCore::take_reset(StreamEnd& to, CloseCode code, std::string_view text) {
  to.other = 0;
  if (to.kind == StreamEnd::Kind::service) return close_service(to, code);
  if (Connection* connection = touch(to.connection)) {
    connection->session->reset(to.stream, code, text);
  }
}

void RouterCore::pass_closed(StreamEnd& from) {
  const std::uint64_t other = std::exchange(from.other, 0);
  if (other == 0) return;
  if (from.other_shard == config_.shard) return take_closed(*ends_.find(other));
  post(from.other_shard, letter(Type::stream_closed, other));
}

void RouterCore::take_closed(StreamEnd& to) {
  to.other = 0;
  if (to.kind == StreamEnd::Kind::service) return close_service(to, CloseCode::none);
  leave_instance(to);
}

// Bytes that this end was given have left it.
void RouterCore::pass_credit(StreamEnd& from, std::uint32_t bytes) {
  if (from.other == 0 || bytes == 0) return;
  if (from.other_shard != config_.shard) {
    return owe(from.other_shard, Type::stream_credit, from.other, 0, bytes);
  }
  take_credit(*ends_.find(from.other), bytes);
}

void RouterCore::take_credit(StreamEnd& to, std::uint32_t bytes) {
  if (to.kind == StreamEnd::Kind::service) return take_service_credit(to, bytes);
  give_back(to, bytes);
}

}  // namespace valkyrie::router
