#include "server/registry/service.h"

#include <algorithm>

namespace valkyrie::registry {
namespace {

// An instance that starts slowly begins with this part of its share.
constexpr std::int64_t kSlowStartPercent = 10;
// Steps in which it grows.
constexpr std::int64_t kSlowStartSteps = 20;

}  // namespace

Service::Service(std::string target, ServiceSettings settings, std::string place,
                 std::uint32_t limit, Service* home)
    : target_(std::move(target)),
      settings_(std::move(settings)),
      place_(std::move(place)),
      limit_(limit),
      home_(home),
      balancer_(settings_.balance) {}

bool Service::may_have(std::string_view method) const {
  if (!methods_known_ || all_.empty()) return true;
  return std::ranges::any_of(all_, [&](const Instance* i) { return declares(*i->info, method); });
}

Choice Service::choose(std::string_view method, std::span<const std::uint64_t> tried,
                       Random& random, std::uint64_t key) {
  if (ready_.empty()) return {.why = NoChoice::no_instance};
  const Wanted wanted{
      .method = method, .tried = tried, .key = key, .methods_differ = methods_differ_};
  if (Instance* instance = balancer_.choose(wanted, random)) return {.instance = instance};
  return {.why = may_have(method) ? NoChoice::all_busy : NoChoice::unknown_method};
}

void Service::add(Instance& instance) {
  all_.push_back(&instance);
  was_served_ = true;
  refresh();
}

void Service::remove(Instance& instance) {
  std::erase(all_, &instance);
  refresh();
}

bool Service::is_local(const InstanceInfo& info) const {
  return std::ranges::any_of(info.labels, [&](const messages::ServiceLabel& label) {
    return label.first == settings_.locality && label.second == place_;
  });
}

void Service::refresh() {
  ++generation_;
  ready_.clear();
  methods_differ_ = false;
  methods_known_ = true;
  std::size_t local_count = 0;
  for (Instance* instance : all_) {
    if (instance->info->methods.empty()) methods_known_ = false;
    if (instance->info->methods != all_.front()->info->methods) methods_differ_ = true;
    if (instance->state != messages::InstanceState::ready || instance->weight == 0) continue;
    instance->share = instance->weight * kShareOfWeight;
    // Local ones first; otherwise in the order they came.
    const bool local = !place_.empty() && is_local(*instance->info);
    const std::size_t at = local ? local_count++ : ready_.size();
    ready_.insert(ready_.begin() + static_cast<std::ptrdiff_t>(at), instance);
  }
  balancer_.assign(ready_, local_count);
  // The next advance() finds out who starts slowly.
  if (settings_.slow_start > protocol::Duration::zero()) next_step_ = protocol::Instant::min();
}

// A share grows evenly from a tenth to the whole, in steps.
void Service::reweigh(protocol::Instant now) {
  next_step_ = protocol::Instant::max();
  for (Instance* instance : ready_) {
    const std::uint32_t full = instance->weight * kShareOfWeight;
    const protocol::Duration age = now - instance->ready_since;
    if (age >= settings_.slow_start) {
      instance->share = full;
      continue;
    }
    const protocol::Duration step = settings_.slow_start / kSlowStartSteps;
    const auto steps = age / step;
    const std::int64_t percent =
        kSlowStartPercent + (100 - kSlowStartPercent) * steps / kSlowStartSteps;
    instance->share = static_cast<std::uint32_t>(std::max<std::int64_t>(1, full * percent / 100));
    next_step_ = std::min(next_step_, instance->ready_since + step * (steps + 1));
  }
  balancer_.reweigh();
}

}  // namespace valkyrie::registry
