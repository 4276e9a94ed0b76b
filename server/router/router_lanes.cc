#include <algorithm>
#include <fmt/format.h>

#include "server/router/router_core.h"

namespace valkyrie::router {

using protocol::SendError;

// The lane of a binding to an instance (null: to the local service it is bound to).
Lane& RouterCore::lane_to(Binding& binding, registry::Instance* instance) {
  const std::uint64_t key = instance == nullptr ? 0 : instance->info->id;
  const auto at = std::ranges::lower_bound(binding.lanes, key, {}, &Binding::LaneOf::instance);
  if (at != binding.lanes.end() && at->instance == key) return *at->lane;
  const std::uint64_t id = lanes_.make();
  Lane& lane = *lanes_.find(id);
  lane.id = id;
  lane.binding = &binding;
  lane.instance = instance;
  lane.shard = instance != nullptr ? instance->info->shard : shard_of(binding.service->builtin());
  if (instance != nullptr) ++instance->references;
  binding.lanes.insert(at, {.instance = key, .lane = &lane});
  if (lane.shard == config_.shard) {
    open_upstream(lane);
  } else {
    ShardMessage open = letter(ShardMessage::Type::lane_open, 0);
    open.lane = id;
    open.number = instance == nullptr ? binding.service->builtin() : key;
    open.more = instance == nullptr;
    open.open = binding.open;
    post(lane.shard, std::move(open));
  }
  return lane;
}

// The near end of a lane whose instance is on this shard.
void RouterCore::open_upstream(Lane& lane) {
  const std::uint64_t id = upstreams_.make();
  Upstream& upstream = *upstreams_.find(id);
  upstream.id = id;
  upstream.lane = lane.id;
  upstream.open = lane.binding->open;
  upstream.origin_shard = config_.shard;
  upstream.instance = lane.instance;
  if (lane.instance == nullptr) {
    const Local& local = locals_[lane.binding->service->builtin()];
    upstream.service = local.service;
    upstream.info = &local.info;
  } else {
    ++lane.instance->references;
  }
  lane.upstream = &upstream;
}

void RouterCore::enter(Call& call, Lane& lane) {
  call.lane = &lane;
  call.state = Call::State::out;
  if (lane.outstanding++ == 0) set_busy(lane);
  if (lane.instance != nullptr) occupy(*lane.instance);
}

void RouterCore::leave_lane(Call& call) {
  Lane& lane = *std::exchange(call.lane, nullptr);
  if (lane.instance != nullptr) vacate(*lane.instance, /*ours=*/true);
  if (--lane.outstanding > 0) return;
  if (lane.binding->over) {
    close_lane(lane);
  } else {
    set_idle(lane);
  }
}

// Counts a call that its instance has. Where the caller is on another shard, this is also where
// the instance's load is counted.
void RouterCore::enter(Call& call, Upstream& upstream) {
  call.upstream = &upstream;
  call.state = Call::State::out;
  ++upstream.outstanding;
  if (upstream.instance == nullptr) return;
  if (call.binding == nullptr) ++upstream.instance->outstanding;
  registry::InstanceGauge& gauge = upstream.instance->info->gauge;
  gauge.in_flight.store(gauge.in_flight.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
  gauge.calls.store(gauge.calls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void RouterCore::leave_upstream(Call& call) {
  Upstream& upstream = *std::exchange(call.upstream, nullptr);
  --upstream.outstanding;
  if (upstream.instance == nullptr) return;
  if (call.binding == nullptr) vacate(*upstream.instance, /*ours=*/false);
  registry::InstanceGauge& gauge = upstream.instance->info->gauge;
  gauge.in_flight.store(gauge.in_flight.load(std::memory_order_relaxed) - 1,
                        std::memory_order_relaxed);
}

// REQUIRES: no call is on the lane.
void RouterCore::close_lane(Lane& lane) {
  VALKYRIE_ASSERT(lane.outstanding == 0);
  set_busy(lane);
  std::erase_if(lane.binding->lanes, [&](const Binding::LaneOf& l) { return l.lane == &lane; });
  if (lane.upstream != nullptr) {
    close_upstream(*lane.upstream);
  } else {
    ShardMessage close = letter(ShardMessage::Type::lane_close, 0);
    close.lane = lane.id;
    post(lane.shard, std::move(close));
  }
  if (lane.instance != nullptr) table_.release(*lane.instance);
  lanes_.erase(lane.id);
}

void RouterCore::close_upstream(Upstream& upstream) {
  drop_unflushed(upstream.unflushed);
  VALKYRIE_ASSERT(upstream.outstanding == 0);
  if (upstream.instance != nullptr) {
    Connection* connection = touch(upstream.instance->info->connection);
    if (connection != nullptr && upstream.stream != 0) {
      static_cast<void>(connection->session->send_end(upstream.stream));
    }
    table_.release(*upstream.instance);
  }
  upstreams_.erase(upstream.id);
}

void RouterCore::set_idle(Lane& lane) {
  set_busy(lane);
  lane.idle = true;
  lane.idle_since = now_;
  lane.idle_previous = idle_last_;
  (idle_last_ == nullptr ? idle_first_ : idle_last_->idle_next) = &lane;
  idle_last_ = &lane;
}

void RouterCore::set_busy(Lane& lane) {
  if (!std::exchange(lane.idle, false)) return;
  (lane.idle_previous == nullptr ? idle_first_ : lane.idle_previous->idle_next) = lane.idle_next;
  (lane.idle_next == nullptr ? idle_last_ : lane.idle_next->idle_previous) = lane.idle_previous;
  lane.idle_next = lane.idle_previous = nullptr;
}

// Gives a call to what is behind an upstream. Unless it was taken nothing has changed; if it was,
// the call may be over.
RouterCore::Written RouterCore::write(Upstream& upstream, Call& call, const Message& message) {
  if (upstream.service != nullptr) {
    serve(upstream, call, message);
    return Written::taken;
  }
  if (upstream.instance->removed) return Written::gone;
  if (call.binding == nullptr && !upstream.instance->has_room()) return Written::busy;
  return write_to_session(upstream, call, message);
}

RouterCore::Written RouterCore::write_to_session(Upstream& upstream, Call& call,
                                                 const Message& message) {
  Connection* connection = touch(upstream.instance->info->connection);
  if (connection == nullptr || connection->leaving) return Written::gone;
  protocol::Session& session = *connection->session;
  const protocol::Outgoing request{.metadata = message.metadata,
                                   .payload = message.payload,
                                   .qos = call.qos,
                                   .cookie = tagged(Tag::call, call.id)};
  std::expected<protocol::Sent, SendError> sent = std::unexpected(SendError::closed);
  // Twice, since the stream may turn out to be used up.
  for (int attempt = 0; attempt < 2 && !sent; ++attempt) {
    if (const auto opened = open_stream(upstream, session); !opened) {
      sent = std::unexpected(opened.error());
      break;
    }
    sent = call.notify ? session.send_notify(upstream.stream, request)
                       : session.send_request(upstream.stream, request);
    if (sent) break;
    if (sent.error() != SendError::exhausted && sent.error() != SendError::closed) break;
    static_cast<void>(session.send_end(upstream.stream));
    upstream.stream = 0;
  }
  if (!sent) {
    switch (sent.error()) {
      case SendError::too_large:
        return Written::too_large;
      case SendError::queue_full:
      case SendError::in_flight_max:
      case SendError::stream_limit:
        return Written::full;
      default:
        return Written::gone;
    }
  }
  call.upstream_stream = upstream.stream;
  call.upstream_correlation = sent->correlation;
  enter(call, upstream);
  if (!sent->waiting) {
    release_request(call);
    if (call.notify) forget(call);
  } else if (call.notify) {
    call.next = upstream.unflushed;
    if (call.next != nullptr) call.next->previous = &call;
    upstream.unflushed = &call;
  }
  return Written::taken;
}

std::expected<std::uint32_t, SendError> RouterCore::open_stream(Upstream& upstream,
                                                                protocol::Session& session) {
  if (upstream.stream != 0) return upstream.stream;
  const auto opened = session.open_stream(
      protocol::StreamKind::call, 0,
      {.metadata = upstream.open->metadata, .payload = {}, .qos = upstream.open->qos},
      tagged(Tag::upstream, upstream.id));
  if (opened) upstream.stream = *opened;
  return opened;
}

// Hands a call to a local service, which may answer it before this returns.
void RouterCore::serve(Upstream& upstream, Call& call, const Message& message) {
  enter(call, upstream);
  release_request(call);
  if (call.notify) {
    ++stats.notifies_dropped;
    return forget(call);
  }
  const std::string_view method = method_of(call, message.metadata);
  const auto declared = std::ranges::find(upstream.info->methods, method, &LocalMethod::name);
  if (declared == upstream.info->methods.end() || declared->kind != protocol::StreamKind::call) {
    return refuse_method(upstream, call, method);
  }
  const auto metadata = protocol::parse_metadata(message.metadata, protocol::FrameType::request,
                                                 protocol::MetadataReader::relay);
  const Caller caller = caller_of(*upstream.open);
  upstream.service->on_request(LocalCall(*this, call.id),
                               {.method = method,
                                .payload = message.payload,
                                .metadata = metadata ? *metadata : protocol::MetadataView(),
                                .qos = call.qos,
                                .caller = caller},
                               now_);
}

void RouterCore::refuse_method(Upstream& upstream, Call& call, std::string_view method) {
  const bool known = std::ranges::find(upstream.info->methods, method, &LocalMethod::name) !=
                     upstream.info->methods.end();
  const std::string text =
      known ? fmt::format("{}/{} is a stream; open one of kind stream", upstream.info->name, method)
            : fmt::format("{} has no method \"{}\"", upstream.info->name, method);
  answer_upstream(call, {StatusCode::unimplemented, Outcome::not_executed, text});
}

// Forgets notifies whose stream is over.
void RouterCore::drop_unflushed(Call*& list) {
  while (list != nullptr) {
    release_request(*list);
    forget(*list);
  }
}

}  // namespace valkyrie::router
