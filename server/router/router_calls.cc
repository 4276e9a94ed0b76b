#include <fmt/format.h>

#include "protocol/big_endian.h"
#include "server/router/router_core.h"

namespace valkyrie::router {
namespace {

using protocol::MetadataKey;
using protocol::MetadataView;
using protocol::MetadataWriter;
using protocol::Status;

bool expired(const MetadataView& metadata) {
  const auto left = metadata.deadline();
  return left && *left <= protocol::Duration::zero();
}

std::optional<std::uint64_t> affinity_of(const MetadataView& metadata) {
  const auto value = metadata.find(MetadataKey::affinity);
  if (!value) return std::nullopt;
  return registry::stable_hash({reinterpret_cast<const char*>(value->data()), value->size()});
}

// STATUS of an answer; OK if there is none. Of end-to-end entries it is the first.
Status status_of(Bytes answer) {
  if (answer.empty() || answer[0] != static_cast<std::byte>(MetadataKey::status)) return {};
  const std::size_t bytes = protocol::load_big_endian<std::uint16_t>(answer.data() + 1);
  const Bytes value = answer.subspan(protocol::kEntryHeaderBytes, bytes);
  return protocol::decode_status(value).value_or(Status{});
}

// What a call is placed by, where its service goes by it.
std::uint64_t key_of(const Binding& binding, const MetadataView& metadata) {
  if (!binding.hashed) return 0;
  return affinity_of(metadata).value_or(binding.open->key);
}

std::string loss_text(const OpenInfo& open, const registry::Instance& instance,
                      const protocol::Event& event) {
  return fmt::format("{}: instance \"{}\" gave no answer ({}){}", open.target,
                     instance.info->instance, to_string(event.code),
                     event.outcome == Outcome::not_executed ? "" : "; it may have executed");
}

// Whom calls without AFFINITY stay together by.
std::uint64_t caller_key(const OpenInfo& open) {
  if (!open.identity.empty()) return registry::stable_hash(open.identity);
  return registry::stable_hash(fmt::format("{}/{}", open.shard, open.connection));
}

}  // namespace

StatusMetadata::StatusMetadata(const Status& status) {
  MetadataWriter writer(buffer_);
  if (status.code != StatusCode::ok) writer.status(status);
  const auto written = writer.finish();
  VALKYRIE_ASSERT(written.has_value());
  bytes_ = *written;
}

StatusCode refusal_code(registry::NoChoice why) {
  switch (why) {
    case registry::NoChoice::all_busy:
    case registry::NoChoice::at_limit:
      return StatusCode::resource_exhausted;
    case registry::NoChoice::unknown_method:
      return StatusCode::unimplemented;
    default:
      return StatusCode::unavailable;
  }
}

void RouterCore::bind(ConnectionId id, const Event& event) {
  const std::uint64_t made = bindings_.make();
  Binding& binding = *bindings_.find(made);
  binding.id = made;
  binding.connection = id;
  binding.stream = event.stream;
  binding.pin = (event.options & protocol::kStreamOptionPin) != 0;
  binding.wait = (event.options & protocol::kStreamOptionWait) != 0;
  const std::string_view target = *event.metadata.service();
  binding.service = &table_.refer(target);
  const protocol::Duration usual = binding.service->settings().deadline;
  binding.open =
      open_info(id, event, target,
                usual == protocol::kDeadlineDefault ? std::nullopt
                                                    : std::optional<protocol::Duration>(usual));
  binding.hashed = binding.service->settings().balance == messages::Balance::consistent_hash;
  binding.qos_rules = qos_rules(id, target);
  touch(id)->session->set_user(event.stream, tagged(Tag::binding, made));
}

// What the next hop is told: what the caller said, who it is, and one hop more. `deadline` is for a
// stream without one.
std::shared_ptr<OpenInfo> RouterCore::open_info(ConnectionId id, const Event& event,
                                                std::string_view target,
                                                std::optional<protocol::Duration> deadline) {
  const Connection& connection = *connections_.find(id);
  auto open = std::make_shared<OpenInfo>();
  open->target = target;
  open->method = event.metadata.method().value_or(std::string_view());
  open->qos = event.qos;
  open->shard = config_.shard;
  open->connection = id;
  open->address = connection.address;
  open->identity = connection.identity;
  open->gate = connection.gate;
  open->key = affinity_of(event.metadata).value_or(caller_key(*open));

  std::array<std::byte, protocol::kHopMetadataBytes> hop;
  MetadataWriter writer(hop);
  if (const auto left = event.metadata.deadline()) deadline = *left;
  if (deadline) writer.deadline(*deadline);
  writer.service(target);
  if (!open->method.empty()) writer.method(open->method);
  if (!open->identity.empty()) writer.put(MetadataKey::identity, open->identity);
  const std::uint8_t hops = event.metadata.octet(MetadataKey::hops).value_or(0);
  writer.octet(MetadataKey::hops, static_cast<std::uint8_t>(hops + 1));
  const auto entries = writer.finish();
  VALKYRIE_ASSERT(entries.has_value());
  const auto size = rewrite_for_next_hop(event.metadata, *entries,
                                         protocol::PairTrust::strip_node_pairs, scratch_);
  VALKYRIE_ASSERT(size.has_value());
  const Bytes all = Bytes(scratch_).first(*size);
  open->metadata.assign(all.begin(), all.end());
  return open;
}

// The stream is over; calls that run end in `abandoned` events, each for itself.
void RouterCore::unbind(Binding& binding) {
  if (binding.over) return;
  while (binding.unflushed != nullptr) {
    pay(binding.unflushed->debt);
    forget(*binding.unflushed);
  }
  binding.over = true;
  for (std::size_t i = binding.lanes.size(); i > 0; --i) {
    if (Lane& lane = *binding.lanes[i - 1].lane; lane.outstanding == 0) close_lane(lane);
  }
  free_if_done(binding);
}

void RouterCore::free_if_done(Binding& binding) {
  if (!binding.over || binding.outstanding > 0 || !binding.lanes.empty()) return;
  table_.release(*binding.service);
  bindings_.erase(binding.id);
}

void RouterCore::on_request(Binding& binding, const Event& event) {
  ++stats.calls;
  const std::uint64_t id = calls_.make();
  Call& call = *calls_.find(id);
  call.id = id;
  call.binding = &binding;
  call.correlation = event.correlation;
  call.since = now_;
  call.request_cost = event.cost;
  call.qos = scheduled_qos(binding, event);
  call.key = key_of(binding, event.metadata);
  ++binding.outstanding;
  touch(binding.connection)
      ->session->set_cookie(event.stream, event.correlation, tagged(Tag::call, id));
  if (expired(event.metadata)) {
    return answer_status(call, {StatusCode::deadline_exceeded, Outcome::not_executed,
                                "the deadline had passed when the request came"});
  }
  if (const auto status = turned_away(call, event.metadata)) return answer_status(call, *status);
  route(call, {.metadata = forwarded(event.metadata), .payload = event.payload});
}

void RouterCore::on_notify(Binding& binding, const Event& event) {
  ++stats.notifies;
  const std::uint64_t id = calls_.make();
  Call& call = *calls_.find(id);
  call.id = id;
  call.binding = &binding;
  call.request_cost = event.cost;
  call.qos = scheduled_qos(binding, event);
  call.notify = true;
  call.key = key_of(binding, event.metadata);
  ++binding.outstanding;
  if (turned_away(call, event.metadata)) return answer_status(call, {});
  route(call, {.metadata = forwarded(event.metadata), .payload = event.payload});
}

// Entries that go on to the instance. Mostly those that came, as they are.
Bytes RouterCore::forwarded(const MetadataView& metadata) {
  const bool only_end = metadata.end_bytes().size() == metadata.bytes().size();
  if (only_end && !metadata.has_node_pair()) return metadata.bytes();
  return rewritten(metadata, metadata.deadline());
}

// End-to-end entries alone, as they are.
Bytes RouterCore::onward(const MetadataView& metadata) {
  const bool only_end = metadata.end_bytes().size() == metadata.bytes().size();
  if (only_end && !metadata.has_node_pair()) return metadata.bytes();
  const auto size =
      rewrite_for_next_hop(metadata, {}, protocol::PairTrust::strip_node_pairs, scratch_);
  VALKYRIE_ASSERT(size.has_value());
  return Bytes(scratch_).first(*size);
}

// Entries of a request with another DEADLINE; valid until the next call.
Bytes RouterCore::rewritten(const MetadataView& metadata,
                            std::optional<protocol::Duration> deadline) {
  std::array<std::byte, protocol::kHopMetadataBytes> hop;
  MetadataWriter writer(hop);
  if (deadline) writer.deadline(*deadline);
  if (const auto method = metadata.method()) writer.method(*method);
  if (const auto attempt = metadata.octet(MetadataKey::attempt)) {
    writer.octet(MetadataKey::attempt, *attempt);
  }
  const auto entries = writer.finish();
  VALKYRIE_ASSERT(entries.has_value());
  const auto size =
      rewrite_for_next_hop(metadata, *entries, protocol::PairTrust::strip_node_pairs, scratch_);
  VALKYRIE_ASSERT(size.has_value());
  return Bytes(scratch_).first(*size);
}

// METHOD of the request, else of its stream.
std::string_view RouterCore::method_of(const Call& call, Bytes metadata) const {
  if (!metadata.empty()) {
    const auto view = protocol::parse_metadata(metadata, protocol::FrameType::request,
                                               protocol::MetadataReader::relay);
    if (view && view->method()) return *view->method();
  }
  return call.binding != nullptr ? call.binding->open->method : call.upstream->open->method;
}

// Finds an instance for a call and gives it to it; what no instance takes is answered here.
void RouterCore::route(Call& call, const Message& message) {
  Binding& binding = *call.binding;
  registry::Service& service = *binding.service;
  call.state = Call::State::routing;
  if (draining) {
    return answer_status(call, {StatusCode::unavailable, Outcome::not_executed,
                                "this node is draining; call another"});
  }
  if (service.is_builtin()) {
    offer(call, nullptr, message);
    return;
  }
  const std::string_view method = method_of(call, message.metadata);
  const bool is_default = method.data() == binding.open->method.data();
  if (!is_default || binding.checked_generation != service.generation()) {
    if (!service.may_have(method)) return refuse(call, registry::NoChoice::unknown_method, method);
    if (is_default) binding.checked_generation = service.generation();
  }
  while (call.tried_count < kCallOffersMax) {
    registry::Choice choice;
    if (binding.pinned != 0) {
      choice.instance = table_.find(binding.pinned);
      if (choice.instance != nullptr && !choice.instance->has_room()) {
        return refuse(call, registry::NoChoice::all_busy, method);
      }
      if (choice.instance == nullptr) {
        if (Connection* connection = touch(binding.connection)) {
          connection->session->reset(binding.stream, CloseCode::destination_lost,
                                     "the instance that the stream is pinned to is gone");
        }
        return answer_status(call, {StatusCode::unavailable, Outcome::not_executed, {}});
      }
    } else {
      choice = choose(service, method, std::span(call.tried).first(call.tried_count), call.key);
    }
    if (choice.instance == nullptr) {
      if (may_wait(service, choice.why, binding.wait && !call.notify, call.found_full)) {
        return park(call, message, choice.why);
      }
      return refuse(call, choice.why, method);
    }
    // Before the offer, since the call and with it the binding may be over when it returns.
    const bool is_first = binding.pin && binding.pinned == 0;
    if (is_first) binding.pinned = choice.instance->info->id;
    if (offer(call, choice.instance, message)) return;
    if (is_first) binding.pinned = 0;
  }
  refuse(call, registry::NoChoice::all_busy, method);
}

// Gives a call to an instance, or to a local service; false if it does not take it. The call may
// be over when this returns true.
bool RouterCore::offer(Call& call, registry::Instance* instance, const Message& message) {
  Lane& lane = lane_to(*call.binding, instance);
  enter(call, lane);
  if (lane.shard != config_.shard) {
    send_request(call, lane, message);
    return true;
  }
  const Written written = write(*lane.upstream, call, message);
  if (written == Written::taken) return true;
  leave_lane(call);
  if (written == Written::too_large) {
    answer_status(call, {StatusCode::resource_exhausted, Outcome::not_executed,
                         "the request is longer than the instance accepts"});
    return true;
  }
  ++stats.moved;
  call.found_full = call.found_full || written == Written::full;
  call.tried[call.tried_count++] = instance->info->id;
  call.state = Call::State::routing;
  return false;
}

void RouterCore::refuse(Call& call, registry::NoChoice why, std::string_view method) {
  // Whoever was asked and is gone is not busy.
  if (why == registry::NoChoice::all_busy && !call.found_full && call.tried_count > 0 &&
      call.tried_count >= call.binding->service->ready().size()) {
    why = registry::NoChoice::no_instance;
  }
  if (call.notify) {
    answer_status(call, {});
    return;
  }
  const std::string text = refusal_text(*call.binding->service, why, method);
  answer_status(call, {refusal_code(why), Outcome::not_executed, text});
}

// Ends a call with a status of the node's own.
void RouterCore::answer_status(Call& call, const Status& status) {
  if (call.notify) {
    ++stats.notifies_dropped;
    release_request(call);
    return forget(call);
  }
  ++stats.answers[static_cast<std::size_t>(status.code)];
  release_request(call);
  complete(call, {.metadata = StatusMetadata(status).bytes(), .payload = {}}, {});
}

// The answer goes to the caller's session, whatever became of the caller: that ends the request.
// What it owes upstream is paid when the answer has left.
void RouterCore::complete(Call& call, const Message& answer, const Debt& debt) {
  Binding& binding = *call.binding;
  if (call.lane != nullptr) leave_lane(call);
  bool waiting = false;
  if (Connection* connection = touch(binding.connection)) {
    protocol::Session& session = *connection->session;
    const protocol::Outgoing response{.metadata = answer.metadata,
                                      .payload = answer.payload,
                                      .qos = call.qos,
                                      .cookie = tagged(Tag::call, call.id)};
    const auto sent = session.send_response(binding.stream, call.correlation, response);
    if (!sent && sent.error() == protocol::SendError::too_large) {
      pay(debt);
      return answer_status(call, {StatusCode::resource_exhausted, Outcome::executed,
                                  "the answer is longer than the caller accepts"});
    }
    if (!sent && sent.error() == protocol::SendError::queue_full) {
      session.reset(binding.stream, protocol::CloseCode::slow_peer, "answers are not taken");
      static_cast<void>(session.send_response(binding.stream, call.correlation, {}));
    }
    waiting = sent && sent->waiting && !binding.over;
  }
  count(call, answer.metadata);
  if (!waiting || debt.bytes == 0) {
    pay(debt);
    return forget(call);
  }
  call.state = Call::State::unflushed;
  call.debt = debt;
  call.next = binding.unflushed;
  if (call.next != nullptr) call.next->previous = &call;
  binding.unflushed = &call;
}

// Counts a call that ends with this answer, for its service.
void RouterCore::count(const Call& call, Bytes answer) {
  registry::ServiceCounts* counts = call.binding->service->home().counts(config_.shard);
  if (counts == nullptr) return;
  const Status status = status_of(answer);
  counts->note_call(status.code, status.outcome, now_ - call.since);
}

// An answer came from the instance or local service behind an upstream of this shard.
void RouterCore::answered(Call& call, const Message& answer, std::uint8_t qos, const Debt& debt) {
  release_request(call);
  const std::uint64_t lane = call.upstream->lane;
  leave_upstream(call);
  if (call.binding != nullptr) return complete(call, answer, debt);
  ShardMessage response = letter(ShardMessage::Type::response, call.origin_call);
  response.lane = lane;
  response.qos = qos;
  response.stream = debt.stream;
  response.bytes = debt.bytes;
  response.body = body_of(answer.metadata, answer.payload);
  post(call.origin_shard, std::move(response));
  forget(call);
}

// Takes a call out of everything that points at it.
void RouterCore::forget(Call& call) {
  if (call.previous != nullptr) call.previous->next = call.next;
  if (call.next != nullptr) call.next->previous = call.previous;
  if (call.binding != nullptr && call.binding->unflushed == &call) {
    call.binding->unflushed = call.next;
  }
  if (call.upstream != nullptr && call.upstream->unflushed == &call) {
    call.upstream->unflushed = call.next;
  }
  if (call.upstream != nullptr) leave_upstream(call);
  if (call.lane != nullptr) leave_lane(call);
  if (call.limited) call.binding->open->gate->end_call();
  if (call.origin_call != 0) far_calls_[call.origin_shard][call.origin_call] = nullptr;
  Binding* binding = call.binding;
  calls_.erase(call.id);
  if (binding == nullptr) return;
  --binding->outstanding;
  free_if_done(*binding);
}

// The request has left: its bytes go back to its caller.
void RouterCore::release_request(Call& call) {
  const std::uint32_t bytes = std::exchange(call.request_cost, 0);
  if (bytes == 0) return;
  if (call.binding == nullptr) {
    return owe(call.origin_shard, ShardMessage::Type::request_credit, call.upstream->lane, 0,
               bytes);
  }
  if (Connection* connection = touch(call.binding->connection)) {
    connection->session->consume(call.binding->stream, bytes);
  }
}

void RouterCore::on_cancel(Call& call) {
  if (std::exchange(call.cancelled, true)) return;
  if (call.state == Call::State::parked) {
    unpark(call.parked->waiter);
    return answer_status(call, {StatusCode::cancelled, Outcome::not_executed, "cancelled"});
  }
  if (call.state != Call::State::out) return;
  if (call.upstream == nullptr) {
    return post(call.lane->shard, letter(ShardMessage::Type::cancel, call.id));
  }
  if (call.upstream->service != nullptr) {
    return call.upstream->service->on_cancel(LocalCall(*this, call.id), now_);
  }
  if (Connection* connection = touch(call.upstream->instance->info->connection)) {
    connection->session->cancel(call.upstream_stream, call.upstream_correlation);
  }
}

// The caller is gone. The answer still comes, and ends the request in the caller's session.
void RouterCore::on_abandoned(Call& call) { on_cancel(call); }

void RouterCore::on_response(Call& call, ConnectionId from, const Event& event) {
  const auto status = event.metadata.status();
  const StatusCode code = status ? status->code : StatusCode::ok;
  ++stats.answers[static_cast<std::size_t>(code)];
  note_answer(*call.upstream->instance, code);
  answered(call, {.metadata = onward(event.metadata), .payload = event.payload}, event.qos,
           {.shard = config_.shard, .stream = event.stream, .bytes = event.cost, .holder = from});
}

void RouterCore::on_request_failed(Call& call, const Event& event) {
  const StatusCode code =
      event.status != StatusCode::ok ? event.status : protocol::caller_status(event.code);
  // One whose connection is lost goes anyway.
  if (const Connection* there = connections_.find(call.upstream->instance->info->connection);
      there != nullptr && !there->leaving && event.outcome != Outcome::not_executed) {
    note_answer(*call.upstream->instance, code);
  }
  const std::string text = loss_text(*call.upstream->open, *call.upstream->instance, event);
  answer_upstream(call, {code, event.outcome, text});
}

// Ends a call that is at an upstream with a status instead of what the instance would have said.
void RouterCore::answer_upstream(Call& call, const Status& status) {
  ++stats.answers[static_cast<std::size_t>(status.code)];
  answered(call, {.metadata = StatusMetadata(status).bytes(), .payload = {}}, call.qos, {});
}

}  // namespace valkyrie::router
