#include "server/registry/catalog.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "server/registry/names.h"

namespace valkyrie::registry {
namespace {

using messages::InstanceState;
using protocol::StatusCode;

std::unexpected<Refusal> refuse(StatusCode code, std::string text) {
  return std::unexpected(Refusal{.code = code, .text = std::move(text)});
}

// What a peer wrote, short enough for a status text.
std::string_view shown(std::string_view text) { return text.substr(0, 64); }

std::optional<Refusal> check_names(const messages::RegisterRequest& request) {
  const auto invalid = [](std::string_view what, std::string_view name) {
    return Refusal{.code = StatusCode::invalid_argument,
                   .text = fmt::format("{} name \"{}\" is against the grammar", what, shown(name))};
  };
  if (!valid_service_name(request.service)) return invalid("service", request.service);
  if (reserved(request.service)) {
    return Refusal{.code = StatusCode::permission_denied,
                   .text = fmt::format("\"{}\" is reserved for the node", request.service)};
  }
  if (!request.version.empty() && !valid_version(request.version)) {
    return invalid("version", request.version);
  }
  if (!request.instance.empty() && !valid_instance_name(request.instance)) {
    return invalid("instance", request.instance);
  }
  for (const messages::MethodInfo& method : request.methods) {
    if (!valid_method_name(method.name)) return invalid("method", method.name);
    if (reserved(method.name)) {
      return Refusal{.code = StatusCode::permission_denied,
                     .text = fmt::format("method \"{}\" is the node's own", shown(method.name))};
    }
  }
  return std::nullopt;
}

}  // namespace

Catalog::Catalog(std::shared_ptr<const ServiceRules> rules, std::uint32_t shards)
    : rules_(rules != nullptr ? std::move(rules) : std::make_shared<const ServiceRules>()),
      shards_(shards) {}

InstanceState Catalog::Registration::state() const {
  if (draining) return InstanceState::draining;
  if (health != messages::Health::healthy || !probe_failure.empty()) {
    return InstanceState::not_ready;
  }
  return ejection.is_out ? InstanceState::ejected : InstanceState::ready;
}

RouteUpdate Catalog::Registration::route(RouteUpdate::Kind kind) const {
  return {.kind = kind,
          .state = state(),
          .weight = weight,
          .revision = 0,
          .ready_since = ready_since,
          .info = info};
}

std::optional<Refusal> Catalog::check(const messages::RegisterRequest& request,
                                      const Registrant& from) const {
  if (auto refusal = check_names(request)) return refusal;
  if (by_stream_.contains(from.stream)) {
    return Refusal{.code = StatusCode::failed_precondition,
                   .text = "this stream has registered an instance already; open another"};
  }
  const auto held = per_connection_.find({from.shard, from.connection});
  if (held != per_connection_.end() && held->second >= kConnectionInstancesMax) {
    return Refusal{.code = StatusCode::resource_exhausted,
                   .text = fmt::format("this connection has registered {} instances already",
                                       kConnectionInstancesMax)};
  }
  if (by_stream_.size() >= kNodeInstancesMax) {
    return Refusal{.code = StatusCode::resource_exhausted,
                   .text = fmt::format("this node has {} instances already", kNodeInstancesMax)};
  }
  return std::nullopt;
}

// Each change of the routes costs every shard and every watcher: whoever makes many pays first.
std::optional<Refusal> Catalog::spend(const messages::RegisterRequest& request,
                                      const Registrant& from, protocol::Instant now) {
  const std::string connection = fmt::format("{}/{}", from.shard, from.connection);
  if (!connection_flaps_.take(connection, now)) {
    return Refusal{.code = StatusCode::resource_exhausted,
                   .text = "this connection registers too often"};
  }
  if (request.instance.empty()) return std::nullopt;
  const std::string instance = fmt::format("{}/{}", request.service, request.instance);
  if (instance_flaps_.take(instance, now)) return std::nullopt;
  return Refusal{
      .code = StatusCode::resource_exhausted,
      .text = fmt::format("instance \"{}\" of {} registers too often; at most {} times, then once "
                          "a second",
                          shown(request.instance), request.service, kInstanceFlapsMax)};
}

std::expected<Registered, Refusal> Catalog::add(const messages::RegisterRequest& request,
                                                const Registrant& from, std::uint64_t random,
                                                protocol::Instant now) {
  if (auto refusal = check(request, from)) return std::unexpected(std::move(*refusal));
  if (auto refusal = spend(request, from, now)) return std::unexpected(std::move(*refusal));
  auto info = std::make_shared<InstanceInfo>();
  info->methods = request.methods;
  std::ranges::sort(info->methods, {}, &messages::MethodInfo::name);
  const auto twice = std::ranges::adjacent_find(info->methods, {}, &messages::MethodInfo::name);
  if (twice != info->methods.end()) {
    return refuse(StatusCode::invalid_argument,
                  fmt::format("method \"{}\" is declared twice", shown(twice->name)));
  }
  info->id = next_id_++;
  info->shard = from.shard;
  info->connection = from.connection;
  info->service = request.service;
  info->version = request.version;
  info->instance =
      request.instance.empty() ? fmt::format("i-{:012x}", random >> 16U) : request.instance;
  info->concurrency =
      request.concurrency == 0 ? messages::kInstanceConcurrencyDefault : request.concurrency;
  info->labels = request.labels;
  info->peer = from.peer;
  info->registered = now;

