// Calls and streams that wait for room at their service: docs/operating/services.md, "Limits".
#include <algorithm>
#include <fmt/format.h>

#include "server/router/router_core.h"

namespace valkyrie::router {

using protocol::FrameType;
using protocol::MetadataView;
using registry::NoChoice;
namespace {

std::optional<protocol::Duration> deadline_of(Bytes metadata, FrameType type) {
  const auto view = protocol::parse_metadata(metadata, type, protocol::MetadataReader::relay);
  return view ? view->deadline() : std::nullopt;
}

// What waits for a first instance has its place even where nobody else may wait.
std::size_t queue_bound(const registry::Service& service) {
  const std::uint32_t most = service.settings().queue_max;
  return most == 0 ? registry::ServiceSettings().queue_max : most;
}

}  // namespace

// The instance for a call or stream, if its service may have one more.
registry::Choice RouterCore::choose(registry::Service& service, std::string_view method,
                                    std::span<const std::uint64_t> tried, std::uint64_t key) {
  if (!service.home().within_limit() && !service.ready().empty()) {
    return {.why = NoChoice::at_limit};
  }
  service.advance(now_);
  return service.choose(method, tried, random_, key);
}

// Whether what found no instance waits for one. A connection that takes no more does not say when
// it will, so what was refused by one does not wait.
bool RouterCore::may_wait(const registry::Service& service, NoChoice why, bool for_first,
                          bool found_full) const {
  if (why == NoChoice::no_instance) return for_first;
  if (found_full || service.settings().queue_max == 0) return false;
  return why == NoChoice::all_busy || why == NoChoice::at_limit;
}

std::string RouterCore::refusal_text(const registry::Service& service, NoChoice why,
                                     std::string_view method) {
  std::string text = table_.explain(service, why, method);
  if (why != NoChoice::all_busy && why != NoChoice::at_limit) return text;
  if (service.ready().empty()) text = service.target() + ": no instance is ready";
  const WaitQueue* queue = queues_.find(service.home().queue);
  const std::size_t most = queue_bound(service);
  if (queue != nullptr && queue->size() >= most) text += fmt::format(", queue full ({})", most);
  return text + "; not executed, safe to retry";
}

// Gives a place in the queue of the service; false if it is full.
bool RouterCore::enqueue(registry::Service& service, Waiter& waiter, std::uint8_t qos,
                         bool waited) {
  registry::Service& home = service.home();
  const bool is_new = home.queue == 0;
  if (is_new) {
    home.queue = queues_.make();
    queues_.find(home.queue)->service = &home;
  }
  WaitQueue& queue = *queues_.find(home.queue);
  if (!waited && queue.size() >= queue_bound(home)) return false;
  waiter.queue = home.queue;
  waiter.expiry = parked_.emplace(waiter.deadline, &waiter);
  if (waited) {
    waiter.level = qos;
    queue.put_back(waiter);
  } else {
    queue.push(waiter, qos);
  }
  count_waiting(queue);
  return true;
}

void RouterCore::count_waiting(const WaitQueue& queue) {
  if (registry::ServiceCounts* counts = queue.service->counts(config_.shard)) {
    counts->set_waiting(queue.size());
  }
}

// Takes something out of its queue.
void RouterCore::unpark(Waiter& waiter) {
  WaitQueue& queue = *queues_.find(waiter.queue);
  parked_.erase(waiter.expiry);
  queue.erase(waiter);
  count_waiting(queue);
  if (queue.empty()) {
    queue.service->queue = 0;
    queues_.erase(waiter.queue);
  }
  waiter.queue = 0;
}

// Keeps a request until there is room for it. Its bytes stay charged to the caller's stream, whose
// window bounds what one caller can make the node keep.
void RouterCore::park(Call& call, const Message& message, NoChoice why) {
  std::optional<protocol::Duration> patience = deadline_of(message.metadata, FrameType::request);
  if (!patience) patience = deadline_of(call.binding->open->metadata, FrameType::stream_open);
  patience = std::min(patience.value_or(protocol::kDeadlineDefault), protocol::kDeadlineMax);
  auto parked = std::make_unique<Parked>();
  parked->waiter.what = tagged(Tag::call, call.id);
  parked->waiter.since = now_;
  parked->waiter.deadline = now_ + *patience;
  if (!enqueue(*call.binding->service, parked->waiter, call.qos, call.waited)) {
    return refuse(call, why == NoChoice::no_instance ? NoChoice::all_busy : why, {});
  }
  parked->body = body_of(message.metadata, message.payload);
  call.parked = std::move(parked);
  call.state = Call::State::parked;
  call.waited = true;
}

// The same for a stream, whose opening keeps what comes on it.
void RouterCore::park(StreamEnd& end, NoChoice why) {
  Opening& opening = *end.opening;
  opening.waiter.what = tagged(Tag::stream, end.id);
  opening.waiter.since = now_;
  opening.waiter.deadline = opening.deadline.value_or(now_ + protocol::kDeadlineDefault);
  if (!enqueue(*opening.service, opening.waiter, opening.open->qos, opening.waited)) {
    return refuse(end, why == NoChoice::no_instance ? NoChoice::all_busy : why);
  }
  opening.waited = true;
}

// Something of the service became free: who waits for it is asked before the turn ends.
void RouterCore::wake(registry::Service& service) {
  WaitQueue* queue = service.queue == 0 ? nullptr : queues_.find(service.queue);
  if (queue == nullptr || std::exchange(queue->is_woken, true)) return;
  woken_.push_back(service.queue);
}

void RouterCore::serve_all() {
  while (!woken_.empty() || !roomy_.empty()) {
    const std::vector<std::uint64_t> roomy = std::exchange(roomy_, {});
    for (const std::uint64_t id : roomy) {
      if (registry::Instance* instance = table_.find(id)) feed(*instance, /*others_only=*/false);
    }
    while (!woken_.empty()) {
      const std::uint64_t queue = woken_.back();
      woken_.pop_back();
      serve(queue);
    }
    for (const std::uint64_t id : roomy) {
      if (registry::Instance* instance = table_.find(id)) feed(*instance, /*others_only=*/true);
    }
  }
}

// Lets go who can, in their order. Where all wait for the same, the first who cannot go speaks for
// the others. Where no instance is left, each is asked whether it waits for a first one.
void RouterCore::serve(std::uint64_t id) {
  WaitQueue* queue = queues_.find(id);
  if (queue == nullptr) return;
  queue->is_woken = false;
  const registry::Service& service = *queue->service;
  const bool none_left = service.ready().empty();
  std::size_t in_vain = 0;
  const Waiter* waiter = queue->next();
  while (waiter != nullptr) {
    if (!resume(waiter->what)) {
      if (!none_left && (!service.is_mixed() || ++in_vain == kWaitersTriedMax)) return;
      waiter = queue->after(*waiter);
      continue;
    }
    queue = queues_.find(id);
    if (queue == nullptr) return;
    queue->turn();
    waiter = queue->next();
  }
}

// False if it waits on.
bool RouterCore::resume(std::uint64_t what) {
  if (tag_of(what) == Tag::call) return resume(*calls_.find(id_of(what)));
  return resume(*ends_.find(id_of(what)));
}

bool RouterCore::resume(Call& call) {
  const Binding& binding = *call.binding;
  Bytes metadata = call.parked->body.metadata();
  const std::string_view method = method_of(call, metadata);
  registry::Choice choice;
  if (!draining) {
    choice =
        choose(*binding.service, method, std::span(call.tried).first(call.tried_count), call.key);
    const bool for_first = binding.wait && !call.notify;
    if (choice.instance == nullptr &&
        may_wait(*binding.service, choice.why, for_first, call.found_full)) {
      return false;
    }
  }
  if (binding.pin) choice.instance = nullptr;  // Another request may have pinned it meanwhile.
  unpark(call.parked->waiter);
  const std::unique_ptr<Parked> parked = std::move(call.parked);
  call.state = Call::State::routing;
  if (now_ - parked->waiter.since > protocol::kRelayHeld) {
    // The stream's default would count from when the instance gets the request: say what is left.
    const auto view =
        protocol::parse_metadata(metadata, FrameType::request, protocol::MetadataReader::relay);
    metadata = rewritten(view ? *view : MetadataView(), parked->waiter.deadline - now_);
  }
  const Message message{.metadata = metadata, .payload = parked->body.payload()};
  if (choice.instance == nullptr || !offer(call, choice.instance, message)) route(call, message);
  reuse(std::move(parked->body));
  return true;
}

bool RouterCore::resume(StreamEnd& end) {
  Opening& opening = *end.opening;
  registry::Choice choice;
  if (!draining) {
    choice = choose(*opening.service, opening.open->method,
                    std::span(opening.tried).first(opening.tried_count), opening.open->key);
    if (choice.instance == nullptr &&
        may_wait(*opening.service, choice.why, opening.wait, opening.found_full)) {
      return false;
    }
  }
  unpark(opening.waiter);
  if (choice.instance == nullptr || !offer(end, *choice.instance)) route(end);
  return true;
}

void RouterCore::expire_parked() {
  while (!parked_.empty() && parked_.begin()->first <= now_) {
    Waiter& waiter = *parked_.begin()->second;
    const std::uint64_t what = waiter.what;
    unpark(waiter);
    const auto text_for = [&](registry::Service& service) {
      if (service.ready().empty()) return table_.explain(service, NoChoice::no_instance, {});
      const bool limited = !service.home().within_limit();
      return table_.explain(service, limited ? NoChoice::at_limit : NoChoice::all_busy, {});
    };
    if (tag_of(what) == Tag::stream) {
      StreamEnd& end = *ends_.find(id_of(what));
      const std::string text = text_for(*end.opening->service);
      refuse(end, {StatusCode::deadline_exceeded, Outcome::not_executed, text});
      continue;
    }
    Call& call = *calls_.find(id_of(what));
    call.state = Call::State::routing;
    reuse(std::move(call.parked->body));
    const std::string text = text_for(*call.binding->service);
    answer_status(call, {StatusCode::deadline_exceeded, Outcome::not_executed, text});
  }
}

}  // namespace valkyrie::router
