// What the catalog shows of itself.
#include <chrono>

#include "server/registry/catalog.h"

namespace valkyrie::registry {
namespace {

using messages::InstanceState;

// Buckets of latency in one list, some 12 bytes each, which leaves most of a message to instances.
// Services beyond have none.
constexpr std::size_t kListedBucketsMax = 1U << 16U;

std::uint64_t in_ms(protocol::Duration duration) {
  return static_cast<std::uint64_t>(duration / std::chrono::milliseconds(1));
}

messages::ServicePolicyView policy_of(const ServiceSettings& settings) {
  const EjectionSettings& ejection = settings.ejection;
  const ProbeSettings& probe = settings.probe;
  return {.deadline_ms = in_ms(settings.deadline),
          .in_flight_max = settings.in_flight_max,
          .queue_max = settings.queue_max,
          .balance = settings.balance,
          .slow_start_ms = in_ms(settings.slow_start),
          .locality = settings.locality,
          .ejection_failures = ejection.failures,
          .ejection_success_gap = ejection.success_gap,
          .ejection_calls_min = ejection.calls_min,
          .ejection_interval_ms = in_ms(ejection.interval),
          .ejection_time_ms = in_ms(ejection.time),
          .ejection_time_max_ms = in_ms(ejection.time_max),
          .ejection_share_max = ejection.share_max,
          .probe_interval_ms = in_ms(probe.interval),
          .probe_timeout_ms = in_ms(probe.timeout),
          .probe_failures = probe.failures,
          .probe_successes = probe.successes,
          .probe_deregister = probe.deregister};
}

// About how many bytes an instance is in a message.
std::size_t bytes_of(const InstanceInfo& info) {
  constexpr std::size_t kFixed = 128;
  constexpr std::size_t kMethod = 32;
  std::size_t bytes = kFixed + info.instance.size() + info.version.size() + info.peer.size();
  for (const auto& [name, value] : info.labels) bytes += name.size() + value.size();
  for (const messages::MethodInfo& method : info.methods) {
    bytes += kMethod + method.name.size() + method.description.size();
  }
  return bytes;
}

}  // namespace

// Why it gets no calls, where the node has decided that.
std::string Catalog::Registration::reason(protocol::Instant now) const {
  switch (state()) {
    case InstanceState::ejected:
      return ejection.text(now);
    case InstanceState::not_ready:
      return probe_failure;
    default:
      return {};
  }
}

messages::InstanceView Catalog::view(const Registration& registration, protocol::Instant now) {
  const InstanceInfo& info = *registration.info;
  return {.instance = info.instance,
          .version = info.version,
          .state = registration.state(),
          .weight = registration.weight,
          .concurrency = info.concurrency,
          .in_flight = info.gauge.in_flight.load(std::memory_order_relaxed),
          .calls = info.gauge.calls.load(std::memory_order_relaxed),
          .age_ns = static_cast<std::uint64_t>((now - info.registered).count()),
          .peer = info.peer,
          .labels = info.labels,
          .methods = info.methods,
          .reason = registration.reason(now),
          .failures = info.gauge.failures.load(std::memory_order_relaxed)};
}

std::optional<messages::InstanceView> Catalog::view_of(std::uint64_t instance,
                                                       protocol::Instant now) const {
  const auto stream = streams_.find(instance);
  if (stream == streams_.end()) return std::nullopt;
  const auto& [service, name] = by_stream_.at(stream->second);
  return view(services_.find(service)->second.instances.find(name)->second, now);
}

messages::ListServicesReply Catalog::list(std::string_view prefix, protocol::Instant now) const {
  messages::ListServicesReply reply;
  std::size_t listed = 0;
  std::size_t buckets = 0;
  for (auto at = services_.lower_bound(prefix); at != services_.end(); ++at) {
    if (!at->first.starts_with(prefix) || reply.services.size() == messages::kListedServicesMax) {
      break;
    }
    messages::ServiceView& service = reply.services.emplace_back();
    service.name = at->first;
    service.policy = policy_of(at->second.settings);
    service.stats = at->second.gauge->sum();
    buckets += service.stats.latency.size();
    if (buckets > kListedBucketsMax) service.stats.latency.clear();
    for (const auto& [name, registration] : at->second.instances) {
      if (listed++ == messages::kListedInstancesMax) return reply;
      service.instances.push_back(view(registration, now));
    }
  }
  return reply;
}

std::vector<messages::WatchSnapshot> Catalog::snapshot(std::string_view prefix,
                                                       protocol::Instant now) const {
  std::vector<messages::WatchSnapshot> parts(1);
  std::size_t bytes = 0;
  for (auto at = services_.lower_bound(prefix);
       at != services_.end() && at->first.starts_with(prefix); ++at) {
    bool is_named = false;
    for (const auto& [name, registration] : at->second.instances) {
      const std::size_t more = bytes_of(*registration.info) + (is_named ? 0 : at->first.size());
      if (bytes > 0 && bytes + more > kWatchPartBytes) {
        parts.back().more = true;
        parts.push_back({.part = parts.back().part + 1});
        bytes = 0;
        is_named = false;
      }
      bytes += more;
      std::vector<messages::ServiceView>& services = parts.back().services;
      if (!is_named) {
        services.push_back({.name = at->first, .policy = policy_of(at->second.settings)});
        is_named = true;
      }
      services.back().instances.push_back(view(registration, now));
    }
  }
  return parts;
}

}  // namespace valkyrie::registry
