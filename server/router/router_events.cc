#include <algorithm>

#include "server/router/router_core.h"

namespace valkyrie::router {

using protocol::EventType;

RouterCore::RouterCore(const RouterConfig& config, Outbox& outbox)
    : config_(config),
      outbox_(outbox),
      random_(config.seed),
      table_(config.rules, config.shards),
      publish_(*this, config.seed),
      scratch_(protocol::kMetadataBytes),
      far_lanes_(config.shards),
      far_calls_(config.shards),
      credit_(config.shards),
      applied_(config.shards, 0) {}

void RouterCore::add_local(const LocalServiceInfo& info, LocalService* service) {
  VALKYRIE_ASSERT(service != nullptr || config_.shard != 0);
  table_.add_builtin(info.name, static_cast<std::uint32_t>(locals_.size()));
  locals_.push_back({.info = info, .service = service});
}

ConnectionId RouterCore::attach(protocol::Session& session, std::string_view address,
                                std::string_view identity, void* owner, Instant now,
                                std::shared_ptr<policy::Gate> gate) {
  now_ = now;
  const ConnectionId id = connections_.make();
  Connection& connection = *connections_.find(id);
  connection.session = &session;
  connection.owner = owner;
  connection.address = address;
  connection.identity = identity;
  connection.gate = std::move(gate);
  if (draining) {  // It dialled in meanwhile.
    touch(id)->session->drain(std::max(protocol::Duration::zero(), drain_until_ - now), now);
  }
  return id;
}

void RouterCore::detach(ConnectionId id) {
  Connection* connection = connections_.find(id);
  VALKYRIE_ASSERT(connection != nullptr);
  leave(*connection);
  forget_touched(id);
  connections_.erase(id);
}

// Marks a session as used, so that the embedding looks at it before the turn ends.
Connection* RouterCore::touch_first(ConnectionId id) {
  Connection* connection = connections_.find(id);
  if (connection == nullptr) return nullptr;
  if (!std::exchange(connection->dirty, true)) dirty_.push_back(id);
  recent_[id % recent_.size()] = {.id = id, .connection = connection};
  return connection;
}

void RouterCore::forget_touched(ConnectionId id) {
  if (Recent& recent = recent_[id % recent_.size()]; recent.id == id) recent = {};
}

void* RouterCore::next_dirty() {
  while (!dirty_.empty()) {
    const ConnectionId id = dirty_.back();
    dirty_.pop_back();
    forget_touched(id);
    Connection* connection = connections_.find(id);
    if (connection == nullptr) continue;
    connection->dirty = false;
    return connection->owner;
  }
  return nullptr;
}

void RouterCore::on_event(ConnectionId id, const Event& event, Instant now) {
  now_ = now;
  switch (event.type) {
    case EventType::stream_opened:
      return on_stream_opened(id, event);
    case EventType::cancel:
      if (Call* call = calls_.find(id_of(event.cookie))) on_cancel(*call);
      return;
    case EventType::abandoned:
      if (Call* call = calls_.find(id_of(event.cookie))) on_abandoned(*call);
      return;
    case EventType::response:
      if (tag_of(event.cookie) == Tag::probe) {
        touch(id)->session->consume(event.stream, event.cost);
        return on_probe_end(event);
      }
      if (Call* call = calls_.find(id_of(event.cookie))) on_response(*call, id, event);
      return;
    case EventType::request_failed:
      if (tag_of(event.cookie) == Tag::probe) return on_probe_end(event);
      if (Call* call = calls_.find(id_of(event.cookie))) on_request_failed(*call, event);
      return;
    case EventType::flushed:
      return on_flushed(event);
    case EventType::reset:
      if (is_given_up(event)) ++stats.slow_streams;
      break;
    case EventType::goaway:
    case EventType::closed:
      if (event.type == EventType::closed && event.local) {
        if (event.code == CloseCode::forbidden) ++stats.above_ceiling;
        if (event.code == CloseCode::slow_peer) ++stats.slow_peers;
      }
      if (Connection* connection = connections_.find(id)) leave(*connection);
      return;
    case EventType::ready:
    case EventType::room:
    case EventType::pong:
    case EventType::auth:  // Its embedding's.
    case EventType::auth_ok:
      return;
    default:
      break;
  }
  switch (tag_of(event.user)) {
    case Tag::binding:
      if (Binding* binding = bindings_.find(id_of(event.user))) {
        on_binding_event(id, *binding, event);
      }
      return;
    case Tag::upstream:
      if (Upstream* upstream = upstreams_.find(id_of(event.user))) {
        on_upstream_event(*upstream, event);
      }
      return;
    case Tag::stream:
      if (StreamEnd* end = ends_.find(id_of(event.user))) on_end_event(*end, event);
      return;
    case Tag::publisher:
      return publish_.on_publisher_event(id_of(event.user), event);
    case Tag::subscription:
      return publish_.on_subscription_event(id_of(event.user), event);
    case Tag::probe:
      return on_probe_stream(id_of(event.user), id, event);
    case Tag::call:
    case Tag::none:
      return;
  }
}

// Whether the node has reset a stream because its peer is slow: not the other end of one.
bool RouterCore::is_given_up(const Event& event) const {
  if (!event.local || event.code != CloseCode::slow_peer) return false;
  if (tag_of(event.user) != Tag::stream) return true;
  const StreamEnd* end = ends_.find(id_of(event.user));
  return end != nullptr && (end->other != 0 || end->opening);
}

void RouterCore::on_stream_opened(ConnectionId id, const Event& event) {
  protocol::Session& session = *touch(id)->session;
  if (event.metadata.find(protocol::MetadataKey::authorization)) {
    // To go on as the session would have the caller act as somebody it did not ask to be.
    session.reset(event.stream, CloseCode::unauthenticated,
                  "this node takes the credentials of sessions alone");
    return;
  }
  if (event.kind == protocol::StreamKind::publish) return publish_.on_publish_opened(id, event);
  if (event.kind == protocol::StreamKind::subscribe) {
    return publish_.on_subscribe_opened(id, event);
  }
  if (!event.metadata.service()) {
    session.reset(event.stream, CloseCode::bad_metadata, "STREAM_OPEN without SERVICE");
    return;
  }
  if (event.metadata.octet(protocol::MetadataKey::hops).value_or(0) >= protocol::kHops) {
    session.reset(event.stream, CloseCode::refused, "too many nodes on the way");
    return;
  }
  if (event.kind == protocol::StreamKind::call) {
    bind(id, event);
  } else {
    take_stream(id, event);
  }
}

void RouterCore::on_binding_event(ConnectionId id, Binding& binding, const Event& event) {
  switch (event.type) {
    case EventType::request:
      return on_request(binding, event);
    case EventType::notify:
      return on_notify(binding, event);
    case EventType::end:
      // The session ENDs its side after the last answer; stream_closed follows.
      if (Connection* connection = touch(id); binding.outstanding == 0) {
        static_cast<void>(connection->session->send_end(binding.stream));
      }
      return;
    case EventType::reset:
    case EventType::stream_closed:
      return unbind(binding);
    default:
      return;
  }
}

void RouterCore::on_upstream_event(Upstream& upstream, const Event& event) {
  if (event.stream != upstream.stream) return;
  if (event.type == EventType::end) {
    if (Connection* connection = touch(upstream.instance->info->connection)) {
      static_cast<void>(connection->session->send_end(upstream.stream));
    }
  } else if (event.type != EventType::reset && event.type != EventType::stream_closed) {
    return;
  }
  // The next call of the lane opens another; calls on this one end in events of their own.
  upstream.stream = 0;
  drop_unflushed(upstream.unflushed);
}

void RouterCore::on_flushed(const Event& event) {
  if (tag_of(event.cookie) == Tag::stream) {
    StreamEnd* end = ends_.find(id_of(event.user));
    if (end == nullptr) return;
    const auto bytes = static_cast<std::uint32_t>(id_of(event.cookie));
    end->waiting -= bytes;
    return pass_credit(*end, bytes);
  }
  if (tag_of(event.cookie) == Tag::subscription) return publish_.on_flushed(id_of(event.cookie));
  if (tag_of(event.cookie) == Tag::probe) return;
  Call* call = calls_.find(id_of(event.cookie));
  if (call == nullptr) return;
  if (call->state == Call::State::unflushed) {
    pay(call->debt);
    return forget(*call);
  }
  release_request(*call);
  if (call->notify) forget(*call);
}

// The peer drains or is gone: what it registered gets no call any more, here from now on, on the
// other shards as they hear of it; until then this shard hands their calls back.
void RouterCore::leave(Connection& connection) {
  if (connection.leaving) return;
  connection.leaving = true;
  for (const std::uint64_t instance : std::exchange(connection.instances, {})) {
    registry::Instance* known = table_.find(instance);
    if (known == nullptr) continue;
    end_probes(*known);
    table_.withdraw(*known);
  }
}

void RouterCore::drain(protocol::Duration grace, Instant now) {
  now_ = now;
  const bool first = !std::exchange(draining, true);
  drain_until_ = first ? now + grace : std::min(drain_until_, now + grace);
  connections_.for_each([&](ConnectionId id, Connection& connection) {
    touch(id);
    connection.session->drain(grace, now);
  });
  queues_.for_each([&](std::uint64_t, WaitQueue& queue) { wake(*queue.service); });
  if (!first) return;
  while (!probes_due_.empty()) {
    end_probes(*probed_.find(probes_due_.begin()->second)->instance);
  }
  for (const Local& local : locals_) {
    if (local.service != nullptr) local.service->on_drain(grace, now);
  }
}

std::optional<Instant> RouterCore::deadline() const {
  std::optional<Instant> earliest;
  const auto consider = [&](std::optional<Instant> at) {
    if (at && (!earliest || *at < *earliest)) earliest = at;
  };
  if (idle_first_ != nullptr) consider(idle_first_->idle_since + config_.lane_idle);
  if (!parked_.empty()) consider(parked_.begin()->first);
  if (!probes_due_.empty()) consider(probes_due_.begin()->first);
  for (const Local& local : locals_) {
    if (local.service != nullptr) consider(local.service->deadline());
  }
  return earliest;
}

void RouterCore::on_deadline(Instant now) {
  now_ = now;
  while (idle_first_ != nullptr && idle_first_->idle_since + config_.lane_idle <= now) {
    close_lane(*idle_first_);
  }
  expire_parked();
  run_probes();
  for (const Local& local : locals_) {
    if (local.service == nullptr) continue;
    if (const auto at = local.service->deadline(); at && *at <= now) {
      local.service->on_deadline(now);
    }
  }
}

RouterCensus RouterCore::census() const {
  std::size_t longest = 0;
  queues_.for_each(
      [&](std::uint64_t, const WaitQueue& queue) { longest = std::max(longest, queue.size()); });
  RouterCensus census{.connections = connections_.size(),
                      .bindings = bindings_.size(),
                      .lanes = lanes_.size(),
                      .upstreams = upstreams_.size(),
                      .calls = calls_.size(),
                      .waiting = parked_.size(),
                      .queue_longest = longest,
                      .streams = streams_,
                      .stream_ends = ends_.size(),
                      .services = table_.service_count(),
                      .instances = table_.instance_count(),
                      .probed = probed_.size()};
  publish_.count(census);
  return census;
}

}  // namespace valkyrie::router
