// A stream from its STREAM_OPEN to its other end: docs/spec/calls.md, "Streams through a node".
#include <algorithm>
#include <fmt/format.h>

#include "protocol/big_endian.h"
#include "server/router/router_core.h"

namespace valkyrie::router {

using protocol::SendError;
using protocol::Status;
using Type = ShardMessage::Type;

void RouterCore::take_stream(ConnectionId id, const Event& event) {
  ++stats.streams;
  ++streams_;
  const std::uint64_t made = ends_.make();
  StreamEnd& end = *ends_.find(made);
  end.id = made;
  end.connection = id;
  end.stream = event.stream;
  touch(id)->session->set_user(event.stream, tagged(Tag::stream, made));
  const std::string_view target = *event.metadata.service();
  end.opening = std::make_unique<Opening>();
  Opening& opening = *end.opening;
  opening.service = &table_.refer(target);
  if (auto* counts = opening.service->home().counts(config_.shard)) counts->note_stream();
  auto open = open_info(id, event, target);
  const auto denial = forbidden_call(*open, open->method, event.metadata);
  end.qos_class = class_by_rule(qos_rules(id, target), id, open->method, event.metadata);
  end.gate = open->gate;
  open->qos = lowered(reclassed(open->qos, end.qos_class), end.gate.get());
  opening.open = std::move(open);
  opening.wait = (event.options & protocol::kStreamOptionWait) != 0;
  opening.since = now_;
  if (const auto left = event.metadata.deadline()) {
    opening.deadline = now_ + std::min(*left, protocol::kDeadlineMax);
  }
  if (denial) {
    return refuse(end, {StatusCode::permission_denied, Outcome::not_executed, *denial});
  }
  if (const auto limit = over_limit(end.gate.get(), end.limited)) {
    return refuse(end, {StatusCode::resource_exhausted, Outcome::not_executed, *limit});
  }
  route(end);
}

// Finds the other end of a stream; one that has none is refused here.
void RouterCore::route(StreamEnd& end) {
  Opening& opening = *end.opening;
  registry::Service& service = *opening.service;
  if (draining) {
    return refuse(end, {StatusCode::unavailable, Outcome::not_executed,
                        "this node is draining; use another"});
  }
  if (opening.deadline && *opening.deadline <= now_) {
    return refuse(end, {StatusCode::deadline_exceeded, Outcome::not_executed,
                        "the deadline passed before an instance had the stream"});
  }
  if (service.is_builtin()) return open_local(end);
  const std::string_view method = opening.open->method;
  if (!service.may_have(method)) return refuse(end, registry::NoChoice::unknown_method);
  while (opening.tried_count < kCallOffersMax) {
    const registry::Choice choice = choose(
        service, method, std::span(opening.tried).first(opening.tried_count), opening.open->key);
    if (choice.instance == nullptr) {
      if (may_wait(service, choice.why, opening.wait, opening.found_full)) {
        return park(end, choice.why);
      }
      return refuse(end, choice.why);
    }
    if (offer(end, *choice.instance)) return;
  }
  refuse(end, registry::NoChoice::all_busy);
}

// Offers a stream to an instance; false if it does not take it. One on another shard says so
// later.
bool RouterCore::offer(StreamEnd& end, registry::Instance& instance) {
  Opening& opening = *end.opening;
  stamp_deadline(opening);
  end.instance = &instance;
  ++instance.references;
  occupy(instance);
  const registry::InstanceInfo& info = *instance.info;
  if (info.shard != config_.shard) {
    ShardMessage open = letter(Type::stream_open, end.id);
    open.number = info.id;
    open.open = opening.open;
    post_to_instance(std::move(open), instance);
    return true;
  }
  const auto opened = open_instance(info.id, *opening.open, config_.shard, end.id);
  if (opened) {
    connect(end, (*opened)->id, config_.shard);
    return true;
  }
  ++stats.moved;
  opening.found_full = opening.found_full || opened.error() == RefusalReason::full;
  opening.tried[opening.tried_count++] = info.id;
  leave_instance(end);
  return false;
}

// A relay that held a stream says what is left of its deadline, which is the first entry of its
// metadata if it has one.
void RouterCore::stamp_deadline(Opening& opening) {
  if (!opening.deadline || now_ - opening.since <= protocol::kRelayHeld) return;
  auto open = std::make_shared<OpenInfo>(*opening.open);
  VALKYRIE_ASSERT(open->metadata.front() == std::byte{1});
  protocol::store_big_endian(open->metadata.data() + protocol::kEntryHeaderBytes,
                             static_cast<std::uint64_t>((*opening.deadline - now_).count()));
  opening.open = std::move(open);
}

// On the shard of the instance: opens the stream to it, for a caller of any shard.
std::expected<StreamEnd*, RefusalReason> RouterCore::open_instance(std::uint64_t instance,
                                                                   const OpenInfo& open,
                                                                   std::uint32_t shard,
                                                                   std::uint64_t caller) {
  registry::Instance* const found = table_.find(instance);
  if (found == nullptr || found->removed) return std::unexpected(RefusalReason::gone);
  const bool is_far = shard != config_.shard;
  if (is_far && !found->has_room()) return std::unexpected(RefusalReason::busy);
  const ConnectionId id = found->info->connection;
  Connection* connection = touch(id);
  if (connection == nullptr || connection->leaving) return std::unexpected(RefusalReason::gone);
  const std::uint64_t made = ends_.make();
  const auto opened = connection->session->open_stream(
      protocol::StreamKind::stream, 0, {.metadata = open.metadata, .payload = {}, .qos = open.qos},
      tagged(Tag::stream, made));
  if (!opened) {
    ends_.erase(made);
    const bool full =
        opened.error() == SendError::stream_limit || opened.error() == SendError::queue_full;
    return std::unexpected(full ? RefusalReason::full : RefusalReason::gone);
  }
  StreamEnd& end = *ends_.find(made);
  end.kind = StreamEnd::Kind::instance;
  end.id = made;
  end.other = caller;
  end.other_shard = shard;
  end.connection = id;
  end.stream = *opened;
  end.instance = found;
  ++found->references;
  if (is_far) ++found->outstanding;
  registry::InstanceGauge& gauge = found->info->gauge;
  gauge.in_flight.store(gauge.in_flight.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
  gauge.calls.store(gauge.calls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return &end;
}

// The instance of an end is not busy with its stream any more.
void RouterCore::leave_instance(StreamEnd& end) {
  registry::Instance* const instance = std::exchange(end.instance, nullptr);
  if (instance == nullptr) return;
  const bool is_caller = end.kind == StreamEnd::Kind::caller;
  if (is_caller || end.other_shard != config_.shard) vacate(*instance, is_caller);
  if (!is_caller) {
    registry::InstanceGauge& gauge = instance->info->gauge;
    gauge.in_flight.store(gauge.in_flight.load(std::memory_order_relaxed) - 1,
                          std::memory_order_relaxed);
  }
  table_.release(*instance);
}

// A local service has a stream of each caller, so it is never busy.
void RouterCore::open_local(StreamEnd& end) {
  const std::shared_ptr<const OpenInfo> open = end.opening->open;
  const std::uint32_t index = end.opening->service->builtin();
  const LocalServiceInfo& info = locals_[index].info;
  const auto method = std::ranges::find(info.methods, open->method, &LocalMethod::name);
  if (method == info.methods.end() || method->kind != protocol::StreamKind::stream) {
    const std::string text = method == info.methods.end()
                                 ? fmt::format("{} has no method \"{}\"", info.name, open->method)
                                 : fmt::format("{}/{} is unary; call it", info.name, open->method);
    return refuse(end, {StatusCode::unimplemented, Outcome::not_executed, text});
  }
  end.to_service = true;
  if (shard_of(index) == config_.shard) {
    StreamEnd& made = make_service_end(index, config_.shard, end.id);
    connect(end, made.id, config_.shard);
    return start_service(made, *open);
  }
  ShardMessage message = letter(Type::stream_open, end.id);
  message.number = index;
  message.more = true;
  message.open = open;
  post(0, std::move(message));
}

// The other end is there: it gets what came meanwhile.
void RouterCore::connect(StreamEnd& end, std::uint64_t other, std::uint32_t shard) {
  const std::unique_ptr<Opening> opening = std::move(end.opening);
  end.other = other;
  end.other_shard = shard;
  table_.release(*opening->service);
  for (Piece& piece : opening->pieces) {
    if (piece.end) {
      pass_end(end, piece.body.metadata());
    } else {
      pass_data(end, {.metadata = piece.body.metadata(), .payload = piece.body.payload()},
                piece.qos, piece.more, piece.cost, nullptr);
    }
    reuse(std::move(piece.body));
  }
}

void RouterCore::refuse(StreamEnd& end, registry::NoChoice why) {
  Opening& opening = *end.opening;
  // Whoever was asked and is gone is not busy.
  if (why == registry::NoChoice::all_busy && !opening.found_full && opening.tried_count > 0 &&
      opening.tried_count >= opening.service->ready().size()) {
    why = registry::NoChoice::no_instance;
  }
  const std::string text = refusal_text(*opening.service, why, opening.open->method);
  if (why != registry::NoChoice::no_instance) {
    return refuse(end, {refusal_code(why), Outcome::not_executed, text});
  }
  close_opening(end);
  if (Connection* connection = touch(end.connection)) {
    connection->session->reset(end.stream, CloseCode::no_service, text);
  }
}

// Ends a stream with a status of the node's own. What its caller still sends is not looked at.
void RouterCore::refuse(StreamEnd& end, const Status& status) {
  close_opening(end);
  take_end(end, StatusMetadata(status).bytes());
}

// No other end is looked for any more; what waited for it is dropped.
void RouterCore::close_opening(StreamEnd& end) {
  if (end.opening->waiter.queue != 0) unpark(end.opening->waiter);
  const std::unique_ptr<Opening> opening = std::move(end.opening);
  table_.release(*opening->service);
  for (Piece& piece : opening->pieces) {
    give_back(end, piece.cost);
    reuse(std::move(piece.body));
  }
}

void RouterCore::on_stream_message(std::uint32_t from, ShardMessage& message) {
  switch (message.type) {
    case Type::stream_open:
      return on_far_open(from, message);
    case Type::stream_accepted:
      return on_accepted(from, message);
    case Type::stream_refused:
      return on_stream_refused(message);
    default:
      break;
  }
  StreamEnd* const end = ends_.find(message.id);
  if (end == nullptr) {
    // It is over, which the other end will hear; data that crossed with that has left.
    if (message.type == Type::stream_data) {
      owe(from, Type::stream_credit, message.lane, 0, message.bytes);
    }
    return;
  }
  const Bytes payload = message.body.payload();
  switch (message.type) {
    case Type::stream_data:
      if (!take_data(*end, {.metadata = message.body.metadata(), .payload = payload}, message.qos,
                     message.more, message.bytes, nullptr)) {
        owe(from, Type::stream_credit, message.lane, 0, message.bytes);
      }
      return;
    case Type::stream_end:
      return take_end(*end, message.body.metadata());
    case Type::stream_reset:
      return take_reset(*end, message.code,
                        {reinterpret_cast<const char*>(payload.data()), payload.size()});
    case Type::stream_closed:
      return take_closed(*end);
    case Type::stream_credit:
      return take_credit(*end, message.bytes);
    default:
      return;
  }
}

// On the shard of the other end.
void RouterCore::on_far_open(std::uint32_t from, const ShardMessage& message) {
  StreamEnd* end = nullptr;
  if (message.more) {
    end = &make_service_end(static_cast<std::uint32_t>(message.number), from, message.id);
  } else {
    if (registry::Instance* instance = table_.find(message.number)) {
      take_room(*instance, from, message);
    }
    const auto opened = open_instance(message.number, *message.open, from, message.id);
    if (!opened) {
      ShardMessage refused = letter(Type::stream_refused, message.id);
      refused.reason = opened.error();
      if (refused.reason == RefusalReason::busy) {
        table_.find(message.number)->hungry |= std::uint64_t{1} << from;
      }
      return post(from, std::move(refused));
    }
    end = *opened;
  }
  ShardMessage accepted = letter(Type::stream_accepted, message.id);
  accepted.number = end->id;
  post(from, std::move(accepted));
  if (message.more) start_service(*end, *message.open);
}

// Back on the shard of the caller, who may have given up meanwhile.
void RouterCore::on_accepted(std::uint32_t from, const ShardMessage& message) {
  if (StreamEnd* end = ends_.find(message.id)) return connect(*end, message.number, from);
  ShardMessage reset = letter(Type::stream_reset, message.number);
  reset.code = CloseCode::cancelled;
  post(from, std::move(reset));
}

void RouterCore::on_stream_refused(const ShardMessage& message) {
  StreamEnd* const end = ends_.find(message.id);
  if (end == nullptr) return;
  Opening& opening = *end->opening;
  ++stats.moved;
  if (message.reason == RefusalReason::busy) {
    end->instance->is_full = true;
  } else {
    opening.found_full = opening.found_full || message.reason == RefusalReason::full;
    opening.tried[opening.tried_count++] = end->instance->info->id;
  }
  leave_instance(*end);
  route(*end);
}

}  // namespace valkyrie::router
