// How a service is registered, renewed and drained.
#include <algorithm>
#include <fmt/core.h>
#include <utility>

#include "protocol/messages/registry.h"
#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/server.h"
#include "sdk/cpp/src/wire.h"

namespace valkyrie {

Service::Service(std::string_view name, ServiceOptions options)
    : definition_(std::make_unique<Definition>()) {
  definition_->name = name;
  definition_->options = std::move(options);
  health([](IncomingCall&, BytesView, Reply reply) { reply.send({}); });
}

Service::Service(Service&&) noexcept = default;
Service& Service::operator=(Service&&) noexcept = default;
Service::~Service() = default;

const std::string& Service::name() const noexcept { return definition_->name; }

std::unique_ptr<Service::Definition> Service::take() && noexcept { return std::move(definition_); }

void Service::add(std::string_view method, MethodOptions options,
                  std::unique_ptr<detail::Handler> handler) {
  auto& entry = definition_->methods[std::string(method)];
  entry.full_name = fmt::format("{}/{}", definition_->name, method);
  entry.options = options;
  entry.handler = std::move(handler);
}

void Service::set_health(std::unique_ptr<detail::Handler> handler) {
  definition_->health.full_name = fmt::format("{}/{}", definition_->name, messages::kHealthMethod);
  definition_->health.handler = std::move(handler);
}

std::string Instance::name() const { return registration_->instance_name(); }

void Instance::report_health(bool healthy) {
  detail::Registration::report_health(registration_, healthy);
}

Pending<void> Instance::drain(Duration grace) {
  return Pending<void>(&detail::Registration::drain(registration_, grace));
}

namespace detail {
namespace {

constexpr std::string_view kRegister = "Register";
constexpr protocol::Duration kRetryMin = std::chrono::milliseconds{100};
constexpr protocol::Duration kRetryMax = std::chrono::seconds{5};

// A refusal that another attempt may not meet.
bool is_passing(const Status& status) {
  return status.code() == StatusCode::unavailable ||
         status.code() == StatusCode::resource_exhausted;
}

}  // namespace

Registration::Registration(CoreHandle core, std::unique_ptr<Service::Definition> definition)
    : core_(std::move(core)),
      definition_(std::move(definition)),
      instance_(definition_->options.instance) {}

std::string Registration::instance_name() const {
  const std::lock_guard lock(mutex_);
  return instance_;
}

Slot& Registration::drain(const std::shared_ptr<Registration>& self, Duration grace) {
  Core& core = *self->core_;
  Slot& slot = core.acquire(*self);
  if (core.on_loop()) {
    self->begin_drain(&slot, grace);
  } else if (!core.post([self, &slot, grace] { self->begin_drain(&slot, grace); })) {
    core.end_unbegun(slot);
  }
  return slot;
}

void Registration::report_health(const std::shared_ptr<Registration>& self, bool healthy) {
  Core& core = *self->core_;
  if (core.on_loop()) return self->set_health(healthy);
  core.post([self, healthy] { self->set_health(healthy); });
}

void Registration::set_health(bool healthy) {
  if (std::exchange(healthy_, healthy) == healthy || link_ == nullptr) return;
  if (state_ != State::enrolling && state_ != State::active) return;
  messages::InstanceUpdate update;
  update.health = healthy ? messages::Health::healthy : messages::Health::unhealthy;
  send_update(update);
}

void Registration::send_update(const messages::InstanceUpdate& update) {
  const std::string body = messages::encode(messages::RegisterMessage(update));
  static_cast<void>(link_->session().send_data(stream_, {.payload = BytesView(body).span()}));
}

void Registration::begin(Slot* slot) {
  slot->owner = this;
  serve_slot_ = slot;
  enroll();
}

std::string Registration::request() const {
  messages::RegisterRequest request;
  request.service = definition_->name;
  request.version = definition_->options.version;
  request.instance = instance_name();
  request.weight = definition_->options.weight;
  request.concurrency = definition_->options.in_flight_max;
  request.labels = definition_->options.labels;
  for (const auto& [name, method] : definition_->methods) {
    messages::MethodInfo info;
    info.name = name;
    info.kind = static_cast<messages::MethodKind>(method.handler->kind());
    info.idempotent = method.options.idempotent;
    info.large = method.options.large;
    info.timeout_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(method.options.timeout).count());
    request.methods.push_back(std::move(info));
  }
  return messages::encode(messages::RegisterMessage(std::move(request)));
}

// The stream on an old connection is forgotten: the same instance name takes its place.
void Registration::enroll() {
  Link* link = core_->link();
  if (link == nullptr || link == link_) return;
  if (state_ != State::enrolling && state_ != State::active) return;
  MetadataBuffer buffer;
  const auto metadata = open_metadata({messages::kRegistryService, kRegister}, {}, nullptr, buffer);
  if (!metadata) return;
  protocol::Session& session = link->session();
  const auto stream =
      session.open_stream(protocol::StreamKind::stream, 0, {.metadata = *metadata}, number());
  if (!stream) return lost(Status(StatusCode::unavailable, to_string(stream.error())));
  ++streams_;
  link_ = link;
  stream_ = *stream;
  state_ = State::enrolling;
  static_cast<void>(session.send_data(stream_, {.payload = BytesView(request()).span()}));
  if (healthy_) return;
  messages::InstanceUpdate update;
  update.health = messages::Health::unhealthy;
  send_update(update);
}

void Registration::on_data(Link& link, const protocol::Event& event) {
  link.session().consume(event.stream, event.cost);
  if (&link != link_ || event.stream != stream_) return;
  const auto said = messages::decode<messages::RegisterEvent>(event.payload);
  if (!said) {
    link.session().reset(event.stream, protocol::CloseCode::protocol_violation);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    instance_ = std::get<messages::RegisterReply>(*said).instance;
  }
  if (state_ != State::enrolling) return;
  state_ = State::active;
  failures_ = 0;
  if (serve_slot_ == nullptr) return;
  Delivery delivery;
  delivery.object = core_->server().share(*this);
  Slot& slot = *std::exchange(serve_slot_, nullptr);
  slot.done = true;
  core_->finish_later(slot, std::move(delivery));
}

void Registration::on_end(Link& link, const protocol::Event& event) {
  static_cast<void>(link.session().send_end(event.stream));
  if (&link != link_ || event.stream != stream_) return;
  why_ = status_of(event.metadata);
}

void Registration::on_over(Link& link, const protocol::Event& event) {
  --streams_;
  core_->at_end_of_turn();
  if (&link != link_ || event.stream != stream_) return;
  link_ = nullptr;
  stream_ = 0;
  if (state_ == State::leaving) return end({});
  if (event.type == protocol::EventType::reset && why_.ok()) why_ = status_of_reset(event, link);
  if (why_.ok()) why_ = Status(StatusCode::unavailable, "the node ended the registration");
  lost(std::exchange(why_, Status()));
}

// Registers again, with the next connection or after a pause, unless the node means it.
void Registration::lost(const Status& status) {
  if (state_ == State::over) return;
  if (state_ == State::draining || state_ == State::leaving) return leave_if_idle();
  if (!is_passing(status)) {
    core_->log(fmt::format("{} is not registered: {}", definition_->name, status.to_string()));
    return end(status);
  }
  state_ = State::enrolling;
  if (core_->link() == nullptr) return;
  const protocol::Duration bound = std::min(kRetryMax, kRetryMin * (1 << std::min(failures_, 6u)));
  ++failures_;
  const auto pause = static_cast<double>(bound.count()) * core_->random();
  core_->reactor().timers().arm(
      retry_timer_, core_->now() + protocol::Duration(static_cast<std::int64_t>(pause)));
}

void Registration::begin_drain(Slot* slot, Duration grace) {
  if (slot != nullptr) slot->owner = this;
  if (state_ == State::over || drain_slot_ != nullptr) {
    if (slot != nullptr) {
      slot->done = true;
      core_->finish_later(*slot, state_ == State::over
                                     ? Status()
                                     : Status(StatusCode::failed_precondition,
                                              "the instance is being drained already"));
    }
    return;
  }
  drain_slot_ = slot;
  core_->reactor().timers().arm(grace_timer_, core_->now() + grace);
  if (state_ == State::draining || state_ == State::leaving) return;
  const bool known = state_ == State::active;
  state_ = State::draining;
  end_slot(serve_slot_, Status(StatusCode::cancelled, "drained before it was registered"));
  if (known && link_ != nullptr) {
    messages::InstanceUpdate update;
    update.drain = true;
    send_update(update);
  }
  leave_if_idle();
}

// END says that the instance is gone; the node's END says that nothing more is on its way.
void Registration::leave_if_idle() {
  if (state_ != State::draining || in_flight_ > 0) return;
  state_ = State::leaving;
  if (link_ == nullptr) return end({});
  static_cast<void>(link_->session().send_end(stream_));
}

void Registration::call_ends() {
  --in_flight_;
  if (state_ == State::draining) leave_if_idle();
}

void Registration::on_grace_over() {
  end(Status(StatusCode::deadline_exceeded, "calls were still running at the end of the grace"));
}

void Registration::end(const Status& status) {
  if (state_ == State::over) return;
  state_ = State::over;
  retry_timer_.cancel();
  grace_timer_.cancel();
  if (link_ != nullptr) {
    link_->session().reset(stream_, protocol::CloseCode::cancelled);
    link_ = nullptr;
  }
  end_slot(serve_slot_, status.ok() ? Status(StatusCode::cancelled, "drained") : status);
  end_slot(drain_slot_, status);
  core_->server().on_registration_over();
}

void Registration::end_slot(Slot*& slot, const Status& status) {
  if (slot == nullptr) return;
  Slot& ended = *std::exchange(slot, nullptr);
  ended.done = true;
  core_->finish_later(ended, status);
}

// Nobody wants the registration any more; a drain goes on unobserved.
void Registration::give_up(Slot& slot, const Status& status) {
  if (&slot == serve_slot_) return end(status);
  if (&slot == drain_slot_) drain_slot_ = nullptr;
  if (slot.done) return;
  slot.done = true;
  core_->finish(slot, status);
}

}  // namespace detail

}  // namespace valkyrie
