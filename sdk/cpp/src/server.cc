#include "sdk/cpp/src/server.h"

#include <algorithm>
#include <cstring>
#include <fmt/core.h>
#include <utility>

#include "protocol/assert.h"
#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/served_stream.h"
#include "sdk/cpp/src/wire.h"

namespace valkyrie::detail {
namespace {

std::string_view without_version(std::string_view service) {
  return service.substr(0, service.find('@'));
}

}  // namespace

Server::Server(Core& core)
    : core_(core), pool_(core.options().handler_threads, [&core] {
        core.post([&core] { core.ask_after_turn(); });
      }) {}

Server::~Server() {
  while (free_ != nullptr) delete std::exchange(free_, free_->next_free);
}

Slot& Server::serve(Service service) {
  Slot& slot = core_.acquire(core_);
  auto definition = std::move(service).take();
  if (core_.on_loop()) {
    begin(std::move(definition), slot);
  } else if (!core_.post([this, &slot, definition = std::move(definition)]() mutable {
               begin(std::move(definition), slot);
             })) {
    core_.end_unbegun(slot);
  }
  return slot;
}

void Server::begin(std::unique_ptr<Service::Definition> definition, Slot& slot) {
  if (core_.closing()) {
    return core_.finish_later(
        slot, Status(StatusCode::cancelled, "the client is closed", Outcome::not_executed));
  }
  if (find(definition->name) != nullptr) {
    return core_.finish_later(
        slot, Status(StatusCode::already_exists,
                     fmt::format("this client serves \"{}\" already", definition->name),
                     Outcome::not_executed));
  }
  registrations_.push_back(std::make_shared<Registration>(core_.token(), std::move(definition)));
  ++active_;
  registrations_.back()->begin(&slot);
}

std::shared_ptr<Registration> Server::find(std::string_view name) const {
  for (const auto& registration : registrations_) {
    if (!registration->over() && registration->definition().name == name) return registration;
  }
  return nullptr;
}

std::shared_ptr<Registration> Server::share(const Registration& registration) const {
  const auto found = std::ranges::find_if(
      registrations_, [&registration](const auto& one) { return one.get() == &registration; });
  VALKYRIE_ASSERT(found != registrations_.end());
  return *found;
}

void Server::on_link_ready() {
  for (const auto& registration : registrations_) registration->enroll();
}

void Server::on_registration_over() {
  --active_;
  core_.at_end_of_turn();
  if (core_.closing()) core_.check_closing();
}

void Server::sweep() {
  std::erase_if(registrations_, [](const auto& registration) {
    return registration->over() && !registration->bound();
  });
}

void Server::drain_all(Duration grace) {
  for (const auto& registration : registrations_) registration->begin_drain(nullptr, grace);
}

void Server::end_all() {
  pool_.refuse();
  for (const auto& registration : registrations_) {
    registration->end(Status(StatusCode::cancelled, "the client was closed"));
  }
}

void Server::on_stream_opened(Link& link, const protocol::Event& event) {
  const bool calls = event.kind == protocol::StreamKind::call;
  if (!calls && event.kind != protocol::StreamKind::stream) {
    return link.session().reset(event.stream, protocol::CloseCode::feature);
  }
  const std::string_view name = without_version(event.metadata.service().value_or(""));
  auto* serving = new Serving(find(name));
  serving->deadline = event.metadata.deadline().value_or(protocol::Duration::zero());
  if (const auto identity = event.metadata.identity()) {
    serving->identity = {.subject = std::string(identity->subject),
                         .tenant = std::string(identity->tenant),
                         .proof = static_cast<Proof>(identity->method)};
  }
  serving->method = find_method(serving->registration.get(), event.metadata);
  if (calls) return link.session().set_user(event.stream, serving->number());
  begin_stream(link, event, *serving);
  serving->release();
}

// What keeps a call from its handler; OK: nothing.
Status Server::refusal(const Incoming& incoming, const protocol::Event& event) const {
  const Registration* registration = incoming.serving->registration.get();
  if (registration == nullptr) {
    return Status(StatusCode::unavailable, "this client does not serve it any more",
                  Outcome::not_executed);
  }
  if (incoming.method == nullptr) {
    return Status(StatusCode::unimplemented,
                  fmt::format("{} has no method \"{}\"", registration->definition().name,
                              event.metadata.method().value_or("")),
                  Outcome::not_executed);
  }
  if (incoming.served == nullptr && incoming.method->handler->kind() != HandlerKind::unary) {
    return Status(StatusCode::unimplemented,
                  fmt::format("{} is a stream, not a call", incoming.method->full_name),
                  Outcome::not_executed);
  }
  if (incoming.served != nullptr && registration->overrun()) {
    return Status(StatusCode::resource_exhausted,
                  fmt::format("{}: handlers of streams that were given up still run",
                              incoming.method->full_name),
                  Outcome::not_executed);
  }
  if (incoming.deadline && *incoming.deadline <= core_.now()) {
    return Status(StatusCode::deadline_exceeded, {}, Outcome::not_executed);
  }
  return {};
}

void Server::begin_stream(Link& link, const protocol::Event& event, Serving& serving) {
  Incoming& incoming = acquire(link, event, serving);
  incoming.served = std::make_unique<ServedStream>(incoming, link, event.stream);
  link.session().set_user(event.stream, incoming.served->number());
  if (const Status refused = refusal(incoming, event); !refused.ok()) {
    return incoming.served->finish({}, refused);
  }
  incoming.served->begin();
}

void Server::on_stream_over(Incoming& incoming, bool finished) {
  if (!finished) {
    // Whoever was refused or had no request has its end: there is a registration.
    incoming.serving->registration->linger_begins();
    cancel(incoming);
  }
  close_call(incoming);
}

void Server::on_late_return(Incoming& incoming) { incoming.serving->registration->linger_ends(); }

const ServedMethod* Server::find_method(const Registration* registration,
                                        const protocol::MetadataView& metadata) {
  const auto name = metadata.method();
  if (registration == nullptr || !name) return nullptr;
  if (*name == messages::kHealthMethod) return &registration->definition().health;
  const auto& methods = registration->definition().methods;
  const auto found = methods.find(*name);
  return found == methods.end() ? nullptr : &found->second;
}

Incoming& Server::acquire(Link& link, const protocol::Event& event, Serving& serving) {
  if (free_ == nullptr) free_ = new Incoming(core_);
  Incoming& incoming = *std::exchange(free_, free_->next_free);
  ++alive_;
  ++unanswered_;
  serving.retain();
  if (serving.registration != nullptr) serving.registration->call_begins();
  incoming.references.store(1, std::memory_order_relaxed);
  incoming.serving = &serving;
  incoming.method = serving.method != nullptr
                        ? serving.method
                        : find_method(serving.registration.get(), event.metadata);
  incoming.link = &link;
  incoming.stream = event.stream;
  incoming.correlation = event.correlation;
  incoming.qos = event.qos;
  incoming.answered = incoming.over = incoming.in_handler = incoming.dropped = false;
  incoming.cost = event.cost;
  protocol::Duration left = serving.deadline;
  if (!event.metadata.empty()) {
    left = event.metadata.deadline().value_or(left);
    if (const auto trace = event.metadata.find(protocol::MetadataKey::trace)) {
      std::memcpy(incoming.trace.emplace().data(), trace->data(), incoming.trace->size());
    }
    if (const auto key = event.metadata.find(protocol::MetadataKey::idempotency_key)) {
      incoming.idempotency_key = BytesView(*key).text();
    }
    event.metadata.for_each_pair([&incoming](std::string_view name, std::string_view value) {
      incoming.metadata.add_received(name, value);
    });
  }
  if (left > protocol::Duration::zero()) incoming.deadline = core_.now() + left;
  return incoming;
}

void Server::recycle(Incoming& incoming) {
  if (const std::uint64_t at = std::exchange(incoming.abandoned_at, 0); at != 0) {
    if (Link* const link = core_.find_link(at)) {
      static_cast<void>(link->session().send_response(incoming.stream, incoming.correlation, {}));
    }
  }
  incoming.served.reset();
  incoming.serving->release();
  incoming.serving = nullptr;
  incoming.deadline.reset();
  incoming.trace.reset();
  if (!incoming.metadata.empty()) incoming.metadata = {};
  incoming.idempotency_key.clear();
  incoming.cancelled.store(false, std::memory_order_relaxed);
  incoming.stop.reset();
  if (incoming.has_reply_metadata.exchange(false, std::memory_order_relaxed)) {
    incoming.reply_metadata = {};
  }
  incoming.next_free = std::exchange(free_, &incoming);
  --alive_;
}

void Server::on_request(Link& link, const protocol::Event& event) {
  if (event.user == 0) return;
  auto& serving = static_cast<Serving&>(*StreamUser::of(event.user));
  Incoming& incoming = acquire(link, event, serving);
  link.session().set_cookie(event.stream, event.correlation,
                            reinterpret_cast<std::uint64_t>(&incoming));
  if (incoming.cost <= kSmallRequest) {
    link.session().consume(event.stream, std::exchange(incoming.cost, 0));
  }
  if (const Status refused = refusal(incoming, event); refused.ok()) {
    run(incoming, event.payload);
  } else {
    answer(incoming, {}, refused);
  }
  incoming.release();
}

void Server::run(Incoming& incoming, BytesView payload) {
  if (!incoming.method->handler->blocking()) return run_on_loop(incoming, payload);
  incoming.retain();
  incoming.retain();
  pool_.submit({.handler = incoming.method->handler.get(),
                .call = IncomingCall(&incoming),
                .body = Bytes::copy(payload),
                .reply = Reply(&incoming)});
}

void Server::run_on_loop(Incoming& incoming, BytesView payload) {
  incoming.references.store(3, std::memory_order_relaxed);  // Nobody else has one yet.
  incoming.in_handler = true;
  core_.set_handler(incoming.method->full_name.c_str());
  Status thrown;
  try {
    incoming.method->handler->run(IncomingCall(&incoming), payload, Reply(&incoming));
  } catch (...) {
    thrown = status_of_current_exception();
  }
  core_.set_handler(nullptr);
  incoming.in_handler = false;
  if (incoming.over || (!incoming.dropped && thrown.ok())) return;
  incoming.answered = true;
  answer(incoming, {},
         thrown.ok() ? Status(StatusCode::internal, "handler dropped its reply") : thrown);
}

void Server::on_notify(Link& link, const protocol::Event& event) {
  if (event.user == 0) return;
  auto& serving = static_cast<Serving&>(*StreamUser::of(event.user));
  Incoming& incoming = acquire(link, event, serving);
  link.session().consume(event.stream, std::exchange(incoming.cost, 0));
  // Whatever its handler answers, nobody waits for it.
  close_call(incoming);
  const bool known =
      incoming.method != nullptr && incoming.method->handler->kind() == HandlerKind::unary;
  if (known) run(incoming, event.payload);
  incoming.release();
}

void Server::on_cancel(const protocol::Event& event) {
  if (event.cookie == 0) return;
  auto& incoming = *reinterpret_cast<Incoming*>(event.cookie);
  incoming.retain();
  cancel(incoming);
  incoming.release();
}

void Server::on_abandoned(const Link& link, const protocol::Event& event) {
  if (event.cookie == 0) return;
  auto& incoming = *reinterpret_cast<Incoming*>(event.cookie);
  incoming.retain();
  incoming.abandoned_at = link.number();
  if (!incoming.over) close_call(incoming);
  cancel(incoming);
  incoming.release();
}

// Tells the handler, and whom it has called, that nobody waits.
void Server::cancel(Incoming& incoming) {
  incoming.cancelled.store(true, std::memory_order_release);
  std::optional<std::stop_source> stop;
  {
    const std::lock_guard lock(incoming.mutex);
    stop = incoming.stop;
  }
  if (stop) stop->request_stop();
  core_.caller().give_up_children(incoming);
}

// The call is over for the session.
void Server::close_call(Incoming& incoming) {
  incoming.over = true;
  --unanswered_;
  if (incoming.serving->registration != nullptr) incoming.serving->registration->call_ends();
  if (core_.closing()) core_.check_closing();
}

void Server::answer(Incoming& incoming, BytesView body, const Status& status) {
  if (incoming.served != nullptr) return incoming.served->finish(body, status);
  if (incoming.over) return;
  if (send_answer(incoming, body, status)) return;
  incoming.retain();
  unsent_.push_back({.incoming = &incoming, .body = Bytes::copy(body), .status = status});
}

// False: the session takes no more now.
bool Server::send_answer(Incoming& incoming, BytesView body, const Status& status) {
  MetadataBuffer buffer;
  const std::span<const std::byte> metadata = incoming.answer_metadata(status, buffer);
  protocol::Session& session = incoming.link->session();
  auto sent =
      session.send_response(incoming.stream, incoming.correlation,
                            {.metadata = metadata, .payload = body.span(), .qos = incoming.qos});
  if (!sent && sent.error() == protocol::SendError::queue_full) return false;
  if (!sent && sent.error() == protocol::SendError::too_large) {
    const Status too_large(StatusCode::resource_exhausted,
                           too_large_text(body.size(), session.peer().call_message_bytes_max));
    sent = session.send_response(
        incoming.stream, incoming.correlation,
        {.metadata = status_metadata(too_large, nullptr, buffer), .qos = incoming.qos});
  }
  if (incoming.cost > 0) session.consume(incoming.stream, incoming.cost);
  close_call(incoming);
  return true;
}

void Server::advance() {
  while (!unsent_.empty()) {
    Unsent& first = unsent_.front();
    if (!first.incoming->over && !send_answer(*first.incoming, first.body, first.status)) return;
    first.incoming->release();
    unsent_.pop_front();
  }
}

void Serving::release() {
  if (--references_ == 0) delete this;
}

void Serving::on_over(Link&, const protocol::Event&) { release(); }

}  // namespace valkyrie::detail
