#include "server/registry/service.h"

#include <algorithm>

namespace valkyrie::registry {
namespace {

// True if `a` has less to do for its weight than `b`.
bool less_loaded(const Instance& a, const Instance& b) {
  return std::uint64_t{a.outstanding} * b.weight < std::uint64_t{b.outstanding} * a.weight;
}

}  // namespace

bool declares(const InstanceInfo& info, std::string_view method) {
  if (info.methods.empty()) return true;
  const auto at = std::ranges::lower_bound(info.methods, method, {}, &messages::MethodInfo::name);
  return at != info.methods.end() && at->name == method;
}

bool Service::may_have(std::string_view method) const {
  if (!methods_known_ || all_.empty()) return true;
  return std::ranges::any_of(all_, [&](const Instance* i) { return declares(*i->info, method); });
}

Instance* Service::draw(Random& random) const {
  if (even_weights_) return ready_[random() % ready_.size()];
  std::uint64_t left = random() % weight_total_;
  for (Instance* instance : ready_) {
    if (left < instance->weight) return instance;
    left -= instance->weight;
  }
  return ready_.back();
}

bool Service::eligible(const Instance& instance, std::string_view method,
                       std::span<const std::uint64_t> tried) const {
  return instance.has_room() && (!methods_differ_ || declares(*instance.info, method)) &&
         std::ranges::find(tried, instance.info->id) == tried.end();
}

Choice Service::choose(std::string_view method, std::span<const std::uint64_t> tried,
                       Random& random) const {
  if (ready_.empty()) return {.why = NoChoice::no_instance};
  if (ready_.size() == 1) {
    Instance* only = ready_.front();
    if (eligible(*only, method, tried)) return {.instance = only};
  } else {
    Instance* first = draw(random);
    Instance* second = draw(random);
    const bool first_fits = eligible(*first, method, tried);
    const bool second_fits = eligible(*second, method, tried);
    if (second_fits && (!first_fits || less_loaded(*second, *first))) return {.instance = second};
    if (first_fits) return {.instance = first};
  }
  Instance* best = nullptr;
  for (Instance* instance : ready_) {
    if (!eligible(*instance, method, tried)) continue;
    if (best == nullptr || less_loaded(*instance, *best)) best = instance;
  }
  if (best != nullptr) return {.instance = best};
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

void Service::refresh() {
  ++generation_;
  ready_.clear();
  weight_total_ = 0;
  even_weights_ = true;
  methods_differ_ = false;
  methods_known_ = true;
  for (Instance* instance : all_) {
    if (instance->info->methods.empty()) methods_known_ = false;
    if (instance->info->methods != all_.front()->info->methods) methods_differ_ = true;
    if (instance->state != messages::InstanceState::ready) continue;
    ready_.push_back(instance);
    weight_total_ += instance->weight;
    if (instance->weight != ready_.front()->weight) even_weights_ = false;
  }
}

}  // namespace valkyrie::registry
