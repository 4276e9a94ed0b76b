#include "protocol/messages/registry.h"

#include "protocol/messages/archive.h"

namespace valkyrie::messages {

std::string_view to_string(MethodKind kind) {
  switch (kind) {
    case MethodKind::unary:
      return "unary";
    case MethodKind::server_stream:
      return "server_stream";
    case MethodKind::client_stream:
      return "client_stream";
    case MethodKind::bidi:
      return "bidi";
  }
  return "unknown";
}

std::string_view to_string(Health health) {
  switch (health) {
    case Health::healthy:
      return "healthy";
    case Health::unhealthy:
      return "unhealthy";
  }
  return "unknown";
}

std::string_view to_string(Balance balance) {
  switch (balance) {
    case Balance::least_outstanding:
      return "least_outstanding";
    case Balance::round_robin:
      return "round_robin";
    case Balance::weighted:
      return "weighted";
    case Balance::consistent_hash:
      return "consistent_hash";
  }
  return "unknown";
}

std::string_view to_string(InstanceState state) {
  switch (state) {
    case InstanceState::ready:
      return "ready";
    case InstanceState::not_ready:
      return "not_ready";
    case InstanceState::draining:
      return "draining";
    case InstanceState::ejected:
      return "ejected";
  }
  return "unknown";
}

namespace {

// Classes of the protocol, plus 1 (MethodInfo::qos_class).
constexpr std::uint32_t kQosClassMax = 5;
// A method's timeout, milliseconds: the longest deadline of the protocol, 24 h.
constexpr std::uint64_t kMethodTimeoutMsMax = 24ull * 3600 * 1000;
// Bytes of a text or an address meant for a person; doors, protocols, limits, counts of a node.
constexpr std::size_t kRegistryTextBytesMax = 1024;
constexpr std::size_t kNodeEntriesMax = 1024;

}  // namespace

template <>
void check(const MethodInfo& method) {
  if (method.name.empty()) throw Refusal{DecodeError::missing};
}

template <>
void check(const RegisterRequest& request) {
  if (request.service.empty()) throw Refusal{DecodeError::missing};
  const std::size_t hash_bytes = request.descriptor_hash.size();
  if (hash_bytes != 0 && hash_bytes != kDescriptorHashBytes) throw Refusal{DecodeError::value};
}

template <class A>
void describe(A& a, Ref<A, MethodInfo> m) {
  a.text(1, m.name, kRegistryNameBytesMax);
  a.enumeration(2, m.kind, MethodKind::bidi);
  a.boolean(3, m.idempotent);
  a.number(4, m.qos_class, kQosClassMax);
  a.number(5, m.timeout_ms, kMethodTimeoutMsMax);
  a.boolean(6, m.large);
  a.text(7, m.description, kRegistryTextBytesMax);
}

template <class A>
void describe(A& a, Ref<A, RegisterRequest> m) {
  a.text(1, m.service, kRegistryNameBytesMax);
  a.text(2, m.version, kRegistryNameBytesMax);
  a.text(3, m.instance, kRegistryNameBytesMax);
  a.number(4, m.weight, kInstanceWeightMax);
  a.number(5, m.concurrency, kInstanceConcurrencyMax);
  a.pairs(6, m.labels, kInstanceLabelsMax, kRegistryNameBytesMax);
  a.messages(7, m.methods, kMethodsMax);
  a.bytes(8, m.descriptor_hash, kDescriptorHashBytes);
}

template <class A>
void describe(A& a, Ref<A, InstanceUpdate> m) {
  a.enumeration(1, m.health, Health::unhealthy);
  a.number(2, m.weight, kInstanceWeightMax);
  a.boolean(3, m.drain);
}

template <class A>
void describe(A& a, Ref<A, RegisterReply> m) {
  a.text(1, m.instance, kRegistryNameBytesMax);
}

template <class A>
void describe(A& a, Ref<A, ListServicesRequest> m) {
  a.text(1, m.prefix, kRegistryNameBytesMax);
}

template <class A>
void describe(A& a, Ref<A, InstanceView> m) {
  a.text(1, m.instance, kRegistryNameBytesMax);
  a.text(2, m.version, kRegistryNameBytesMax);
  a.enumeration(3, m.state, InstanceState::ejected);
  a.number(4, m.weight);
  a.number(5, m.concurrency);
  a.number(6, m.in_flight);
  a.number(7, m.calls);
  a.number(8, m.age_ns);
  a.text(9, m.peer, kRegistryTextBytesMax);
  a.pairs(10, m.labels, kInstanceLabelsMax, kRegistryNameBytesMax);
  a.messages(11, m.methods, kMethodsMax);
  a.text(12, m.reason, kRegistryTextBytesMax);
  a.number(13, m.failures);
}

template <class A>
void describe(A& a, Ref<A, ServicePolicyView> m) {
  a.number(1, m.deadline_ms);
  a.number(2, m.in_flight_max);
  a.number(3, m.queue_max);
  a.enumeration(4, m.balance, Balance::consistent_hash);
  a.number(5, m.slow_start_ms);
  a.text(6, m.locality, kRegistryNameBytesMax);
  a.number(7, m.ejection_failures);
  a.number(8, m.ejection_success_gap);
  a.number(9, m.ejection_calls_min);
  a.number(10, m.ejection_interval_ms);
  a.number(11, m.ejection_time_ms);
  a.number(12, m.ejection_time_max_ms);
  a.number(13, m.ejection_share_max);
  a.number(14, m.probe_interval_ms);
  a.number(15, m.probe_timeout_ms);
  a.number(16, m.probe_failures);
  a.number(17, m.probe_successes);
  a.number(18, m.probe_deregister);
}

template <class A>
void describe(A& a, Ref<A, LatencyBucket> m) {
  a.number(1, m.up_to_ns);
  a.number(2, m.count);
}

template <class A>
void describe(A& a, Ref<A, ServiceStatsView> m) {
  a.number(1, m.ok);
  a.number(2, m.not_executed);
  a.number(3, m.maybe_executed);
  a.number(4, m.executed);
  a.number(5, m.streams);
  a.number(6, m.waiting);
  a.messages(7, m.latency, kLatencyBucketsMax);
}

template <class A>
void describe(A& a, Ref<A, ServiceView> m) {
  a.text(1, m.name, kRegistryNameBytesMax);
  a.messages(2, m.instances, kListedInstancesMax);
  a.message(3, m.policy);
  a.message(4, m.stats);
}

template <class A>
void describe(A& a, Ref<A, WatchRequest> m) {
  a.text(1, m.prefix, kRegistryNameBytesMax);
}

template <class A>
void describe(A& a, Ref<A, WatchSnapshot> m) {
  a.number(1, m.revision);
  a.messages(2, m.services, kListedServicesMax);
  a.number(3, m.part);
  a.boolean(4, m.more);
}

template <class A>
void describe(A& a, Ref<A, WatchChange> m) {
  a.number(1, m.revision);
  a.text(2, m.service, kRegistryNameBytesMax);
  a.message(3, m.instance);
  a.boolean(4, m.removed);
}

template <class A>
void describe(A& a, Ref<A, ListServicesReply> m) {
  a.messages(1, m.services, kListedServicesMax);
}

template <class A>
void describe(A&, Ref<A, NodeInfoRequest>) {}

template <class A>
void describe(A& a, Ref<A, Door> m) {
  a.text(1, m.url, kRegistryTextBytesMax);
  a.texts(2, m.protocols, kNodeEntriesMax, kRegistryNameBytesMax);
}

template <class A>
void describe(A& a, Ref<A, NodeInfoReply> m) {
  a.text(1, m.node, kRegistryNameBytesMax);
  a.text(2, m.version, kRegistryNameBytesMax);
  a.number(3, m.uptime_ns);
  a.messages(4, m.doors, kNodeEntriesMax);
  a.pairs(5, m.limits, kNodeEntriesMax, 0);
  a.pairs(6, m.counts, kNodeEntriesMax, 0);
  a.number(7, m.shards);
  a.boolean(8, m.draining);
}

template <class A>
void describe(A&, Ref<A, WhoAmIRequest>) {}

template <class A>
void describe(A& a, Ref<A, WhoAmIReply> m) {
  a.number(1, m.method);
  a.text(2, m.tenant, kRegistryTextBytesMax);
  a.text(3, m.subject, kRegistryTextBytesMax);
  a.text(4, m.address, kRegistryTextBytesMax);
  a.boolean(5, m.open);
  a.texts(6, m.roles, kListedRolesMax, kRegistryTextBytesMax);
}

std::string encode(const RegisterMessage& message) { return encode_described(message); }
std::string encode(const RegisterEvent& event) { return encode_described(event); }
std::string encode(const ListServicesRequest& request) { return encode_described(request); }
std::string encode(const ListServicesReply& reply) { return encode_described(reply); }
std::string encode(const WatchRequest& request) { return encode_described(request); }
std::string encode(const WatchEvent& event) { return encode_described(event); }
std::string encode(const NodeInfoRequest& request) { return encode_described(request); }
std::string encode(const NodeInfoReply& reply) { return encode_described(reply); }
std::string encode(const WhoAmIRequest& request) { return encode_described(request); }
std::string encode(const WhoAmIReply& reply) { return encode_described(reply); }

#define VALKYRIE_DECODE(T)                                                    \
  template <>                                                                 \
  std::expected<T, DecodeError> decode<T>(std::span<const std::byte> bytes) { \
    return decode_described<T>(bytes);                                        \
  }
VALKYRIE_DECODE(RegisterMessage)
VALKYRIE_DECODE(RegisterEvent)
VALKYRIE_DECODE(ListServicesRequest)
VALKYRIE_DECODE(ListServicesReply)
VALKYRIE_DECODE(WatchRequest)
VALKYRIE_DECODE(WatchEvent)
VALKYRIE_DECODE(NodeInfoRequest)
VALKYRIE_DECODE(NodeInfoReply)
VALKYRIE_DECODE(WhoAmIRequest)
VALKYRIE_DECODE(WhoAmIReply)
#undef VALKYRIE_DECODE

}  // namespace valkyrie::messages
