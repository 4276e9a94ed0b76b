#include "server/node/registry_service.h"

#include <fmt/format.h>
#include <utility>

#include "server/policy/identity.h"

namespace valkyrie::server {
namespace {

using messages::RegisterEvent;
using protocol::CloseCode;
using protocol::Outcome;
using protocol::StatusCode;

constexpr std::string_view kRegister = "Register";

constexpr router::LocalMethod kMethods[] = {
    {.name = "List", .asks_policy = true},
    {.name = kRegister, .kind = protocol::StreamKind::stream, .asks_policy = true},
    {.name = "Watch", .kind = protocol::StreamKind::stream, .asks_policy = true}};

std::string bad_body(messages::DecodeError error) {
  if (error == messages::DecodeError::limit) {
    return fmt::format("the body is over a limit: an instance has at most {} methods and {} labels",
                       messages::kMethodsMax, messages::kInstanceLabelsMax);
  }
  return "the body is not readable: " + std::string(messages::to_string(error));
}

}  // namespace

constinit const router::LocalServiceInfo RegistryService::kInfo{.name = messages::kRegistryService,
                                                                .methods = kMethods};

RegistryService::RegistryService(router::Router& router, std::uint32_t shards, std::uint64_t seed,
                                 std::shared_ptr<const registry::ServiceRules> rules)
    : router_(router), catalog_(std::move(rules), shards), random_(seed) {
  router.observe(this);
}

void RegistryService::on_request(router::LocalCall call, const router::LocalRequest& request,
                                 protocol::Instant now) {
  const auto body = messages::decode<messages::ListServicesRequest>(request.payload);
  if (!body) {
    return call.fail(StatusCode::invalid_argument, bad_body(body.error()), Outcome::not_executed);
  }
  if (const auto denial = denial_of_watch(request.caller.gate.get(), body->prefix, now)) {
    return call.fail(StatusCode::permission_denied, *denial, Outcome::not_executed);
  }
  call.respond(messages::encode(catalog_.list(body->prefix, now)));
}

void RegistryService::on_stream(router::LocalStream stream, const router::LocalOpen& open,
                                protocol::Instant /*now*/) {
  if (open.method != kRegister) return watches_.open(stream, open.caller.gate);
  registrars_[stream.id()] = {.stream = stream,
                              .from = {.stream = stream.id(),
                                       .shard = open.caller.shard,
                                       .connection = open.caller.connection,
                                       .peer = std::string(open.caller.address)},
                              .who = std::string(policy::subject_of_value(open.caller.identity)),
                              .gate = open.caller.gate,
                              .over = false};
}

void RegistryService::on_message(router::LocalStream stream, const router::LocalMessage& message,
                                 protocol::Instant now) {
  stream.consume(message.cost);
  if (watches_.knows(stream.id())) return watches_.on_message(stream, message.payload, now);
  Registrar& registrar = registrars_.at(stream.id());
  if (registrar.over) return;
  const auto body = messages::decode<messages::RegisterMessage>(message.payload);
  if (!body) {
    return refuse(registrar, {.code = StatusCode::invalid_argument, .text = bad_body(body.error())},
                  now);
  }
  if (const auto* request = std::get_if<messages::RegisterRequest>(&*body)) {
    return add(registrar, *request, now);
  }
  auto changed = catalog_.update(stream.id(), std::get<messages::InstanceUpdate>(*body), now);
  if (!changed) return refuse(registrar, changed.error(), now);
  publish(*std::move(changed), now);
}

void RegistryService::add(Registrar& registrar, const messages::RegisterRequest& request,
                          protocol::Instant now) {
  if (const auto denial = policy::denial_of(registrar.gate.get(), policy::Action::serve,
                                            {.name = request.service}, {.now = now})) {
    return refuse(registrar, {StatusCode::permission_denied, *denial}, now);
  }
  auto added = catalog_.add(request, registrar.from, random_(), now);
  if (!added) {
    static_cast<void>(audit(registrar, request, request.instance, added.error().text));
    return refuse(registrar, added.error(), now);
  }
  if (added->superseded) {
    publish(*std::move(added->removed), now);
    reset(*added->superseded, CloseCode::superseded, "the instance has registered again");
  }
  std::string name = added->update.info->instance;
  const std::uint64_t revision = publish(std::move(added->update), now);
  if (!audit(registrar, request, name, {})) {
    return refuse(registrar,
                  {.code = StatusCode::unavailable, .text = "the node cannot write its audit log"},
                  now);
  }
  replies_.push_back(
      {.revision = revision, .stream = registrar.from.stream, .instance = std::move(name)});
  on_routes_applied(router_.routes_applied());
}

// False if the registration is to be refused since it cannot be written down.
bool RegistryService::audit(const Registrar& registrar, const messages::RegisterRequest& request,
                            std::string_view instance, std::string_view refusal) {
  if (audit_ == nullptr) return true;
  return audit_->write({.who = registrar.who,
                        .action = "service.register",
                        .what = fmt::format("{}/{}", request.service, instance),
                        .from = registrar.from.peer,
                        .decision = refusal.empty() ? policy::AuditDecision::allowed
                                                    : policy::AuditDecision::refused,
                        .reason = refusal});
}

// The instance can be called from everywhere: its client may say so.
void RegistryService::on_routes_applied(std::uint64_t revision) {
  while (!replies_.empty() && replies_.front().revision <= revision) {
    const Reply reply = std::move(replies_.front());
    replies_.pop_front();
    const auto registrar = registrars_.find(reply.stream);
    if (registrar == registrars_.end()) continue;
    registrar->second.stream.send(
        messages::encode(RegisterEvent(messages::RegisterReply{.instance = reply.instance})));
  }
}

void RegistryService::on_suspect(std::uint64_t instance, protocol::Instant now) {
  if (auto update = catalog_.suspect(instance, now)) publish(*std::move(update), now);
}

void RegistryService::on_probed(std::uint64_t instance, registry::ProbeVerdict verdict,
                                std::string_view why, protocol::Instant now) {
  const auto stream = catalog_.stream_of(instance);
  if (!stream) return;
  if (verdict == registry::ProbeVerdict::gone) {
    // As of a peer whose keepalive fails: it may register again.
    remove(*stream, now);
    return reset(*stream, CloseCode::keepalive_timeout, why);
  }
  if (auto update = catalog_.probed(instance, std::string(why), now)) {
    publish(*std::move(update), now);
  }
}

std::optional<protocol::Instant> RegistryService::deadline() const { return catalog_.deadline(); }

void RegistryService::on_deadline(protocol::Instant now) {
  for (registry::RouteUpdate& update : catalog_.judge(now)) publish(std::move(update), now);
}

// Makes a change true on every shard, and tells who watches.
std::uint64_t RegistryService::publish(registry::RouteUpdate update, protocol::Instant now) {
  const auto info = update.info;
  const bool removed = update.kind == registry::RouteUpdate::Kind::remove;
  const std::uint64_t revision = router_.publish(std::move(update));
  watches_.on_change(revision, *info, removed, now);
  if (removed && audit_ != nullptr) {
    // It is gone either way.
    static_cast<void>(audit_->write({.action = "service.deregister",
                                     .what = fmt::format("{}/{}", info->service, info->instance),
                                     .from = info->peer}));
  }
  return revision;
}

void RegistryService::refuse(Registrar& registrar, const registry::Refusal& refusal,
                             protocol::Instant now) {
  registrar.over = true;
  remove(registrar.from.stream, now);
  registrar.stream.end({refusal.code, Outcome::not_executed, refusal.text});
}

void RegistryService::remove(std::uint64_t stream, protocol::Instant now) {
  if (auto update = catalog_.remove(stream)) publish(*std::move(update), now);
}

// Ends a registration that the catalog has forgotten.
void RegistryService::reset(std::uint64_t stream, CloseCode code, std::string_view text) {
  const auto registrar = registrars_.find(stream);
  registrar->second.stream.reset(code, text);
  registrars_.erase(registrar);
}

void RegistryService::on_end(router::LocalStream stream, protocol::Instant now) {
  remove(stream.id(), now);
  // Whoever watches may end its side with the request; the events go on until it is gone.
  if (!watches_.knows(stream.id())) stream.end();
}

void RegistryService::on_drain(protocol::Duration /*grace*/, protocol::Instant /*now*/) {
  watches_.end_all();
}

void RegistryService::on_writable(router::LocalStream stream, protocol::Instant now) {
  watches_.on_writable(stream.id(), now);
}

void RegistryService::on_closed(router::LocalStream stream, CloseCode /*code*/,
                                protocol::Instant now) {
  watches_.close(stream.id());
  remove(stream.id(), now);
  registrars_.erase(stream.id());
}

}  // namespace valkyrie::server
