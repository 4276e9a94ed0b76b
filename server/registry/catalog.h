// Who is registered: the authority behind valkyrie.Registry, on shard 0. Each change gives the
// RouteUpdate that makes it true on every shard.
//
// No I/O, no clock, no threads. Not thread-safe.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "protocol/constants.h"
#include "protocol/time.h"
#include "server/registry/instance.h"

namespace valkyrie::registry {

// Instances of one connection and of the node. Over it: RESOURCE_EXHAUSTED.
inline constexpr std::size_t kConnectionInstancesMax = 1024;
inline constexpr std::size_t kNodeInstancesMax = 65536;

// Where a registration came from. `stream` names it in all later calls.
struct Registrant {
  std::uint64_t stream = 0;  // Unique among live registrations.
  std::uint32_t shard = 0;
  std::uint64_t connection = 0;
  std::string peer;  // Address, for people.
};

// Why a registration was refused, in the words for its sender.
struct Refusal {
  protocol::StatusCode code = protocol::StatusCode::invalid_argument;
  std::string text;
};

// A registration that was taken.
struct Registered {
  RouteUpdate update;                       // Send it to every shard.
  std::optional<std::uint64_t> superseded;  // Stream of the registration it replaces, now over.
  std::optional<RouteUpdate> removed;       // Send it first: the replaced instance.
};

// All registrations of the node.
class Catalog {
 public:
  // Registers an instance; `random` names one that did not name itself. The same instance of the
  // same service supersedes the earlier one. Errors: invalid_argument (a name against the
  // grammar, a method twice), permission_denied (a reserved name), resource_exhausted,
  // failed_precondition (the stream has registered already).
  std::expected<Registered, Refusal> add(const messages::RegisterRequest& request,
                                         const Registrant& from, std::uint64_t random,
                                         protocol::Instant now);
  // Applies what an instance says about itself. Errors: failed_precondition (nothing registered).
  std::expected<RouteUpdate, Refusal> update(std::uint64_t stream,
                                             const messages::InstanceUpdate& change,
                                             protocol::Instant now);
  // Ends a registration; nullopt if there is none.
  std::optional<RouteUpdate> remove(std::uint64_t stream);

  // Answer of valkyrie.Registry/List, by name, cut at messages::kListed*Max.
  [[nodiscard]] messages::ListServicesReply list(std::string_view prefix,
                                                 protocol::Instant now) const;
  // Live registrations.
  [[nodiscard]] std::size_t size() const { return by_stream_.size(); }

 private:
  struct Registration {
    std::shared_ptr<const InstanceInfo> info;
    std::uint64_t stream = 0;
    std::uint32_t weight = messages::kInstanceWeightDefault;
    messages::Health health = messages::Health::healthy;
    bool draining = false;
    protocol::Instant ready_since{};

    [[nodiscard]] messages::InstanceState state() const;
    [[nodiscard]] RouteUpdate route(RouteUpdate::Kind kind) const;
  };
  // Service, then instance: the order of list().
  using Instances = std::map<std::string, Registration, std::less<>>;

  [[nodiscard]] std::optional<Refusal> check(const messages::RegisterRequest& request,
                                             const Registrant& from) const;
  [[nodiscard]] Registration* find(std::uint64_t stream);

  std::map<std::string, Instances, std::less<>> services_;
  std::unordered_map<std::uint64_t, std::pair<std::string, std::string>> by_stream_;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::size_t> per_connection_;
  std::uint64_t next_id_ = 1;
};

}  // namespace valkyrie::registry
