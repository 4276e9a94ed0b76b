// Who is registered: the authority behind valkyrie.Registry, on shard 0. Each change gives the
// RouteUpdate that makes it true on every shard.
//
// No I/O, no clock, no threads. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocol/constants.h"
#include "protocol/time.h"
#include "server/registry/ejection.h"
#include "server/registry/flap_budget.h"
#include "server/registry/instance.h"
#include "server/registry/service_settings.h"

namespace valkyrie::registry {

// Instances of one connection and of the node. Over it: RESOURCE_EXHAUSTED.
inline constexpr std::size_t kConnectionInstancesMax = 1024;
inline constexpr std::size_t kNodeInstancesMax = 65536;

// How often one instance, and one connection whatever it registers, may register at once; then one
// more each second, or sixteen. Over it: RESOURCE_EXHAUSTED.
inline constexpr std::uint32_t kInstanceFlapsMax = 20;
inline constexpr std::uint32_t kConnectionFlapsMax = 2048;

// Bytes of a part of a snapshot, more or less; one instance is never cut.
inline constexpr std::size_t kWatchPartBytes = 64U << 10U;

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
  // `rules` say how each service is treated; without any, all are by default. Calls are counted on
  // each of `shards`.
  explicit Catalog(std::shared_ptr<const ServiceRules> rules = nullptr, std::uint32_t shards = 1);

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

  // Probes have found an instance unhealthy, and `failure` says how, for people; or well again, and
  // `failure` is empty. Nullopt: it is gone.
  std::optional<RouteUpdate> probed(std::uint64_t instance, std::string failure,
                                    protocol::Instant now);
  // The stream that registered an instance; nullopt if it is gone.
  [[nodiscard]] std::optional<std::uint64_t> stream_of(std::uint64_t instance) const;
  // An instance has failed its calls so often that it is to be taken out. Nullopt: it is gone or
  // out already, or as many of its service are as may be.
  std::optional<RouteUpdate> suspect(std::uint64_t instance, protocol::Instant now);
  // When judge() has something to do; nullopt means never.
  [[nodiscard]] std::optional<protocol::Instant> deadline() const;
  // Lets instances come back whose time is over, and takes those out whose calls succeed less often
  // than the others'.
  std::vector<RouteUpdate> judge(protocol::Instant now);

  // Answer of valkyrie.Registry/List, by name, cut at messages::kListed*Max.
  [[nodiscard]] messages::ListServicesReply list(std::string_view prefix,
                                                 protocol::Instant now) const;
  // All of it, in parts of about kWatchPartBytes, their revision not set. At least one part.
  [[nodiscard]] std::vector<messages::WatchSnapshot> snapshot(std::string_view prefix,
                                                              protocol::Instant now) const;
  // One instance; nullopt if it is gone.
  [[nodiscard]] std::optional<messages::InstanceView> view_of(std::uint64_t instance,
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
    std::string probe_failure;  // Empty: none, or it is not probed.
    protocol::Instant ready_since{};
    Ejection ejection;

    [[nodiscard]] messages::InstanceState state() const;
    [[nodiscard]] std::string reason(protocol::Instant now) const;
    [[nodiscard]] RouteUpdate route(RouteUpdate::Kind kind) const;
  };
  // By name: the order of list().
  using Instances = std::map<std::string, Registration, std::less<>>;
  struct Entry {
    ServiceSettings settings;
    std::shared_ptr<ServiceGauge> gauge;
    Instances instances;
    protocol::Instant judged{};  // When success was last compared.
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  [[nodiscard]] std::optional<Refusal> check(const messages::RegisterRequest& request,
                                             const Registrant& from) const;
  [[nodiscard]] std::optional<Refusal> spend(const messages::RegisterRequest& request,
                                             const Registrant& from, protocol::Instant now);
  [[nodiscard]] Registration* find(std::uint64_t stream);

  // Instances that take calls, and those that would if they were not out.
  struct Count {
    std::size_t ready = 0;
    std::size_t out = 0;
  };

  [[nodiscard]] static Count counted(const Entry& entry);
  Entry& entry(const std::string& service, protocol::Instant now);
  [[nodiscard]] static messages::InstanceView view(const Registration& registration,
                                                   protocol::Instant now);
  static bool eject(Entry& entry, Registration& registration, std::string reason,
                    protocol::Instant now);
  static void compare(Entry& entry, protocol::Instant now, std::vector<RouteUpdate>& changes);

  std::shared_ptr<const ServiceRules> rules_;
  std::uint32_t shards_;
  Entries services_;
  std::unordered_map<std::uint64_t, std::pair<std::string, std::string>> by_stream_;
  std::unordered_map<std::uint64_t, std::uint64_t> streams_;  // By instance id.
  FlapBudget instance_flaps_{kInstanceFlapsMax, std::chrono::seconds(1)};
  FlapBudget connection_flaps_{kConnectionFlapsMax, std::chrono::milliseconds(1000 / 16)};
  std::size_t ejected_ = 0;
  std::size_t compared_ = 0;  // Services whose success is compared.
  mutable std::optional<std::optional<protocol::Instant>> deadline_;  // Once it was asked for.
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::size_t> per_connection_;
  std::uint64_t next_id_ = 1;
};

}  // namespace valkyrie::registry
