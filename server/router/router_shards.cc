#include <algorithm>
#include <limits>

#include "server/router/router_core.h"

namespace valkyrie::router {
namespace {

using Type = ShardMessage::Type;

// Buffers kept for the next messages, and the largest that is.
constexpr std::size_t kSpareBuffersMax = 256;
constexpr std::size_t kSpareBufferBytesMax = 16U << 10U;
// Entries of a turn's credit that are looked at to add to.
constexpr std::size_t kCreditEntriesTried = 8;

}  // namespace

ShardMessage RouterCore::letter(Type type, std::uint64_t id) {
  ShardMessage message;
  message.type = type;
  message.id = id;
  return message;
}

Body RouterCore::body_of(Bytes metadata, Bytes payload) {
  Body body;
  if (!spare_.empty()) {
    body.bytes = std::move(spare_.back());
    spare_.pop_back();
  }
  body.bytes.assign(metadata.begin(), metadata.end());
  body.bytes.insert(body.bytes.end(), payload.begin(), payload.end());
  body.metadata_bytes = static_cast<std::uint32_t>(metadata.size());
  return body;
}

// What is not kept is freed here: the place in the ring it came from would hold it until the ring
// has gone round.
void RouterCore::reuse(Body&& body) {
  std::vector<std::byte> bytes = std::move(body.bytes);
  const std::size_t capacity = bytes.capacity();
  if (capacity == 0 || capacity > kSpareBufferBytesMax || spare_.size() == kSpareBuffersMax) return;
  bytes.clear();
  spare_.push_back(std::move(bytes));
}

void RouterCore::post(std::uint32_t shard, ShardMessage&& message) {
  VALKYRIE_ASSERT(shard != config_.shard && shard < config_.shards);
  outbox_.send(shard, std::move(message));
}

// Credit may wait for the end of the turn, and what is for the same stream goes together.
void RouterCore::owe(std::uint32_t shard, Type type, std::uint64_t lane, std::uint32_t stream,
                     std::uint32_t bytes) {
  if (bytes == 0) return;
  std::vector<ShardMessage>& owed = credit_[shard];
  const std::size_t first = owed.size() - std::min(owed.size(), kCreditEntriesTried);
  for (std::size_t i = owed.size(); i > first; --i) {
    ShardMessage& entry = owed[i - 1];
    if (entry.type != type || entry.lane != lane || entry.stream != stream) continue;
    if (entry.bytes > std::numeric_limits<std::uint32_t>::max() - bytes) continue;
    entry.bytes += bytes;
    return;
  }
  ShardMessage entry = letter(type, lane);
  entry.lane = lane;
  entry.stream = stream;
  entry.bytes = bytes;
  owed.push_back(std::move(entry));
}

void RouterCore::end_turn() {
  publish_.end_turn();
  for (std::uint32_t shard = 0; shard < credit_.size(); ++shard) {
    for (ShardMessage& entry : credit_[shard]) post(shard, std::move(entry));
    credit_[shard].clear();
  }
}

void RouterCore::pay(const Debt& debt) {
  if (debt.bytes == 0) return;
  if (debt.shard != config_.shard) {
    return owe(debt.shard, Type::response_credit, debt.holder, debt.stream, debt.bytes);
  }
  if (Connection* connection = touch(debt.holder)) {
    connection->session->consume(debt.stream, debt.bytes);
  }
}

std::uint64_t RouterCore::publish(registry::RouteUpdate update) {
  VALKYRIE_ASSERT(config_.shard == 0);
  update.revision = ++revision_;
  const auto shared = std::make_shared<const registry::RouteUpdate>(std::move(update));
  for (std::uint32_t shard = 1; shard < config_.shards; ++shard) {
    ShardMessage message = letter(Type::route, 0);
    message.route = shared;
    post(shard, std::move(message));
  }
  applied_[0] = revision_;
  apply(*shared);
  return revision_;
}

std::uint64_t RouterCore::routes_applied() const { return *std::ranges::min_element(applied_); }

void RouterCore::apply(const registry::RouteUpdate& update) {
  const registry::InstanceInfo& info = *update.info;
  if (info.shard == config_.shard) {
    Connection* connection = connections_.find(info.connection);
    if (update.kind == registry::RouteUpdate::Kind::remove && connection != nullptr) {
      std::erase(connection->instances, info.id);
    }
    if (update.kind == registry::RouteUpdate::Kind::add) {
      registry::Instance* added = table_.apply(update);
      if (connection != nullptr && !connection->leaving) {
        connection->instances.push_back(info.id);
        if (!draining) begin_probes(*added);
        wake(*added->home);
      } else {
        table_.withdraw(*added);
      }
      return;
    }
    registry::Instance* known = table_.find(info.id);
    const bool is_last = update.kind == registry::RouteUpdate::Kind::remove ||
                         update.state == messages::InstanceState::draining;
    if (known != nullptr && is_last) end_probes(*known);
    // Out or back, it begins anew.
    info.gauge.failures_in_row.store(0, std::memory_order_relaxed);
  }
  table_.apply(update);
  if (registry::Service* service = table_.find_service(info.service)) wake(*service);
}

void RouterCore::on_message(std::uint32_t from, ShardMessage&& message, Instant now) {
  now_ = now;
  switch (message.type) {
    case Type::route: {
      apply(*message.route);
      ShardMessage applied = letter(Type::route_applied, 0);
      applied.number = message.route->revision;
      return post(0, std::move(applied));
    }
    case Type::suspect:
      return suspect(message.number);
    case Type::probed:
      on_probed(message);
      return reuse(std::move(message.body));
    case Type::route_applied:
      applied_[from] = message.number;
      if (observer != nullptr) observer->on_routes_applied(routes_applied());
      return;
    case Type::stream_open:
    case Type::stream_data:
    case Type::stream_end:
    case Type::stream_reset:
    case Type::stream_closed:
    case Type::stream_credit:
    case Type::stream_accepted:
    case Type::stream_refused:
      on_stream_message(from, message);
      return reuse(std::move(message.body));
    case Type::interest:
    case Type::group:
    case Type::publication:
    case Type::group_publication:
    case Type::publication_credit:
      publish_.on_message(from, message);
      return reuse(std::move(message.body));
    default:
      on_call_message(from, message);
      return reuse(std::move(message.body));
  }
}

void RouterCore::on_call_message(std::uint32_t from, ShardMessage& message) {
  switch (message.type) {
    case Type::lane_open:
      return on_lane_open(from, message);
    case Type::request:
    case Type::notify:
      return on_far_request(from, message);
    case Type::refused:
      return on_refused(message);
    case Type::room:
      return on_room(from, message);
    case Type::room_back:
      return on_room_back(message);
    case Type::response:
      return on_far_response(from, message);
    case Type::lane_close: {
      Upstream*& upstream = far_lanes_[from][message.lane];
      if (upstream == nullptr || upstream->lane != message.lane) return;
      return close_upstream(*std::exchange(upstream, nullptr));
    }
    case Type::cancel: {
      Call* call = far_calls_[from][message.id];
      if (call != nullptr && call->origin_call == message.id) on_cancel(*call);
      return;
    }
    case Type::request_credit: {
      const Lane* lane = lanes_.find(message.lane);
      if (lane == nullptr) return;
      if (Connection* connection = touch(lane->binding->connection)) {
        connection->session->consume(lane->binding->stream, message.bytes);
      }
      return;
    }
    case Type::response_credit: {
      const Upstream* upstream = far_lanes_[from][message.lane];
      if (upstream == nullptr || upstream->lane != message.lane) return;
      if (Connection* connection = touch(upstream->instance->info->connection)) {
        connection->session->consume(message.stream, message.bytes);
      }
      return;
    }
    default:
      return;
  }
}

// Sends a call to the shard of its instance.
void RouterCore::send_request(Call& call, Lane& lane, const Message& message) {
  ShardMessage request = letter(call.notify ? Type::notify : Type::request, call.id);
  request.lane = lane.id;
  request.qos = call.qos;
  request.bytes = std::exchange(call.request_cost, 0);
  request.body = body_of(message.metadata, message.payload);
  if (lane.instance != nullptr) {
    post_to_instance(std::move(request), *lane.instance);
  } else {
    post(lane.shard, std::move(request));
  }
  if (call.notify) forget(call);
}

void RouterCore::on_lane_open(std::uint32_t from, const ShardMessage& message) {
  const std::uint64_t id = upstreams_.make();
  Upstream& upstream = *upstreams_.find(id);
  upstream.id = id;
  upstream.lane = message.lane;
  upstream.open = message.open;
  upstream.origin_shard = from;
  if (message.more) {
    const Local& local = locals_[message.number];
    upstream.service = local.service;
    upstream.info = &local.info;
  } else {
    upstream.instance_id = message.number;
    find_instance(upstream);
  }
  far_lanes_[from][message.lane] = &upstream;
}

// The caller's shard may hear of an instance before this one does, though it lives here: a lane
// that was opened too early finds it with a later request.
void RouterCore::find_instance(Upstream& upstream) {
  upstream.instance = table_.find(upstream.instance_id);
  if (upstream.instance != nullptr) ++upstream.instance->references;
}

// On the shard of the instance. What cannot be written goes back whole, to be offered elsewhere.
void RouterCore::on_far_request(std::uint32_t from, ShardMessage& message) {
  Upstream* upstream = far_lanes_[from][message.lane];
  VALKYRIE_ASSERT(upstream != nullptr && upstream->lane == message.lane);
  Written written = Written::gone;
  if (upstream->service == nullptr && upstream->instance == nullptr) find_instance(*upstream);
  if (upstream->instance != nullptr) take_room(*upstream->instance, from, message);
  if (upstream->service != nullptr || upstream->instance != nullptr) {
    const std::uint64_t id = calls_.make();
    Call& call = *calls_.find(id);
    call.id = id;
    call.origin_shard = from;
    call.request_cost = message.bytes;
    call.qos = message.qos;
    call.notify = message.type == Type::notify;
    if (!call.notify) {
      call.origin_call = message.id;
      far_calls_[from][message.id] = &call;
    }
    written = write(*upstream, call,
                    {.metadata = message.body.metadata(), .payload = message.body.payload()});
    if (written == Written::taken) return;
    call.request_cost = 0;
    forget(call);
  }
  ShardMessage refused = letter(Type::refused, message.type == Type::notify ? 0 : message.id);
  refused.lane = message.lane;
  refused.bytes = message.bytes;
  refused.body = std::move(message.body);
  if (written == Written::busy) {
    refused.reason = RefusalReason::busy;
    if (refused.id != 0) upstream->instance->hungry |= std::uint64_t{1} << from;
  }
  if (written == Written::full) refused.reason = RefusalReason::full;
  if (written == Written::too_large) refused.reason = RefusalReason::too_large;
  post(from, std::move(refused));
}

// Back on the caller's shard, the payload with it: another instance may take it.
void RouterCore::on_refused(ShardMessage& message) {
  Call* call = calls_.find(message.id);
  if (message.id == 0) {
    ++stats.notifies_dropped;
    const Lane* lane = lanes_.find(message.lane);
    Connection* connection = lane == nullptr ? nullptr : touch(lane->binding->connection);
    if (connection != nullptr) connection->session->consume(lane->binding->stream, message.bytes);
    return;
  }
  VALKYRIE_ASSERT(call != nullptr && call->lane != nullptr);
  call->request_cost = message.bytes;
  if (message.reason == RefusalReason::busy) {
    call->lane->instance->is_full = true;
  } else {
    call->tried[call->tried_count++] = call->lane->instance->info->id;
    call->found_full = call->found_full || message.reason == RefusalReason::full;
  }
  leave_lane(*call);
  ++stats.moved;
  if (call->cancelled) {
    return answer_status(*call, {StatusCode::cancelled, Outcome::not_executed, "cancelled"});
  }
  if (message.reason == RefusalReason::too_large) {
    return answer_status(*call, {StatusCode::resource_exhausted, Outcome::not_executed,
                                 "the request is longer than the instance accepts"});
  }
  route(*call, {.metadata = message.body.metadata(), .payload = message.body.payload()});
}

void RouterCore::on_far_response(std::uint32_t from, ShardMessage& message) {
  Call* call = calls_.find(message.id);
  VALKYRIE_ASSERT(call != nullptr);
  complete(
      *call, {.metadata = message.body.metadata(), .payload = message.body.payload()},
      {.shard = from, .stream = message.stream, .bytes = message.bytes, .holder = message.lane});
}

}  // namespace valkyrie::router
