// Bodies of valkyrie.Registry and valkyrie.Node: plain values and their encoding. Field by field
// as in docs/spec/registry.proto.
//
// No I/O, no clock, no threads. Every function may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/messages/decode_error.h"

namespace valkyrie::messages {

// Full names of the services, as STREAM_OPEN carries them.
inline constexpr std::string_view kRegistryService = "valkyrie.Registry";
inline constexpr std::string_view kNodeService = "valkyrie.Node";

// The method of every service that the node calls to see whether an instance is well. Not declared.
inline constexpr std::string_view kHealthMethod = "valkyrie.Health";

// Bytes of a service, method, instance or label name, of a version and of a label's value.
inline constexpr std::size_t kRegistryNameBytesMax = 256;
// Labels of an instance.
inline constexpr std::size_t kInstanceLabelsMax = 64;
// Methods of a service.
inline constexpr std::size_t kMethodsMax = 1024;
// Bytes of a descriptor hash (SHA-256), where there is one.
inline constexpr std::size_t kDescriptorHashBytes = 32;
// What a registration that names none gets, and the most it may ask for.
inline constexpr std::uint32_t kInstanceWeightDefault = 100;
inline constexpr std::uint32_t kInstanceWeightMax = 1000;
inline constexpr std::uint32_t kInstanceConcurrencyDefault = 256;
inline constexpr std::uint32_t kInstanceConcurrencyMax = 65536;
// Services and instances in one answer: beyond it the list is cut and a prefix is needed.
inline constexpr std::size_t kListedServicesMax = 4096;
inline constexpr std::size_t kListedInstancesMax = 4096;
// Buckets of latency in one answer.
inline constexpr std::size_t kLatencyBucketsMax = 1024;

// The shape of a method. Values are part of the protocol: never renumber.
enum class MethodKind : std::uint8_t { unary = 0, server_stream, client_stream, bidi };

// What an instance says about itself. Values are part of the protocol: never renumber.
enum class Health : std::uint8_t { healthy = 0, unhealthy };

// What the node makes of it. Values are part of the protocol: never renumber.
enum class InstanceState : std::uint8_t { ready = 0, not_ready, draining, ejected };

// How a service's calls are shared between its instances. Values are part of the protocol: never
// renumber.
enum class Balance : std::uint8_t {
  least_outstanding = 0,
  round_robin,
  weighted,
  consistent_hash,
};

// The one word used in bodies for people, logs and metrics.
[[nodiscard]] std::string_view to_string(MethodKind kind);
[[nodiscard]] std::string_view to_string(Balance balance);
[[nodiscard]] std::string_view to_string(Health health);
[[nodiscard]] std::string_view to_string(InstanceState state);

// A label: name, value.
using ServiceLabel = std::pair<std::string, std::string>;

// A method as its service declares it.
struct MethodInfo {
  std::string name;
  MethodKind kind = MethodKind::unary;
  bool idempotent = false;
  std::uint32_t qos_class = 0;   // The protocol's class plus 1; 0: none is asked for.
  std::uint64_t timeout_ms = 0;  // 0: the node's default.
  bool large = false;            // May pass the message limit of a call.
  std::string description;       // For people.
  bool operator==(const MethodInfo&) const = default;
};

// First message of Registry/Register.
struct RegisterRequest {
  std::string service;
  std::string version;
  std::string instance;           // The same across reconnects; empty: the node chooses.
  std::uint32_t weight = 0;       // 0: kInstanceWeightDefault.
  std::uint32_t concurrency = 0;  // Calls in flight; 0: kInstanceConcurrencyDefault.
  std::vector<ServiceLabel> labels;
  std::vector<MethodInfo> methods;
  std::string descriptor_hash;  // kDescriptorHashBytes or none.
  bool operator==(const RegisterRequest&) const = default;
};

// Later messages of Registry/Register; what is absent stays as it was.
struct InstanceUpdate {
  std::optional<Health> health;
  std::optional<std::uint32_t> weight;  // 0: no new calls.
  std::optional<bool> drain;            // True cannot be taken back.
  bool operator==(const InstanceUpdate&) const = default;
};

// What a client sends on Registry/Register.
using RegisterMessage = std::variant<RegisterRequest, InstanceUpdate>;

// The instance can be called.
struct RegisterReply {
  std::string instance;
  bool operator==(const RegisterReply&) const = default;
};

// What the node sends on Registry/Register.
using RegisterEvent = std::variant<RegisterReply>;

// Body of Registry/List.
struct ListServicesRequest {
  std::string prefix;  // Of the service's name; empty: all.
  bool operator==(const ListServicesRequest&) const = default;
};

// An instance as lists show it.
struct InstanceView {
  std::string instance;
  std::string version;
  InstanceState state = InstanceState::ready;
  std::uint32_t weight = 0;
  std::uint32_t concurrency = 0;
  std::uint32_t in_flight = 0;  // Written to it by this node and not over.
  std::uint64_t calls = 0;
  std::uint64_t age_ns = 0;
  std::string peer;
  std::vector<ServiceLabel> labels;
  std::vector<MethodInfo> methods;
  std::string reason;  // Why it is not ready, for people; empty: no more to say than the state.
  std::uint64_t failures = 0;  // Of its calls: ended in a way that speaks against it.
  bool operator==(const InstanceView&) const = default;
};

// How a node treats the calls of a service: docs/operating/services.md, key by key. Times in
// milliseconds.
struct ServicePolicyView {
  std::uint64_t deadline_ms = 0;
  std::uint32_t in_flight_max = 0;  // 0: no limit but the instances'.
  std::uint32_t queue_max = 0;
  Balance balance = Balance::least_outstanding;
  std::uint64_t slow_start_ms = 0;
  std::string locality;
  std::uint32_t ejection_failures = 0;
  std::uint32_t ejection_success_gap = 0;
  std::uint32_t ejection_calls_min = 0;
  std::uint64_t ejection_interval_ms = 0;
  std::uint64_t ejection_time_ms = 0;
  std::uint64_t ejection_time_max_ms = 0;
  std::uint32_t ejection_share_max = 0;
  std::uint64_t probe_interval_ms = 0;  // 0: instances are not probed.
  std::uint64_t probe_timeout_ms = 0;
  std::uint32_t probe_failures = 0;
  std::uint32_t probe_successes = 0;
  std::uint32_t probe_deregister = 0;  // 0: never.
  bool operator==(const ServicePolicyView&) const = default;
};

// Calls that took at most `up_to_ns`, and more than the bucket before; UINT64_MAX: any time.
struct LatencyBucket {
  std::uint64_t up_to_ns = 0;
  std::uint64_t count = 0;
  bool operator==(const LatencyBucket&) const = default;
};

// What callers of this node asked of a service since it has an instance.
struct ServiceStatsView {
  std::uint64_t ok = 0;            // Calls answered OK,
  std::uint64_t not_executed = 0;  // and the others, by outcome.
  std::uint64_t maybe_executed = 0;
  std::uint64_t executed = 0;
  std::uint64_t streams = 0;           // Opened.
  std::uint32_t waiting = 0;           // Calls and streams, for room, now.
  std::vector<LatencyBucket> latency;  // Of the calls; ascending, none of them empty.
  bool operator==(const ServiceStatsView&) const = default;
};

// A service as lists show it.
struct ServiceView {
  std::string name;
  std::vector<InstanceView> instances;
  ServicePolicyView policy;
  ServiceStatsView stats;  // Not in watches.
  bool operator==(const ServiceView&) const = default;
};

// Answer of Registry/List, by name.
struct ListServicesReply {
  std::vector<ServiceView> services;
  bool operator==(const ListServicesReply&) const = default;
};

// The one message a client sends on Registry/Watch.
struct WatchRequest {
  std::string prefix;  // Of the services' names; empty: all.
  bool operator==(const WatchRequest&) const = default;
};

// What there is at a revision, or a part of it: part 0 begins anew.
struct WatchSnapshot {
  std::uint64_t revision = 0;
  std::vector<ServiceView> services;
  std::uint32_t part = 0;
  bool more = false;  // Another part follows.
  bool operator==(const WatchSnapshot&) const = default;
};

// An instance is new, is another now, or is gone.
struct WatchChange {
  std::uint64_t revision = 0;
  std::string service;
  InstanceView instance;  // Of a removed one its name alone.
  bool removed = false;
  bool operator==(const WatchChange&) const = default;
};

// What the node sends on Registry/Watch.
using WatchEvent = std::variant<WatchSnapshot, WatchChange>;

// Body of Node/Info.
struct NodeInfoRequest {
  bool operator==(const NodeInfoRequest&) const = default;
};

// Where the node can be reached and what it speaks there.
struct Door {
  std::string url;
  std::vector<std::string> protocols;
  bool operator==(const Door&) const = default;
};

// A limit or a count: name, value.
using NamedNumber = std::pair<std::string, std::uint64_t>;

// Answer of Node/Info.
struct NodeInfoReply {
  std::string node;
  std::string version;
  std::uint64_t uptime_ns = 0;
  std::vector<Door> doors;
  std::vector<NamedNumber> limits;
  std::vector<NamedNumber> counts;
  std::uint32_t shards = 0;
  bool draining = false;
  bool operator==(const NodeInfoReply&) const = default;
};

// Body of Node/WhoAmI.
struct WhoAmIRequest {
  bool operator==(const WhoAmIRequest&) const = default;
};

// Roles of one identity in the answer; the rest is left out.
inline constexpr std::size_t kListedRolesMax = 256;

// Answer of Node/WhoAmI: how the node sees who asks.
struct WhoAmIReply {
  std::uint32_t method = 0;  // As the first byte of IDENTITY.
  std::string tenant;
  std::string subject;
  std::string address;
  bool open = false;               // The node has no policy: everything is allowed.
  std::vector<std::string> roles;  // That its policy gives to the caller.
  bool operator==(const WhoAmIReply&) const = default;
};

// The body as it goes into a message. What is over a limit is the caller's error to prevent: it
// would be refused by whoever decodes it.
[[nodiscard]] std::string encode(const RegisterMessage& message);
[[nodiscard]] std::string encode(const RegisterEvent& event);
[[nodiscard]] std::string encode(const ListServicesRequest& request);
[[nodiscard]] std::string encode(const ListServicesReply& reply);
[[nodiscard]] std::string encode(const WatchRequest& request);
[[nodiscard]] std::string encode(const WatchEvent& event);
[[nodiscard]] std::string encode(const NodeInfoRequest& request);
[[nodiscard]] std::string encode(const NodeInfoReply& reply);
[[nodiscard]] std::string encode(const WhoAmIRequest& request);
[[nodiscard]] std::string encode(const WhoAmIReply& reply);

}  // namespace valkyrie::messages
