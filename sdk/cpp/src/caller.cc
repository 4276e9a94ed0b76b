#include "sdk/cpp/src/caller.h"

#include <algorithm>
#include <utility>

#include "protocol/assert.h"
#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/incoming.h"
#include "sdk/cpp/src/wire.h"

namespace valkyrie::detail {
namespace {

// What a waiting call costs beside its payload, bytes.
constexpr std::size_t kWaitingOverhead = 64;
// Instead of Slot::hedge_attempts: what was asked for makes no sense.
constexpr std::uint8_t kHedgingRefused = 0xff;

}  // namespace

Binding::Binding(Core& its_core, std::string_view its_target, const CallOptions& defaults)
    : core(its_core),
      target(its_target),
      deadline(defaults.deadline),
      qos(qos_byte(defaults.qos, defaults.urgency, protocol::kQosDefault)),
      idempotent(defaults.idempotent),
      hedging(defaults.hedging) {
  const auto parts = split_target(its_target);
  if (!parts) {
    error = parts.error();
    return;
  }
  service = parts->service;
  method = parts->method;
  if (deadline == Duration::zero()) deadline = kDeadlineDefault;
  if (deadline == kNoDeadline) {
    error = Status(StatusCode::invalid_argument, "a unary call needs a deadline",
                   Outcome::not_executed);
  }
  deadline = std::min<Duration>(deadline, protocol::kDeadlineMax);
}

void Binding::on_over(Link& its_link, const protocol::Event& event) {
  --open_streams;
  if (link == &its_link && stream == event.stream) core.caller().detach(*this);
  core.caller().dispose_if_idle(*this);
}

Caller::~Caller() {
  for (auto& [target, binding] : cache_) delete binding;
}

std::shared_ptr<Binding> Caller::bind(Target target, const CallOptions& defaults) {
  auto* made = new Binding(core_, target.text(), defaults);
  made->token = core_.token();
  return {made, [](Binding* binding) {
            const CoreHandle core = std::move(binding->token);
            const bool posted = core->post([binding] { binding->core.caller().release(*binding); });
            if (!posted) delete binding;  // The loop has ended and left it idle.
          }};
}

Binding& Caller::cached(std::string_view target) {
  auto found = cache_.find(target);
  if (found == cache_.end()) {
    if (cache_.size() >= kCachedMax) static_cast<void>(evict_idle());
    auto* made = new Binding(core_, target, {});
    found = cache_.emplace(std::string(target), made).first;
  }
  found->second->used = ++uses_;
  return *found->second;
}

// Forgets the cached binding that has been idle for longest, and ends its stream.
bool Caller::evict_idle() {
  Binding* oldest = nullptr;
  for (const auto& [target, binding] : cache_) {
    if (binding->in_flight == 0 && (oldest == nullptr || binding->used < oldest->used)) {
      oldest = binding;
    }
  }
  if (oldest == nullptr) return false;
  cache_.erase(oldest->target);
  release(*oldest);
  return true;
}

// Forgets the binding's stream, which ends by itself or is ended by the caller of this.
void Caller::detach(Binding& binding) {
  binding.link = nullptr;
  const auto at = std::ranges::find(open_, &binding);
  *at = open_.back();
  open_.pop_back();
}

void Caller::release(Binding& binding) {
  binding.released = true;
  if (binding.in_flight == 0 && binding.link != nullptr) {
    static_cast<void>(binding.link->session().send_end(binding.stream));
    detach(binding);
  }
  dispose_if_idle(binding);
}

void Caller::dispose_if_idle(Binding& binding) {
  if (binding.released && binding.in_flight == 0 && binding.open_streams == 0) delete &binding;
}

void Caller::leave(Link& link) {
  for (std::size_t i = open_.size(); i-- > 0;) {
    Binding& binding = *open_[i];
    if (binding.link != &link) continue;
    static_cast<void>(link.session().send_end(binding.stream));
    detach(binding);
  }
}

void Caller::resolve(Slot& slot, const CallOptions& options) {
  const Binding* binding = slot.binding;
  std::uint8_t qos = binding != nullptr ? binding->qos : protocol::kQosDefault;
  slot.time_limit = options.deadline;
  if (slot.time_limit == Duration::zero()) {
    slot.time_limit = binding != nullptr ? binding->deadline : kDeadlineDefault;
  }
  if (options.parent != nullptr) {
    slot.time_limit = std::min<Duration>(slot.time_limit, options.parent->remaining());
    qos = options.parent->incoming()->qos;
  }
  slot.time_limit = std::min<Duration>(slot.time_limit, protocol::kDeadlineMax);
  slot.qos = qos_byte(options.qos, options.urgency, qos);
  slot.deadline = core_.now() + slot.time_limit;
}

// What may be done again, and when.
void Caller::set_repeats(Slot& slot, const CallOptions& options) {
  const Binding* binding = slot.binding;
  const bool idempotent = options.idempotent || (binding != nullptr && binding->idempotent);
  slot.repeatable = idempotent || !options.idempotency_key.empty();
  Hedging hedging = options.hedging;
  if (hedging.delay <= Duration::zero() && binding != nullptr) hedging = binding->hedging;
  if (hedging.delay <= Duration::zero()) return;
  const bool makes_sense = idempotent && hedging.attempts >= 2 && hedging.attempts <= kAttemptsMax;
  slot.hedge_delay = hedging.delay;
  slot.hedge_attempts = makes_sense ? hedging.attempts : kHedgingRefused;
}

void Caller::prepare(Slot& slot, Binding* binding, const CallOptions& options) {
  slot.binding = binding;
  set_repeats(slot, options);
  resolve(slot, options);
  Incoming* const parent = options.parent == nullptr ? nullptr : options.parent->incoming();
  // The calls made for one are kept in a list of its client's loop.
  const bool is_far = parent != nullptr && &parent->core != &core_;
  if (parent != nullptr && !is_far) {
    slot.parent = parent;
    slot.parent->retain();
  }
  const bool traced = parent != nullptr && parent->trace.has_value();
  if (options.idempotency_key.empty() && options.metadata == nullptr && !traced &&
      options.cancel == nullptr && !is_far) {
    return;
  }
  slot.extras = std::make_unique<CallExtras>();
  slot.extras->idempotency_key = options.idempotency_key;
  if (options.metadata != nullptr) slot.extras->metadata = *options.metadata;
  if (traced) slot.extras->trace = parent->trace;
  if (options.cancel != nullptr) slot.extras->stops[0] = *options.cancel;
  if (is_far) slot.extras->stops[1] = options.parent->cancel_token();
}

Slot& Caller::submit(Slot& slot, BytesView body) {
  if (core_.on_loop()) {
    begin(slot, body);
    return slot;
  }
  slot.keep(body);
  const bool posted = core_.post([this, &slot] {
    if (slot.binding == nullptr) {
      slot.binding = &cached(slot.extras->target);
    }
    begin(slot, slot.body());
  });
  if (!posted) {
    if (slot.parent != nullptr) leave_parent(slot);
    core_.end_unbegun(slot);
  }
  return slot;
}

Slot& Caller::call(Binding& binding, BytesView body, const CallOptions& options) {
  Slot& slot = core_.acquire(*this);
  prepare(slot, &binding, options);
  return submit(slot, body);
}

Slot& Caller::call(std::string_view target, BytesView body, const CallOptions& options) {
  if (core_.on_loop()) return call(cached(target), body, options);
  Slot& slot = core_.acquire(*this);
  prepare(slot, nullptr, options);
  if (slot.extras == nullptr) slot.extras = std::make_unique<CallExtras>();
  slot.extras->target = target;
  return submit(slot, body);
}

Result<void> Caller::notify(Binding& binding, BytesView body) {
  if (!binding.error.ok()) return std::unexpected(binding.error);
  Slot& slot = core_.acquire(*this);
  prepare(slot, &binding, {});
  slot.one_way = true;
  return core_.end_notify(submit(slot, body));
}

Result<void> Caller::notify(std::string_view target, BytesView body) {
  if (auto parts = split_target(target); !parts) return std::unexpected(parts.error());
  if (core_.on_loop()) return notify(cached(target), body);
  Slot& slot = core_.acquire(*this);
  prepare(slot, nullptr, {});
  slot.one_way = true;
  slot.extras = std::make_unique<CallExtras>();
  slot.extras->target = target;
  return core_.end_notify(submit(slot, body));
}

void Caller::begin(Slot& slot, BytesView body) {
  ++outstanding_;
  ++slot.binding->in_flight;
  retry_budget_.earn();
  if (core_.closing()) {
    fail(slot, StatusCode::cancelled, "the client is closed", Outcome::not_executed);
    return;
  }
  if (!slot.binding->error.ok()) {
    Delivery delivery{.status = slot.binding->error};
    complete(slot, delivery);
    return;
  }
  if (slot.hedge_attempts == kHedgingRefused) {
    fail(slot, StatusCode::invalid_argument,
         "hedging is for idempotent calls, with 2 or 3 attempts", Outcome::not_executed);
    return;
  }
  if (slot.parent != nullptr) {
    adopt_by_parent(slot);
    if (slot.parent->cancelled.load(std::memory_order_relaxed)) {
      give_up(slot, Status(StatusCode::cancelled));
      return;
    }
  }
  if (slot.extras != nullptr) {
    for (std::size_t i = 0; i < slot.extras->stops.size(); ++i) {
      if (!slot.extras->stops[i].stop_possible()) continue;
      slot.extras->stop_callbacks[i].emplace(slot.extras->stops[i],
                                             StopRequest{&core_, &slot, slot.generation});
    }
  }
  if (slot.time_limit <= Duration::zero()) {
    give_up(slot, Status(StatusCode::deadline_exceeded));
    return;
  }
  core_.reactor().timers().arm(slot.timer, slot.deadline);
  if (!waiting_.empty() || !send(slot, body)) wait(slot, body);
}

// False: nothing has happened, the call must wait.
bool Caller::send(Slot& slot, BytesView body) {
  Link* link = core_.link();
  if (link == nullptr) return false;
  Sending result = try_send(slot, body, *link);
  if (result == Sending::again) result = try_send(slot, body, *link);
  return result == Sending::done;
}

Caller::Sending Caller::try_send(Slot& slot, BytesView body, Link& link) {
  Binding& binding = *slot.binding;
  if (binding.link != &link) {
    if (const Sending opened = open(slot, link); opened != Sending::go_on) return opened;
  }
  MetadataBuffer buffer;
  const auto metadata = request_metadata(slot, binding.deadline, core_.now(), buffer);
  if (!metadata) {
    fail(slot, StatusCode::invalid_argument, metadata.error(), Outcome::not_executed);
    return Sending::done;
  }
  const protocol::Outgoing outgoing{.metadata = *metadata,
                                    .payload = body.span(),
                                    .qos = slot.qos,
                                    .cookie = reinterpret_cast<std::uint64_t>(&slot)};
  protocol::Session& session = link.session();
  const auto sent = slot.one_way ? session.send_notify(binding.stream, outgoing)
                                 : session.send_request(binding.stream, outgoing);
  if (!sent) return refused(slot, sent.error(), body.size());
  if (slot.one_way) {
    Delivery delivery;
    complete(slot, delivery);
    return Sending::done;
  }
  ++slot.attempts;
  slot.owed = true;
  slot.link = &link;
  slot.stream = binding.stream;
  slot.correlation = sent->correlation;
  if (slot.primary != nullptr) return Sending::done;
  if (!slot.retained && (body.size() <= Slot::kInlineBytes || slot.repeatable)) slot.keep(body);
  if (slot.hedge_attempts != 0) await_answer(slot);
  return Sending::done;
}

Caller::Sending Caller::open(Slot& slot, Link& link) {
  Binding& binding = *slot.binding;
  if (binding.link != nullptr) detach(binding);
  MetadataBuffer buffer;
  const auto metadata =
      open_metadata({binding.service, binding.method}, binding.deadline, nullptr, buffer);
  if (!metadata) {
    fail(slot, StatusCode::invalid_argument, metadata.error(), Outcome::not_executed);
    return Sending::done;
  }
  const auto stream = link.session().open_stream(
      protocol::StreamKind::call, 0, {.metadata = *metadata, .qos = binding.qos}, binding.number());
  if (!stream) {
    if (stream.error() == protocol::SendError::stream_limit) static_cast<void>(evict_idle());
    return refused(slot, stream.error(), 0);
  }
  binding.link = &link;
  binding.stream = *stream;
  ++binding.open_streams;
  open_.push_back(&binding);
  return Sending::go_on;
}

Caller::Sending Caller::refused(Slot& slot, protocol::SendError error, std::size_t bytes) {
  switch (error) {
    case protocol::SendError::too_large: {
      const Link* const link = slot.binding->link;
      const std::size_t bytes_max =
          link == nullptr ? bytes : link->session().peer().call_message_bytes_max;
      fail(slot, StatusCode::resource_exhausted, too_large_text(bytes, bytes_max),
           Outcome::not_executed);
      return Sending::done;
    }
    case protocol::SendError::forbidden:
      fail(slot, StatusCode::permission_denied, "the class is above what the node grants",
           Outcome::not_executed);
      return Sending::done;
    case protocol::SendError::closed:
    case protocol::SendError::exhausted: {
      Binding& binding = *slot.binding;
      if (binding.link == nullptr) return Sending::wait;  // It is the session that is closed.
      static_cast<void>(binding.link->session().send_end(binding.stream));
      detach(binding);
      return Sending::again;
    }
    case protocol::SendError::not_ready:
    case protocol::SendError::draining:
    case protocol::SendError::stream_limit:
    case protocol::SendError::queue_full:
    case protocol::SendError::in_flight_max:
    case protocol::SendError::unknown:
      return Sending::wait;
  }
  return Sending::wait;
}

void Caller::wait(Slot& slot, BytesView body) {
  const std::size_t bytes = body.size() + kWaitingOverhead;
  if (waiting_bytes_ + bytes > core_.options().waiting_bytes_max) {
    fail(slot, StatusCode::resource_exhausted, "too many calls wait for the node",
         Outcome::not_executed);
    return;
  }
  slot.keep(body);
  slot.waiting = true;
  waiting_bytes_ += bytes;
  waiting_.push_back(slot);
}

void Caller::unwait(Slot& slot) {
  slot.waiting = false;
  waiting_bytes_ -= slot.body().size() + kWaitingOverhead;
  waiting_.remove(slot);
}

void Caller::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (Slot* slot = waiting_.front()) {
    unwait(*slot);
    if (send(*slot, slot->body())) continue;
    slot->waiting = true;
    waiting_bytes_ += slot->body().size() + kWaitingOverhead;
    waiting_.push_front(*slot);
    break;
  }
  pumping_ = false;
}

}  // namespace valkyrie::detail