  Registered result;
  const auto service = services_.find(request.service);
  if (service != services_.end()) {
    const auto earlier = service->second.instances.find(info->instance);
    if (earlier != service->second.instances.end()) {
      result.superseded = earlier->second.stream;
      result.removed = remove(earlier->second.stream);
    }
  }
  Entry& known = entry(info->service, now);
  info->service_gauge = known.gauge;
  Registration& made = known.instances[info->instance];
  made.stream = from.stream;
  made.weight = request.weight == 0 ? messages::kInstanceWeightDefault : request.weight;
  made.ready_since = now;
  made.info = std::move(info);
  by_stream_.emplace(from.stream, std::pair(made.info->service, made.info->instance));
  streams_.emplace(made.info->id, from.stream);
  ++per_connection_[{from.shard, from.connection}];
  deadline_.reset();
  result.update = made.route(RouteUpdate::Kind::add);
  return result;
}

Catalog::Registration* Catalog::find(std::uint64_t stream) {
  const auto at = by_stream_.find(stream);
  if (at == by_stream_.end()) return nullptr;
  return &services_.find(at->second.first)->second.instances.find(at->second.second)->second;
}

// The entry of a service, made with its first instance.
Catalog::Entry& Catalog::entry(const std::string& service, protocol::Instant now) {
  const auto known = services_.find(service);
  if (known != services_.end()) return known->second;
  Entry& made = services_[service];
  made.settings = rules_->settings_of(service);
  made.gauge = std::make_shared<ServiceGauge>(shards_);
  made.judged = now;
  if (made.settings.ejection.success_gap > 0) ++compared_;
  deadline_.reset();
  return made;
}

std::expected<RouteUpdate, Refusal> Catalog::update(std::uint64_t stream,
                                                    const messages::InstanceUpdate& change,
                                                    protocol::Instant now) {
  Registration* registration = find(stream);
  if (registration == nullptr) {
    return refuse(StatusCode::failed_precondition,
                  "the first message of a registration is a RegisterRequest");
  }
  const bool was_ready = registration->state() == InstanceState::ready;
  if (change.health) registration->health = *change.health;
  if (change.weight) registration->weight = *change.weight;
  if (change.drain.value_or(false)) registration->draining = true;
  deadline_.reset();
  if (!was_ready && registration->state() == InstanceState::ready) registration->ready_since = now;
  return registration->route(RouteUpdate::Kind::change);
}

std::optional<RouteUpdate> Catalog::probed(std::uint64_t instance, std::string failure,
                                           protocol::Instant now) {
  const auto stream = streams_.find(instance);
  if (stream == streams_.end()) return std::nullopt;
  Registration& registration = *find(stream->second);
  const bool was_ready = registration.state() == InstanceState::ready;
  registration.probe_failure = std::move(failure);
  deadline_.reset();
  if (!was_ready && registration.state() == InstanceState::ready) registration.ready_since = now;
  return registration.route(RouteUpdate::Kind::change);
}

std::optional<std::uint64_t> Catalog::stream_of(std::uint64_t instance) const {
  const auto stream = streams_.find(instance);
  return stream == streams_.end() ? std::nullopt : std::optional(stream->second);
}

std::optional<RouteUpdate> Catalog::remove(std::uint64_t stream) {
  const auto at = by_stream_.find(stream);
  if (at == by_stream_.end()) return std::nullopt;
  const auto service = services_.find(at->second.first);
  Instances& instances = service->second.instances;
  const auto instance = instances.find(at->second.second);
  RouteUpdate update = instance->second.route(RouteUpdate::Kind::remove);
  if (instance->second.ejection.is_out) --ejected_;
  streams_.erase(update.info->id);
  instances.erase(instance);
  if (instances.empty()) {
    if (service->second.settings.ejection.success_gap > 0) --compared_;
    services_.erase(service);
  }
  deadline_.reset();
  by_stream_.erase(at);
  const auto held = per_connection_.find({update.info->shard, update.info->connection});
  if (--held->second == 0) per_connection_.erase(held);
  return update;
}

}  // namespace valkyrie::registry
