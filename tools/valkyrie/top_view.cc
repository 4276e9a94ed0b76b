#include "tools/valkyrie/top_view.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>

namespace valkyrie::tools {
namespace {

using messages::InstanceView;
using messages::NamedNumber;
using messages::ServiceStatsView;
using messages::ServiceView;

constexpr std::array<std::string_view, 5> kClasses = {"critical", "system", "job", "data",
                                                      "telemetry"};

// What a count has grown by; one that is lower than before was begun anew.
std::uint64_t growth(std::uint64_t before, std::uint64_t after) {
  return after >= before ? after - before : after;
}

// Counts of two samples, as rates.
class Rates {
 public:
  Rates(const TopSample& before, const TopSample& after)
      : seconds_(std::chrono::duration<double>(after.at - before.at).count()) {}

  [[nodiscard]] double operator()(std::uint64_t before, std::uint64_t after) const {
    return static_cast<double>(growth(before, after)) / seconds_;
  }

 private:
  double seconds_;
};

std::uint64_t count_of(const messages::NodeInfoReply& node, std::string_view name) {
  const auto found = std::ranges::find(node.counts, name, &NamedNumber::first);
  return found == node.counts.end() ? 0 : found->second;
}

// Calls by the longest time of their bucket.
using Latency = std::map<std::uint64_t, std::uint64_t>;

Latency latency_between(const ServiceStatsView& before, const ServiceStatsView& after) {
  Latency latency;
  for (const auto& bucket : after.latency) latency[bucket.up_to_ns] = bucket.count;
  for (const auto& bucket : before.latency) {
    const auto at = latency.find(bucket.up_to_ns);
    if (at != latency.end()) at->second = growth(bucket.count, at->second);
  }
  return latency;
}

// The time within which so many of a hundred calls ended; nullopt if there was no call.
std::optional<Duration> percentile(const Latency& latency, std::uint64_t percent) {
  std::uint64_t all = 0;
  for (const auto& [up_to, count] : latency) all += count;
  const std::uint64_t rank = (all * percent + 99) / 100;
  std::uint64_t seen = 0;
  for (const auto& [up_to, count] : latency) {
    seen += count;
    if (count > 0 && seen >= rank) {
      return Duration(static_cast<Duration::rep>(std::min<std::uint64_t>(up_to, INT64_MAX)));
    }
  }
  return std::nullopt;
}

template <class T, class Name>
const T& named(const std::vector<T>& all, const std::string& name, Name T::* member) {
  static const T kNone{};
  const auto found = std::ranges::find(all, name, member);
  return found == all.end() ? kNone : *found;
}

TopInstance instance_of(const Rates& rate, const InstanceView& before, const InstanceView& after) {
  return {.name = after.instance,
          .state = after.state,
          .calls = rate(before.calls, after.calls),
          .failures = rate(before.failures, after.failures),
          .in_flight = after.in_flight,
          .concurrency = after.concurrency};
}

std::uint64_t failed(const ServiceStatsView& stats) {
  return stats.not_executed + stats.maybe_executed + stats.executed;
}

TopService service_of(const Rates& rate, const ServiceView& before, const ServiceView& after) {
  const ServiceStatsView& then = before.stats;
  const ServiceStatsView& now = after.stats;
  const Latency latency = latency_between(then, now);
  TopService service{.name = after.name,
                     .calls = rate(then.ok + failed(then), now.ok + failed(now)),
                     .errors = rate(failed(then), failed(now)),
                     .not_executed = rate(then.not_executed, now.not_executed),
                     .streams = rate(then.streams, now.streams),
                     .p50 = percentile(latency, 50),
                     .p99 = percentile(latency, 99),
                     .waiting = now.waiting};
  for (const InstanceView& instance : after.instances) {
    if (instance.state == messages::InstanceState::ready) ++service.ready;
    service.in_flight += instance.in_flight;
    service.instances.push_back(instance_of(
        rate, named(before.instances, instance.instance, &InstanceView::instance), instance));
  }
  return service;
}

double sort_value(const TopService& service, TopSort sort) {
  switch (sort) {
    case TopSort::name:
      return 0;
    case TopSort::rate:
      return service.calls + service.streams;
    case TopSort::errors:
      return service.errors;
    case TopSort::latency:
      return static_cast<double>(service.p99.value_or(Duration::zero()).count());
    case TopSort::queue:
      return static_cast<double>(service.waiting);
    case TopSort::in_flight:
      return static_cast<double>(service.in_flight);
  }
  return 0;
}

// "-" for nothing, as most services are idle and what is not should be seen.
std::string rate_text(double per_second) {
  if (per_second == 0) return "-";
  return per_second < 10 ? fmt::format("{:.1f}/s", per_second) : human_rate(per_second);
}

std::string time_text(const std::optional<Duration>& time) {
  if (!time) return "-";
  return *time == Duration::max() ? "longer" : human_duration(*time);
}

std::string bytes_text(double per_second) {
  if (per_second == 0) return "-";
  if (per_second >= 1e6) return fmt::format("{:.1f} MB/s", per_second / 1e6);
  if (per_second >= 1e3) return fmt::format("{:.1f} kB/s", per_second / 1e3);
  return fmt::format("{:.0f} B/s", per_second);
}

json::value us_json(const std::optional<Duration>& time) {
  if (!time) return nullptr;
  return static_cast<double>(time->count()) / 1e3;
}

std::string health_text(const TopService& service) {
  if (service.ready == service.instances.size()) return "ready";
  return service.ready == 0 ? "down" : "partly";
}

json::object service_json(const TopService& service) {
  json::array instances;
  for (const TopInstance& instance : service.instances) {
    instances.push_back(json::object{{"instance", instance.name},
                                     {"state", messages::to_string(instance.state)},
                                     {"calls_per_s", instance.calls},
                                     {"failures_per_s", instance.failures},
                                     {"in_flight", instance.in_flight},
                                     {"concurrency", instance.concurrency}});
  }
  return {{"service", service.name},          {"health", health_text(service)},
          {"ready", service.ready},           {"calls_per_s", service.calls},
          {"errors_per_s", service.errors},   {"not_executed_per_s", service.not_executed},
          {"streams_per_s", service.streams}, {"p50_us", us_json(service.p50)},
          {"p99_us", us_json(service.p99)},   {"in_flight", service.in_flight},
          {"waiting", service.waiting},       {"instances", instances}};
}

}  // namespace

std::string_view to_string(TopSort sort) {
  switch (sort) {
    case TopSort::name:
      return "name";
    case TopSort::rate:
      return "rate";
    case TopSort::errors:
      return "errors";
    case TopSort::latency:
      return "latency";
    case TopSort::queue:
      return "queue";
    case TopSort::in_flight:
      return "in_flight";
  }
  return "unknown";
}

TopSort next(TopSort sort) {
  if (sort == TopSort::in_flight) return TopSort::name;
  return static_cast<TopSort>(static_cast<std::uint8_t>(sort) + 1);
}

TopView top_view(const TopSample& before, const TopSample& after) {
  const Rates rate(before, after);
  const auto node_rate = [&](std::string_view name) {
    return rate(count_of(before.node, name), count_of(after.node, name));
  };
  TopView view{.node = after.node.node,
               .version = after.node.version,
               .uptime = Duration(static_cast<Duration::rep>(after.node.uptime_ns)),
               .draining = after.node.draining,
               .connections = count_of(after.node, "connections"),
               .waiting = count_of(after.node, "calls_waiting"),
               .calls = node_rate("calls"),
               .failed = node_rate("calls_failed"),
               .published = node_rate("published"),
               .events = node_rate("events"),
               .events_dropped = node_rate("events_dropped")};
  for (std::size_t i = 0; i < kClasses.size(); ++i) {
    view.class_bytes[i] = node_rate(fmt::format("bytes_{}", kClasses[i]));
  }
  for (const ServiceView& service : after.services.services) {
    view.services.push_back(service_of(
        rate, named(before.services.services, service.name, &ServiceView::name), service));
    view.streams += view.services.back().streams;
  }
  return view;
}

void sort_services(TopView& view, TopSort sort) {
  std::ranges::sort(view.services, {}, [sort](const TopService& service) {
    return std::pair(-sort_value(service, sort), std::string_view(service.name));
  });
}

std::vector<std::string> top_lines(const TopView& view, bool instances) {
  std::string classes = "bytes to peers ";
  for (std::size_t i = 0; i < kClasses.size(); ++i) {
    classes += fmt::format("  {} {}", kClasses[i], bytes_text(view.class_bytes[i]));
  }
  std::vector<std::string> lines = {
      fmt::format("{}  valkyrie {}  up {}  {} connections{}", view.node, view.version,
                  human_duration(view.uptime), view.connections, view.draining ? "  DRAINING" : ""),
      fmt::format(
          "calls {}  failed {}  waiting {}  streams {}  published {}  events {}  dropped {}",
          rate_text(view.calls), rate_text(view.failed), view.waiting, rate_text(view.streams),
          rate_text(view.published), rate_text(view.events), rate_text(view.events_dropped)),
      std::move(classes),
      "",
  };
  Table table({"SERVICE", "HEALTH", "READY", "CALLS", "ERRORS", "STREAMS", "P50", "P99",
               "IN FLIGHT", "QUEUE"});
  for (const TopService& service : view.services) {
    table.add({service.name, health_text(service),
               fmt::format("{}/{}", service.ready, service.instances.size()),
               rate_text(service.calls), rate_text(service.errors), rate_text(service.streams),
               time_text(service.p50), time_text(service.p99), fmt::to_string(service.in_flight),
               fmt::to_string(service.waiting)});
    for (const TopInstance& instance : service.instances) {
      if (!instances) break;
      table.add({"  " + instance.name, std::string(messages::to_string(instance.state)), "",
                 rate_text(instance.calls), rate_text(instance.failures), "", "", "",
                 fmt::format("{}/{}", instance.in_flight, instance.concurrency), ""});
    }
  }
  std::ranges::move(table.lines(), std::back_inserter(lines));
  return lines;
}

json::object top_json(const TopView& view) {
  json::object classes;
  for (std::size_t i = 0; i < kClasses.size(); ++i) classes[kClasses[i]] = view.class_bytes[i];
  json::array services;
  for (const TopService& service : view.services) services.push_back(service_json(service));
  return {{"node", view.node},
          {"version", view.version},
          {"uptime_seconds", std::chrono::duration<double>(view.uptime).count()},
          {"draining", view.draining},
          {"connections", view.connections},
          {"waiting", view.waiting},
          {"calls_per_s", view.calls},
          {"failed_per_s", view.failed},
          {"streams_per_s", view.streams},
          {"published_per_s", view.published},
          {"events_per_s", view.events},
          {"events_dropped_per_s", view.events_dropped},
          {"class_bytes_per_s", classes},
          {"services", services}};
}

}  // namespace valkyrie::tools
