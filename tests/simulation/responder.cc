#include "tests/simulation/responder.h"

#include <array>
#include <iterator>
#include <utility>

#include "protocol/messages/registry.h"
#include "protocol/metadata.h"
#include "tests/simulation/pattern.h"
#include "tests/simulation/violation.h"

namespace valkyrie::simulation {
namespace {

using protocol::EventType;

// What a full queue holds up is tried again after so long.
constexpr Duration kRetry = 20ms;

}  // namespace

void Responder::serve(std::string service, std::string instance, std::uint32_t concurrency) {
  const std::uint32_t stream = open_stream(messages::kRegistryService, "Register");
  if (stream == 0) return;
  messages::RegisterRequest request;
  request.service = service;
  request.instance = instance;
  request.concurrency = concurrency;
  request.labels = {{"zone", number() % 2 == 0 ? "near" : "far"}};
  around_.trace.line(now(), "{}: registers {} as {}", number(), instance, service);
  static_cast<void>(send_message(stream, messages::encode(messages::RegisterMessage(request))));
  registrations_[stream] = {.service = std::move(service), .instance = std::move(instance)};
}

Registration* Responder::any_registration(std::uint32_t& stream) {
  if (registrations_.empty()) return nullptr;
  const auto at =
      std::next(registrations_.begin(), static_cast<std::ptrdiff_t>(pick(registrations_.size())));
  stream = at->first;
  return at->second.over ? nullptr : &at->second;
}

void Responder::change_any() {
  std::uint32_t stream = 0;
  Registration* registration = any_registration(stream);
  if (registration == nullptr) return;
  messages::InstanceUpdate update;
  if (pick(4) == 0) {
    update.weight = static_cast<std::uint32_t>(1 + pick(messages::kInstanceWeightMax));
  } else {
    registration->ready = !registration->ready;
    update.health = registration->ready ? messages::Health::healthy : messages::Health::unhealthy;
  }
  around_.trace.line(now(), "{}: changes {}, {}", number(), registration->instance,
                     registration->ready ? "ready" : "not ready");
  static_cast<void>(send_message(stream, messages::encode(messages::RegisterMessage(update))));
}

void Responder::withdraw_any() {
  std::uint32_t stream = 0;
  Registration* registration = any_registration(stream);
  if (registration == nullptr) return;
  registration->over = true;
  forget_stream(stream);
  around_.trace.line(now(), "{}: withdraws {}", number(), registration->instance);
  static_cast<void>(session().send_end(stream));
}

void Responder::check_told() const {
  for (const auto& entry : pending_) {
    const CallRecord& call = around_.ledger.record(entry.second.call);
    require(call.told || (!call.over && !call.cancel_asked),
            "nobody waits for {}, but service {} was not told", describe(call), number());
  }
}

void Responder::answer_all() {
  manner = {};
  probes_.insert(probes_.end(), probes_held_.begin(), probes_held_.end());
  probes_held_.clear();
  answer_probes();
  std::vector<Pending> all;
  for (const auto& entry : std::exchange(pending_, {})) all.push_back(entry.second);
  for (std::size_t left = all.size(); left > 0; --left) {
    std::swap(all[pick(left)], all[left - 1]);
    answer(all[left - 1]);
  }
}

Reply Responder::draw_reply() {
  const auto dice = static_cast<std::uint32_t>(pick(100));
  if (dice < manner.error) return {.kind = Reply::Kind::error};
  if (dice < manner.error + manner.shed) return {.kind = Reply::Kind::shed};
  if (dice < manner.error + manner.shed + manner.large) {
    return {.bytes = static_cast<std::uint32_t>(pick(manner.large_bytes + 1))};
  }
  return {.bytes = static_cast<std::uint32_t>(pick(64))};
}

void Responder::on_request(const protocol::Event& event) {
  const CallRecord& call = around_.ledger.seen(number(), targets_[event.stream], event);
  around_.trace.line(now(), "{}: got call {} on stream {}", number(), call.id, event.stream);
  consume(event);
  if (event.type == EventType::notify) return;
  const Pending pending{.stream = event.stream,
                        .correlation = event.correlation,
                        .call = call.id,
                        .reply = draw_reply()};
  const auto dice = static_cast<std::uint32_t>(pick(100));
  if (dice < manner.never) {
    pending_.emplace(Instant::max(), pending);
  } else if (dice < manner.never + manner.late) {
    const auto late = static_cast<std::uint64_t>(manner.late_max.count());
    pending_.emplace(now() + Duration(pick(late)), pending);
  } else {
    answer(pending);
  }
}

void Responder::on_probe(const protocol::Event& event) {
  consume(event);
  const bool is_held = pick(100) < manner.never;
  around_.trace.line(now(), "{}: is probed{}", number(), is_held ? ", and silent" : "");
  (is_held ? probes_held_ : probes_).emplace_back(event.stream, event.correlation);
  answer_probes();
}

// What a full queue holds up goes with a later event.
void Responder::answer_probes() {
  std::erase_if(probes_, [&](const auto& probe) {
    const auto sent = session().send_response(probe.first, probe.second, {});
    return sent || sent.error() != protocol::SendError::queue_full;
  });
}

void Responder::answer(const Pending& pending) {
  std::array<std::byte, 256> buffer;
  protocol::MetadataWriter writer(buffer);
  if (pending.reply.kind == Reply::Kind::error) {
    writer.status({.code = kErrorCode, .outcome = protocol::Outcome::executed, .text = "no"});
  } else if (pending.reply.kind == Reply::Kind::shed) {
    writer.status({.code = kShedCode, .outcome = protocol::Outcome::not_executed, .text = "busy"});
  }
  writer.ignorable(kCallKey, id_bytes(pending.call));
  const std::vector<std::byte> payload = pattern(~pending.call, pending.reply.bytes);
  around_.ledger.replied(pending.call, pending.reply);
  around_.trace.line(now(), "{}: answers call {}, {} bytes", number(), pending.call,
                     payload.size());
  const auto sent = session().send_response(pending.stream, pending.correlation,
                                            {.metadata = *writer.finish(), .payload = payload});
  if (sent) return;
  if (sent.error() == protocol::SendError::queue_full) pending_.emplace(now() + kRetry, pending);
  if (sent.error() == protocol::SendError::too_large) {
    Pending instead = pending;
    instead.reply = {.kind = Reply::Kind::error};
    answer(instead);
  }
}

std::optional<Instant> Responder::deadline() const {
  if (pending_.empty() || pending_.begin()->first == Instant::max()) return std::nullopt;
  return pending_.begin()->first;
}

void Responder::on_deadline() {
  while (!pending_.empty() && pending_.begin()->first <= now()) {
    const Pending pending = pending_.begin()->second;
    pending_.erase(pending_.begin());
    answer(pending);
  }
}

// What nobody waits for any more is answered soon, or when it would have been.
void Responder::hurry(const protocol::Event& event) {
  for (auto at = pending_.begin(); at != pending_.end(); ++at) {
    if (at->second.stream != event.stream || at->second.correlation != event.correlation) continue;
    around_.ledger.record(at->second.call).told = true;
    if (!manner.heeds_cancel) return;
    const Pending pending = at->second;
    pending_.erase(at);
    pending_.emplace(now() + 1ms, pending);
    return;
  }
}

void Responder::on_registry_event(Registration& registration, const protocol::Event& event) {
  switch (event.type) {
    case EventType::data: {
      consume(event);
      const auto body = messages::decode<messages::RegisterEvent>(event.payload);
      require(body.has_value(), "service {} cannot read what the registry says", number());
      if (const auto* reply = std::get_if<messages::RegisterReply>(&*body)) {
        require(reply->instance == registration.instance, "instance {} was registered as {}",
                registration.instance, reply->instance);
        registration.confirmed = true;
        around_.trace.line(now(), "{}: {} is registered", number(), registration.instance);
      }
      return;
    }
    case EventType::end: {
      const auto status = event.metadata.status().value_or(protocol::Status{});
      require(status.code == protocol::StatusCode::ok ||
                  status.code == protocol::StatusCode::unavailable ||
                  status.code == protocol::StatusCode::resource_exhausted,
              "the registry refused {}: {}", registration.instance, status.text);
      registration.over = true;
      static_cast<void>(session().send_end(event.stream));
      return;
    }
    case EventType::reset:
    case EventType::stream_closed:
      registration.over = true;
      return;
    default:
      return;
  }
}

void Responder::on_program_event(const protocol::Event& event) {
  if (event.type == EventType::closed) {
    for (auto& entry : registrations_) entry.second.over = true;
    pending_.clear();
    probes_.clear();
    probes_held_.clear();
    return;
  }
  answer_probes();
  if (const auto mine = registrations_.find(event.stream);
      event.stream != 0 && mine != registrations_.end()) {
    return on_registry_event(mine->second, event);
  }
  if (on_stream_event(event)) return;
  switch (event.type) {
    case EventType::stream_opened:
      targets_[event.stream] = event.metadata.service().value_or(std::string_view());
      if (event.metadata.method() == messages::kHealthMethod) probe_streams_.insert(event.stream);
      return;
    case EventType::end:
      static_cast<void>(session().send_end(event.stream));
      return;
    case EventType::request:
      if (probe_streams_.contains(event.stream)) return on_probe(event);
      return on_request(event);
    case EventType::notify:
      return on_request(event);
    case EventType::cancel:
    case EventType::abandoned:
      return hurry(event);
    default:
      return;
  }
}

}  // namespace valkyrie::simulation
