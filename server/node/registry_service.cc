#include "server/node/registry_service.h"

#include <utility>

namespace valkyrie::server {
namespace {

using messages::RegisterEvent;
using protocol::CloseCode;
using protocol::Outcome;
using protocol::StatusCode;

constexpr router::LocalMethod kMethods[] = {
    {.name = "List"}, {.name = "Register", .kind = protocol::StreamKind::stream}};

std::string bad_body(messages::DecodeError error) {
  return "the body is not readable: " + std::string(messages::to_string(error));
}

}  // namespace

constinit const router::LocalServiceInfo RegistryService::kInfo{.name = messages::kRegistryService,
                                                                .methods = kMethods};

RegistryService::RegistryService(router::Router& router, std::uint64_t seed,
                                 std::shared_ptr<const registry::ServiceRules> rules)
    : router_(router), catalog_(std::move(rules)), random_(seed) {
  router.observe(this);
}

void RegistryService::on_request(router::LocalCall call, const router::LocalRequest& request,
                                 protocol::Instant now) {
  const auto body = messages::decode<messages::ListServicesRequest>(request.payload);
  if (!body) {
    return call.fail(StatusCode::invalid_argument, bad_body(body.error()), Outcome::not_executed);
  }
  call.respond(messages::encode(catalog_.list(body->prefix, now)));
}

void RegistryService::on_stream(router::LocalStream stream, const router::LocalOpen& open,
                                protocol::Instant /*now*/) {
  registrars_[stream.id()] = {.stream = stream,
                              .from = {.stream = stream.id(),
                                       .shard = open.caller.shard,
                                       .connection = open.caller.connection,
                                       .peer = std::string(open.caller.address)},
                              .over = false};
}

void RegistryService::on_message(router::LocalStream stream, const router::LocalMessage& message,
                                 protocol::Instant now) {
  stream.consume(message.cost);
  Registrar& registrar = registrars_.at(stream.id());
  if (registrar.over) return;
  const auto body = messages::decode<messages::RegisterMessage>(message.payload);
  if (!body) {
    return refuse(registrar,
                  {.code = StatusCode::invalid_argument, .text = bad_body(body.error())});
  }
  if (const auto* request = std::get_if<messages::RegisterRequest>(&*body)) {
    return add(registrar, *request, now);
  }
  auto changed = catalog_.update(stream.id(), std::get<messages::InstanceUpdate>(*body), now);
  if (!changed) return refuse(registrar, changed.error());
  router_.publish(*std::move(changed));
}

void RegistryService::add(Registrar& registrar, const messages::RegisterRequest& request,
                          protocol::Instant now) {
  auto added = catalog_.add(request, registrar.from, random_(), now);
  if (!added) return refuse(registrar, added.error());
  if (added->superseded) {
    router_.publish(*std::move(added->removed));
    const auto earlier = registrars_.find(*added->superseded);
    earlier->second.stream.reset(CloseCode::superseded, "the instance has registered again");
    registrars_.erase(earlier);
  }
  std::string name = added->update.info->instance;
  const std::uint64_t revision = router_.publish(std::move(added->update));
  replies_.push_back(
      {.revision = revision, .stream = registrar.from.stream, .instance = std::move(name)});
  on_routes_applied(router_.routes_applied());
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
  if (auto update = catalog_.suspect(instance, now)) router_.publish(*std::move(update));
}

std::optional<protocol::Instant> RegistryService::deadline() const { return catalog_.deadline(); }

void RegistryService::on_deadline(protocol::Instant now) {
  for (registry::RouteUpdate& update : catalog_.judge(now)) router_.publish(std::move(update));
}

void RegistryService::refuse(Registrar& registrar, const registry::Refusal& refusal) {
  registrar.over = true;
  remove(registrar.from.stream);
  registrar.stream.end({refusal.code, Outcome::not_executed, refusal.text});
}

void RegistryService::remove(std::uint64_t stream) {
  if (auto update = catalog_.remove(stream)) router_.publish(*std::move(update));
}

void RegistryService::on_end(router::LocalStream stream, protocol::Instant /*now*/) {
  remove(stream.id());
  stream.end();
}

void RegistryService::on_closed(router::LocalStream stream, CloseCode /*code*/,
                                protocol::Instant /*now*/) {
  remove(stream.id());
  registrars_.erase(stream.id());
}

}  // namespace valkyrie::server
