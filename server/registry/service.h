// A service as one shard routes to it: its instances and the choice between them.
//
// No I/O, no clock, no threads. Not thread-safe: one shard owns it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/registry/balance.h"
#include "server/registry/service_gauge.h"
#include "server/registry/service_settings.h"

namespace valkyrie::registry {

// Why no instance was chosen.
enum class NoChoice : std::uint8_t {
  none,            // One was.
  no_instance,     // None is registered, or none is ready.
  all_busy,        // Every ready instance has all the calls it takes.
  at_limit,        // The service has all the calls in flight that its settings allow.
  unknown_method,  // Every instance declared its methods, and this is none of them.
};

// An instance to give a call to, or why there is none.
struct Choice {
  Instance* instance = nullptr;
  NoChoice why = NoChoice::none;
};

// Instances behind one SERVICE value, `name` or `name@version`.
class Service {
 public:
  // Of a service that has no instance yet. Instances whose label `settings.locality` has the value
  // `place` are preferred; without `place` none is.
  // `limit` bounds within_limit(). `home` is what a version belongs to, else null.
  explicit Service(std::string target, ServiceSettings settings = {}, std::string place = {},
                   std::uint32_t limit = UINT32_MAX, Service* home = nullptr);
  // Of a service of the node itself; `builtin` is its index on every shard.
  Service(std::string target, std::uint32_t builtin)
      : target_(std::move(target)), builtin_(builtin), is_builtin_(true) {}

  // How its calls are treated.
  [[nodiscard]] const ServiceSettings& settings() const { return settings_; }
  // The SERVICE value.
  [[nodiscard]] const std::string& target() const { return target_; }
  // True if the node itself serves it.
  [[nodiscard]] bool is_builtin() const { return is_builtin_; }
  // Index among the node's own services. REQUIRES: is_builtin().
  [[nodiscard]] std::uint32_t builtin() const { return builtin_; }
  // All instances, also those that take no calls, in the order they came.
  [[nodiscard]] std::span<Instance* const> instances() const { return all_; }
  // Those that are ready and have a weight, the preferred ones first.
  [[nodiscard]] std::span<Instance* const> ready() const { return ready_; }
  // True if an instance was ever registered while the entry lived.
  [[nodiscard]] bool was_served() const { return was_served_; }
  // Changes whenever an instance or its state does, so that what was derived can be kept.
  [[nodiscard]] std::uint64_t generation() const { return generation_; }

  // False if every instance declared its methods and `method` is none of them; true while there
  // is no instance.
  [[nodiscard]] bool may_have(std::string_view method) const;

  // The instance to give a call to, by the policy of the settings. `key` is what consistent_hash
  // goes by. Instances whose id is in `tried` are left out, and so are those that declared their
  // methods without `method`.
  [[nodiscard]] Choice choose(std::string_view method, std::span<const std::uint64_t> tried,
                              Random& random, std::uint64_t key = 0);
  // Lets what depends on time follow it: the shares of instances that start slowly. Cheap; call it
  // before choose().
  void advance(protocol::Instant now) {
    if (now >= next_step_) reweigh(now);
  }

  // Changes of the instances; each instance is in at most once.
  void add(Instance& instance);
  void remove(Instance& instance);
  void refresh();

  // Of a version: the service without it, which has the queue and the counts. Else this.
  [[nodiscard]] Service& home() { return home_ == nullptr ? *this : *home_; }
  [[nodiscard]] const Service& home() const { return home_ == nullptr ? *this : *home_; }
  // False if the service has all the calls in flight that the settings allow on this shard.
  // REQUIRES: this is home().
  [[nodiscard]] bool within_limit() const { return ours < limit_; }
  // What this shard may have in flight, of settings().in_flight_max.
  [[nodiscard]] std::uint32_t limit() const { return limit_; }
  // True if a call that finds no room may find some although another found none: their methods or
  // versions differ.
  [[nodiscard]] bool is_mixed() const { return methods_differ_ || has_versions; }

  // Of home(): where its calls are counted from now on; null: nowhere.
  void count_in(std::shared_ptr<ServiceGauge> gauge) {
    if (gauge == gauge_) return;
    counts_ = nullptr;
    gauge_ = std::move(gauge);
  }
  // Of home(): where shard `shard` counts its calls; nullptr: nowhere.
  [[nodiscard]] ServiceCounts* counts(std::uint32_t shard) {
    if (counts_ == nullptr && gauge_ != nullptr) counts_ = &gauge_->of_shard(shard);
    return counts_;
  }

  // Kept by RouteTable. Bindings, versions and instances that point here; the entry lives until
  // they are gone.
  std::uint32_t references = 0;
  bool has_versions = false;  // Somebody asked for one, of this home().
  // Kept by the router, of home(): calls of this shard's callers that instances have, and the id
  // of the queue of those that wait, 0 if none does.
  std::uint32_t ours = 0;
  std::uint64_t queue = 0;

 private:
  void reweigh(protocol::Instant now);
  [[nodiscard]] bool is_local(const InstanceInfo& info) const;

  std::string target_;
  ServiceSettings settings_;
  std::string place_;
  std::uint32_t limit_ = UINT32_MAX;
  Service* home_ = nullptr;
  ServiceCounts* counts_ = nullptr;  // In gauge_, once there was something to count.
  std::shared_ptr<ServiceGauge> gauge_;
  Balancer balancer_;
  std::vector<Instance*> all_;
  std::vector<Instance*> ready_;
  protocol::Instant next_step_ = protocol::Instant::max();  // When a share changes.
  std::uint64_t generation_ = 1;
  std::uint32_t builtin_ = 0;
  bool is_builtin_ = false;
  bool was_served_ = false;
  bool methods_differ_ = false;  // Which instance has a method must be asked for each call.
  bool methods_known_ = false;   // Every instance declared its methods.
};

}  // namespace valkyrie::registry
