// A service as one shard routes to it: its instances and the choice between them.
//
// No I/O, no clock, no threads. Not thread-safe: one shard owns it.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/registry/instance.h"

namespace valkyrie::registry {

// An instance as one shard sees it.
struct Instance {
  std::shared_ptr<const InstanceInfo> info;
  messages::InstanceState state = messages::InstanceState::ready;
  std::uint32_t weight = messages::kInstanceWeightDefault;
  std::uint32_t outstanding = 0;  // Calls in flight: all of them on the owning shard, else ours.
  std::uint32_t references = 0;   // Lanes and calls that point here; it lives until they are gone.
  bool removed = false;           // No longer routed to.

  // True if another call may be given to it.
  [[nodiscard]] bool has_room() const {
    return info->concurrency == 0 || outstanding < info->concurrency;
  }
};

// Random bits for the choice between instances; seeded by the shard's owner.
using Random = std::minstd_rand;

// Why no instance was chosen.
enum class NoChoice : std::uint8_t {
  none,            // One was.
  no_instance,     // None is registered, or none is ready.
  all_busy,        // Every ready instance has all the calls it takes.
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
  // Of a service that has no instance yet.
  explicit Service(std::string target) : target_(std::move(target)) {}
  // Of a service of the node itself; `builtin` is its index on every shard.
  Service(std::string target, std::uint32_t builtin)
      : target_(std::move(target)), builtin_(builtin), is_builtin_(true) {}

  // The SERVICE value.
  [[nodiscard]] const std::string& target() const { return target_; }
  // True if the node itself serves it.
  [[nodiscard]] bool is_builtin() const { return is_builtin_; }
  // Index among the node's own services. REQUIRES: is_builtin().
  [[nodiscard]] std::uint32_t builtin() const { return builtin_; }
  // All instances, also those that take no calls, in the order they came.
  [[nodiscard]] std::span<Instance* const> instances() const { return all_; }
  // Those that are ready.
  [[nodiscard]] std::span<Instance* const> ready() const { return ready_; }
  // True if an instance was ever registered while the entry lived.
  [[nodiscard]] bool was_served() const { return was_served_; }
  // Changes whenever an instance or its state does, so that what was derived can be kept.
  [[nodiscard]] std::uint64_t generation() const { return generation_; }

  // False if every instance declared its methods and `method` is none of them; true while there
  // is no instance.
  [[nodiscard]] bool may_have(std::string_view method) const;

  // Least outstanding, by weight, of two random ready instances with room; the least loaded of
  // all where neither has room. Instances whose id is in `tried` are left out, and so are those
  // that declared their methods without `method`.
  [[nodiscard]] Choice choose(std::string_view method, std::span<const std::uint64_t> tried,
                              Random& random) const;

  // Changes of the instances; each instance is in at most once.
  void add(Instance& instance);
  void remove(Instance& instance);
  void refresh();

  // Bindings that point here; the entry lives until they are gone. Kept by RouteTable.
  std::uint32_t references = 0;

 private:
  [[nodiscard]] Instance* draw(Random& random) const;
  [[nodiscard]] bool eligible(const Instance& instance, std::string_view method,
                              std::span<const std::uint64_t> tried) const;

  std::string target_;
  std::vector<Instance*> all_;
  std::vector<Instance*> ready_;
  std::uint64_t weight_total_ = 0;  // Of the ready ones.
  std::uint64_t generation_ = 1;
  std::uint32_t builtin_ = 0;
  bool is_builtin_ = false;
  bool was_served_ = false;
  bool even_weights_ = true;     // All ready ones weigh the same.
  bool methods_differ_ = false;  // Which instance has a method must be asked for each call.
  bool methods_known_ = false;   // Every instance declared its methods.
};

// True if the instance declared no methods, or `method` among them.
[[nodiscard]] bool declares(const InstanceInfo& info, std::string_view method);

}  // namespace valkyrie::registry
