#include <algorithm>
#include <fmt/format.h>

#include "server/router/router_core.h"

namespace valkyrie::router {

using protocol::EventType;
using protocol::Status;

// Where a local service is: here, if it has an object on this shard.
std::uint32_t RouterCore::shard_of(std::uint32_t local) const {
  return locals_[local].service != nullptr ? config_.shard : 0;
}

Caller RouterCore::caller_of(const OpenInfo& open) const {
  return {.shard = open.shard,
          .connection = open.connection,
          .address = open.address,
          .identity = open.identity};
}

void RouterCore::open_link(ConnectionId id, const Event& event) {
  protocol::Session& session = *touch(id)->session;
  const std::string_view target = *event.metadata.service();
  registry::Service& service = table_.refer(target);
  if (!service.is_builtin()) {
    if (service.instances().empty()) {
      session.reset(event.stream, CloseCode::no_service,
                    table_.explain(service, registry::NoChoice::no_instance, {}));
    } else {
      session.reset(event.stream, CloseCode::feature,
                    "this node routes calls, not streams, to registered services");
    }
    return table_.release(service);
  }
  const std::uint32_t index = service.builtin();
  table_.release(service);
  ++stats.streams;
  const std::uint64_t made = links_.make();
  Link& link = *links_.find(made);
  link.id = made;
  link.connection = id;
  link.stream = event.stream;
  link.open = open_info(id, event, target);
  session.set_user(event.stream, tagged(Tag::link, made));
  if (shard_of(index) == config_.shard) {
    link.service = locals_[index].service;
    return start_link(link, locals_[index].info);
  }
  link.far = true;
  ShardMessage open = letter(ShardMessage::Type::stream_open, made);
  open.number = index;
  open.open = link.open;
  post(0, std::move(open));
}

// On shard 0: tells the service of a stream, or its caller why not.
void RouterCore::start_link(Link& link, const LocalServiceInfo& info) {
  const OpenInfo& open = *link.open;
  if (draining) {
    return refuse_link(link, {StatusCode::unavailable, Outcome::not_executed,
                              "this node is draining; use another"});
  }
  const auto method = std::ranges::find(info.methods, open.method, &LocalMethod::name);
  if (method == info.methods.end() || method->kind != protocol::StreamKind::stream) {
    const std::string text = method == info.methods.end()
                                 ? fmt::format("{} has no method \"{}\"", info.name, open.method)
                                 : fmt::format("{}/{} is unary; call it", info.name, open.method);
    return refuse_link(link, {StatusCode::unimplemented, Outcome::not_executed, text});
  }
  const auto metadata = protocol::parse_metadata(open.metadata, protocol::FrameType::stream_open,
                                                 protocol::MetadataReader::relay);
  const Caller caller = caller_of(open);
  link.service->on_stream(LocalStream(*this, link.id),
                          {.method = open.method,
                           .metadata = metadata ? *metadata : protocol::MetadataView(),
                           .qos = open.qos,
                           .caller = caller},
                          now_);
}

void RouterCore::refuse_link(Link& link, const Status& status) {
  link.refused = true;
  end(link.id, status);
}

void RouterCore::on_link_event(Link& link, const Event& event) {
  switch (event.type) {
    case EventType::data: {
      if (!link.far) return take_data(link, event.payload, event.qos, event.more, event.cost);
      ShardMessage data = letter(ShardMessage::Type::stream_data, link.id);
      data.qos = event.qos;
      data.more = event.more;
      data.bytes = event.cost;
      data.body = body_of({}, event.payload);
      return post(0, std::move(data));
    }
    case EventType::end:
      if (link.far) return post(0, letter(ShardMessage::Type::stream_end, link.id));
      if (!link.refused && !link.muted) link.service->on_end(LocalStream(*this, link.id), now_);
      return;
    case EventType::stream_closed:
      return close_link(link, CloseCode::none);
    case EventType::reset:
      // A connection that breaks off gives no reason; the service shall see that it did.
      return close_link(link,
                        event.code == CloseCode::none ? CloseCode::destination_lost : event.code);
    default:
      return;
  }
}

// On shard 0: puts a message together and gives it to the service. Parts are returned to the
// sender's credit as they come, as the message may be longer than that; the last one is not.
void RouterCore::take_data(Link& link, Bytes payload, std::uint8_t qos, bool more,
                           std::uint32_t cost) {
  const LocalStream stream(*this, link.id);
  if (link.refused || link.muted) return consume(link.id, cost);
  if (!more && link.assembly.empty()) {
    return link.service->on_message(stream, {.payload = payload, .qos = qos, .cost = cost}, now_);
  }
  if (link.assembly.size() + payload.size() > kLocalMessageBytesMax) {
    LocalService* service = link.service;
    reset(link.id, CloseCode::too_large, "the message is longer than the service takes");
    return service->on_closed(stream, CloseCode::too_large, now_);
  }
  link.assembly.insert(link.assembly.end(), payload.begin(), payload.end());
  if (more) return consume(link.id, cost);
  const std::vector<std::byte> whole = std::exchange(link.assembly, {});
  link.service->on_message(stream, {.payload = whole, .qos = qos, .cost = cost}, now_);
}

// On the caller's shard: true if the session passed the message on at once.
bool RouterCore::send_piece(Link& link, Bytes payload, std::uint8_t qos) {
  Connection* connection = touch(link.connection);
  if (connection == nullptr) return true;
  if (link.backlogged == 0) {
    const auto sent = connection->session->send_data(
        link.stream,
        {.metadata = {}, .payload = payload, .qos = qos, .cookie = tagged(Tag::link, link.id)});
    if (sent && sent->waiting) link.unflushed.push_back(static_cast<std::uint32_t>(payload.size()));
    if (sent) return !sent->waiting;
    if (sent.error() != protocol::SendError::queue_full) return true;
  }
  push_backlog(link, *connection, {.link = link.id, .body = body_of({}, payload), .qos = qos});
  return false;
}

void RouterCore::send_end_piece(Link& link, Bytes metadata) {
  Connection* connection = touch(link.connection);
  if (connection == nullptr) return;
  if (link.backlogged > 0) {
    push_backlog(link, *connection, {.link = link.id, .body = body_of(metadata, {}), .end = true});
    return;
  }
  static_cast<void>(connection->session->send_end(link.stream, metadata));
}

void RouterCore::push_backlog(Link& link, Connection& connection, Backlog&& piece) {
  ++link.backlogged;
  connection.backlog.push_back(std::move(piece));
}

// Something of the connection has gone: what found no room may find some now.
void RouterCore::retry_backlog(Connection& connection) {
  while (!connection.backlog.empty()) {
    Backlog& piece = connection.backlog.front();
    Link& link = *links_.find(piece.link);
    if (piece.end) {
      static_cast<void>(connection.session->send_end(link.stream, piece.body.metadata()));
    } else {
      const auto sent =
          connection.session->send_data(link.stream, {.metadata = {},
                                                      .payload = piece.body.payload(),
                                                      .qos = piece.qos,
                                                      .cookie = tagged(Tag::link, link.id)});
      if (!sent && sent.error() == protocol::SendError::queue_full) return;
      const auto bytes = static_cast<std::uint32_t>(piece.body.payload().size());
      if (sent && sent->waiting) {
        link.unflushed.push_back(bytes);
      } else if (link.far) {
        owe(0, ShardMessage::Type::stream_sent, link.id, 0, bytes);
      }
    }
    --link.backlogged;
    reuse(std::move(piece.body));
    connection.backlog.pop_front();
    if (!link.far) note_sent(link, 0);
  }
}

// On the caller's shard: a message that waited has gone.
void RouterCore::note_sent(Link& link, std::uint32_t bytes) {
  if (link.far) return owe(0, ShardMessage::Type::stream_sent, link.id, 0, bytes);
  if (!link.stopped || !link.unflushed.empty() || link.backlogged > 0) return;
  link.stopped = false;
  if (!link.muted) link.service->on_writable(LocalStream(*this, link.id), now_);
}

void RouterCore::close_link(Link& link, CloseCode code) {
  const LocalStream stream(*this, link.id);
  LocalService* service = link.refused || link.muted ? nullptr : link.service;
  if (Connection* connection = connections_.find(link.connection)) {
    std::erase_if(connection->backlog, [&](const Backlog& b) { return b.link == link.id; });
  } else {
    far_links_[link.origin_shard][link.origin] = nullptr;
  }
  if (link.far) {
    ShardMessage closed = letter(ShardMessage::Type::stream_closed, link.id);
    closed.code = code;
    post(0, std::move(closed));
  }
  links_.erase(stream.id());
  if (service != nullptr) service->on_closed(stream, code, now_);
}

void RouterCore::answer(std::uint64_t id, const Status& status, Bytes payload) {
  Call* call = calls_.find(id);
  if (call == nullptr || call->upstream == nullptr || call->upstream->service == nullptr) return;
  if (status.code != StatusCode::ok) return answer_upstream(*call, status);
  ++stats.answers[0];
  answered(*call, {.metadata = {}, .payload = payload}, call->qos, {});
}

bool RouterCore::send(std::uint64_t id, Bytes message, std::uint8_t qos) {
  Link* link = links_.find(id);
  if (link == nullptr || link->node_ended) return false;
  if (link->connection != 0) {
    if (!send_piece(*link, message, qos)) link->stopped = true;
    return !link->stopped;
  }
  ShardMessage data = letter(ShardMessage::Type::stream_data, link->origin);
  data.qos = qos;
  data.body = body_of({}, message);
  post(link->origin_shard, std::move(data));
  link->unsent += message.size();
  if (link->unsent >= kLocalWindowBytes) link->stopped = true;
  return !link->stopped;
}

bool RouterCore::writable(std::uint64_t id) const {
  const Link* link = links_.find(id);
  return link != nullptr && !link->node_ended && !link->stopped;
}

void RouterCore::consume(std::uint64_t id, std::uint32_t bytes) {
  Link* link = links_.find(id);
  if (link == nullptr || bytes == 0) return;
  if (link->connection == 0) {
    return owe(link->origin_shard, ShardMessage::Type::stream_credit, link->origin, 0, bytes);
  }
  if (Connection* connection = touch(link->connection)) {
    connection->session->consume(link->stream, bytes);
  }
}

void RouterCore::end(std::uint64_t id, const Status& status) {
  Link* link = links_.find(id);
  if (link == nullptr || std::exchange(link->node_ended, true)) return;
  std::array<std::byte, protocol::kEntryHeaderBytes + protocol::kStatusBytesMax> buffer;
  protocol::MetadataWriter writer(buffer);
  if (status.code != StatusCode::ok) writer.status(status);
  const auto metadata = writer.finish();
  VALKYRIE_ASSERT(metadata.has_value());
  if (link->connection != 0) return send_end_piece(*link, *metadata);
  ShardMessage end = letter(ShardMessage::Type::stream_end, link->origin);
  end.body = body_of(*metadata, {});
  post(link->origin_shard, std::move(end));
}

void RouterCore::reset(std::uint64_t id, CloseCode code, std::string_view text) {
  Link* link = links_.find(id);
  if (link == nullptr || std::exchange(link->muted, true)) return;
  link->node_ended = true;
  if (link->connection == 0) {
    ShardMessage reset = letter(ShardMessage::Type::stream_reset, link->origin);
    reset.code = code;
    reset.body = body_of({}, std::as_bytes(std::span(text)));
    return post(link->origin_shard, std::move(reset));
  }
  if (Connection* connection = touch(link->connection)) {
    connection->session->reset(link->stream, code, text);
  }
}

}  // namespace valkyrie::router
