#include "server/registry/route_table.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "protocol/assert.h"
#include "server/registry/names.h"
#include "server/registry/suggestion.h"

namespace valkyrie::registry {
namespace {

std::string counted(std::size_t instances) {
  return fmt::format("{} instance{}", instances, instances == 1 ? "" : "s");
}

std::string versioned(const InstanceInfo& info) { return info.service + '@' + info.version; }

}  // namespace

RouteTable::RouteTable(std::shared_ptr<const ServiceRules> rules, std::uint32_t shards)
    : rules_(rules != nullptr ? std::move(rules) : std::make_shared<const ServiceRules>()),
      shards_(shards) {}

Service* RouteTable::find_service(std::string_view target) {
  const auto at = services_.find(target);
  return at == services_.end() ? nullptr : at->second.get();
}

Service& RouteTable::entry(std::string_view target) {
  if (Service* known = find_service(target)) return *known;
  ServiceSettings settings = rules_->settings_of(target);
  const std::string_view place = rules_->node_label(settings.locality).value_or("");
  const std::uint32_t most = settings.in_flight_max;
  const std::uint32_t limit = most == 0 ? UINT32_MAX : (most + shards_ - 1) / shards_;
  const ServiceTarget parts = parse_target(target);
  Service* home = nullptr;
  if (!parts.version.empty()) {
    home = &entry(parts.name);
    ++home->references;
    home->has_versions = true;
  }
  auto made = std::make_unique<Service>(std::string(target), std::move(settings),
                                        std::string(place), limit, home);
  return *services_.emplace(std::string(target), std::move(made)).first->second;
}

Service& RouteTable::refer(std::string_view target) {
  Service* known = find_service(target);
  if (known == nullptr) {
    known = &entry(target);
    const ServiceTarget parts = parse_target(target);
    for (auto& [id, instance] : instances_) {
      // A version that nobody asked for before has no entry of its own yet.
      if (!instance->removed && !parts.version.empty() && instance->info->service == parts.name &&
          instance->info->version == parts.version) {
        known->add(*instance);
      }
    }
  }
  ++known->references;
  return *known;
}

void RouteTable::release(Service& service) {
  VALKYRIE_ASSERT(service.references > 0);
  --service.references;
  drop_if_unused(service);
}

void RouteTable::drop_if_unused(Service& service) {
  if (service.references > 0 || !service.instances().empty() || service.is_builtin()) return;
  Service& home = service.home();
  services_.erase(services_.find(service.target()));
  if (&home != &service) release(home);
}

void RouteTable::add_builtin(std::string_view name, std::uint32_t index) {
  const bool is_new =
      services_.emplace(std::string(name), std::make_unique<Service>(std::string(name), index))
          .second;
  VALKYRIE_ASSERT(is_new);
}

Instance* RouteTable::apply(const RouteUpdate& update) {
  const InstanceInfo& info = *update.info;
  if (update.kind == RouteUpdate::Kind::add) {
    auto made = std::make_unique<Instance>();
    made->info = update.info;
    made->state = update.state;
    made->weight = update.weight;
    made->ready_since = update.ready_since;
    made->name_hash = stable_hash(info.instance);
    Instance& instance = *made;
    const bool is_new = instances_.emplace(info.id, std::move(made)).second;
    VALKYRIE_ASSERT(is_new);
    instance.home = &entry(info.service);
    ++instance.home->references;
    instance.home->count_in(info.service_gauge);
    instance.home->add(instance);
    if (Service* exact = find_service(versioned(info)); exact != nullptr && !info.version.empty()) {
      exact->add(instance);
    }
    return &instance;
  }
  const auto known = instances_.find(info.id);
  if (known == instances_.end()) return nullptr;
  Instance* instance = known->second.get();
  if (update.kind == RouteUpdate::Kind::remove) {
    ++instance->references;
    withdraw(*instance);
    release(*instance);
    return nullptr;
  }
  if (instance->removed) return nullptr;
  instance->state = update.state;
  instance->weight = update.weight;
  instance->ready_since = update.ready_since;
  refresh(*instance);
  return instance;
}

void RouteTable::refresh(const Instance& instance) {
  if (Service* service = find_service(instance.info->service)) service->refresh();
  if (instance.info->version.empty()) return;
  if (Service* exact = find_service(versioned(*instance.info))) exact->refresh();
}

void RouteTable::withdraw(Instance& instance) {
  if (instance.removed) return;
  instance.removed = true;
  for (Service* service :
       {find_service(instance.info->service),
        instance.info->version.empty() ? nullptr : find_service(versioned(*instance.info))}) {
    if (service == nullptr) continue;
    service->remove(instance);
    drop_if_unused(*service);
  }
}

void RouteTable::release(Instance& instance) {
  VALKYRIE_ASSERT(instance.references > 0);
  if (--instance.references > 0 || !instance.removed) return;
  Service& home = *instance.home;
  instances_.erase(instance.info->id);
  release(home);
}

Instance* RouteTable::find(std::uint64_t id) {
  const auto at = instances_.find(id);
  return at == instances_.end() || at->second->removed ? nullptr : at->second.get();
}

std::string RouteTable::explain(const Service& service, NoChoice why, std::string_view method) {
  const std::string& target = service.target();
  switch (why) {
    case NoChoice::all_busy:
      return fmt::format("{}: {} of {} instances busy", target, service.ready().size(),
                         service.instances().size());
    case NoChoice::at_limit: {
      const Service& home = service.home();
      return fmt::format("{}: {} of {} calls in flight", target, home.ours, home.limit());
    }
    case NoChoice::unknown_method:
      return fmt::format("{} has no method \"{}\"", target, method);
    case NoChoice::none:
    case NoChoice::no_instance:
      break;
  }
  if (service.instances().empty()) return explain_unknown(service);
  const auto draining =
      std::ranges::count(service.instances(), messages::InstanceState::draining, &Instance::state);
  return fmt::format("{}: no instance is ready ({} registered, {} draining)", target,
                     service.instances().size(), draining);
}

std::string RouteTable::explain_unknown(const Service& service) {
  const std::string& target = service.target();
  if (service.was_served()) return fmt::format("{}: no instance left", target);
  const ServiceTarget wanted = parse_target(target);
  if (!wanted.version.empty()) {
    if (const std::string others = other_versions(wanted.name); !others.empty()) {
      return fmt::format("no version \"{}\" of service \"{}\"; there is {}", wanted.version,
                         wanted.name, others);
    }
  }
  const Service* nearest = nullptr;
  std::size_t edits = forgiven_edits(wanted.name) + 1;
  std::size_t tried = 0;
  for (const auto& [name, candidate] : services_) {
    const bool is_served = candidate->is_builtin() || !candidate->instances().empty();
    if (!is_served || name.find('@') != std::string::npos) continue;
    if (edits == 0 || ++tried > kSuggestionsTriedMax) break;
    const auto distance = edit_distance(wanted.name, name, edits - 1);
    if (!distance) continue;
    nearest = candidate.get();
    edits = *distance;
  }
  if (nearest == nullptr) return fmt::format("no service \"{}\"", target);
  if (nearest->is_builtin()) {
    return fmt::format("no service \"{}\"; did you mean \"{}\"?", target, nearest->target());
  }
  return fmt::format("no service \"{}\"; did you mean \"{}\" ({})?", target, nearest->target(),
                     counted(nearest->instances().size()));
}

std::string RouteTable::other_versions(std::string_view name) {
  const Service* service = find_service(name);
  if (service == nullptr) return {};
  std::map<std::string_view, std::size_t> versions;
  for (const Instance* instance : service->instances()) ++versions[instance->info->version];
  std::string text;
  for (const auto& [version, instances] : versions) {
    if (!text.empty()) text += ", ";
    text += fmt::format("\"{}\" ({})", version, counted(instances));
    if (text.size() > messages::kRegistryNameBytesMax) return text + ", ...";
  }
  return text;
}

}  // namespace valkyrie::registry
