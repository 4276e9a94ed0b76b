// The choice between the ready instances of a service: docs/spec/registry.md, "Balancing".
//
// No I/O, no clock, no threads; randomness is an argument, so that a seed replays every choice. Not
// thread-safe: one shard owns it.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "server/registry/instance.h"

namespace valkyrie::registry {

// What one point of weight is worth of Instance::share, so that slow start has steps in between.
inline constexpr std::uint32_t kShareOfWeight = 100;

// By how much an instance may be busier than the average before consistent_hash goes past it.
inline constexpr std::uint32_t kBoundedLoadPercent = 125;

class Service;

// An instance as one shard sees it.
struct Instance {
  std::shared_ptr<const InstanceInfo> info;
  Service* home = nullptr;  // Of its name without version; lives as long as this.
  messages::InstanceState state = messages::InstanceState::ready;
  std::uint32_t weight = messages::kInstanceWeightDefault;
  std::uint32_t outstanding = 0;  // Calls in flight: all of them on the owning shard, else ours.
  std::uint32_t ours = 0;         // Of those, of callers of this shard.
  std::uint32_t references = 0;   // Lanes and calls that point here; it lives until they are gone.
  bool removed = false;           // No longer routed to.

  // On another shard than its own: it said that it is full; its shard tells when it has room.
  bool is_full = false;
  // On its own shard: the shards that were told so, a bit each, and whose turn was last.
  std::uint64_t hungry = 0;
  std::uint32_t fed = 0;

  std::uint64_t probe = 0;  // On its own shard: the router's id of its probes, 0 if there are none.

  // For the choice; kept by Service and Balancer.
  std::uint32_t share = messages::kInstanceWeightDefault * kShareOfWeight;  // Weight of now.
  std::int64_t lead = 0;      // Of weighted: what it is owed.
  std::uint64_t name_hash{};  // The same on all shards and across reconnects.
  protocol::Instant ready_since{};

  // True if another call may be given to it.
  [[nodiscard]] bool has_room() const {
    return !is_full && (info->concurrency == 0 || outstanding < info->concurrency);
  }
};

// Random bits for the choice between instances; seeded by the shard's owner.
using Random = std::minstd_rand;

// A hash of bytes: the same in every process and version, since callers' keys stay where they are
// across restarts.
[[nodiscard]] std::uint64_t stable_hash(std::string_view bytes);

// What a call says that matters to the choice. Borrowed.
struct Wanted {
  std::string_view method;               // Left out are instances that do not declare it,
  std::span<const std::uint64_t> tried;  // and those that did not take the call.
  std::uint64_t key = 0;                 // What consistent_hash goes by.
  bool methods_differ = false;           // `method` must be looked up at all.
};

// True if the instance declared no methods, or `method` among them.
[[nodiscard]] bool declares(const InstanceInfo& info, std::string_view method);

// Chooses between instances by one policy.
class Balancer {
 public:
  explicit Balancer(messages::Balance policy = messages::Balance::least_outstanding)
      : policy_(policy) {}

  // Replaces the instances to choose from, none of weight 0. The first `local` are preferred: the
  // others get what those have no room for. The array must live until the next assign().
  void assign(std::span<Instance* const> ready, std::size_t local);
  // Some Instance::share has changed.
  void reweigh();

  // The instance for a call, or nullptr if none has room for it.
  [[nodiscard]] Instance* choose(const Wanted& wanted, Random& random);

 private:
  // Instances of one preference.
  struct Pool {
    std::span<Instance* const> members;
    std::uint64_t share_total = 0;
    std::size_t turn = 0;  // Of round_robin: who was last.
    bool is_even = true;   // All have the same share.
  };

  static void weigh(Pool& pool);
  [[nodiscard]] Instance* choose_from(Pool& pool, const Wanted& wanted, Random& random) const;

  messages::Balance policy_;
  Pool local_;
  Pool others_;
};

}  // namespace valkyrie::registry
