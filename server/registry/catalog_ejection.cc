// Instances that are taken out because their calls fail, and come back.
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "server/registry/catalog.h"

namespace valkyrie::registry {

using messages::InstanceState;

Catalog::Count Catalog::counted(const Entry& entry) {
  Count count;
  for (const auto& [name, registration] : entry.instances) {
    if (registration.state() == InstanceState::ready) ++count.ready;
    if (registration.state() == InstanceState::ejected) ++count.out;
  }
  return count;
}

bool Catalog::eject(Entry& entry, Registration& registration, std::string reason,
                    protocol::Instant now) {
  if (registration.ejection.is_out || registration.state() != InstanceState::ready) return false;
  const Count count = counted(entry);
  const EjectionSettings& settings = entry.settings.ejection;
  if (!may_eject(count.ready + count.out, count.out, settings)) return false;
  registration.ejection.begin(settings, std::move(reason), now);
  return true;
}

std::optional<RouteUpdate> Catalog::suspect(std::uint64_t instance, protocol::Instant now) {
  const auto stream = streams_.find(instance);
  if (stream == streams_.end()) return std::nullopt;
  Registration& registration = *find(stream->second);
  Entry& entry = services_.find(registration.info->service)->second;
  std::string reason = fmt::format("{} failures in a row", entry.settings.ejection.failures);
  if (!eject(entry, registration, std::move(reason), now)) return std::nullopt;
  ++ejected_;
  deadline_.reset();
  return registration.route(RouteUpdate::Kind::change);
}

std::optional<protocol::Instant> Catalog::deadline() const {
  if (ejected_ == 0 && compared_ == 0) return std::nullopt;
  if (deadline_) return *deadline_;
  std::optional<protocol::Instant> earliest;
  const auto consider = [&](protocol::Instant at) {
    if (!earliest || at < *earliest) earliest = at;
  };
  for (const auto& [name, entry] : services_) {
    if (entry.settings.ejection.success_gap > 0) {
      consider(entry.judged + entry.settings.ejection.interval);
    }
    if (ejected_ == 0) continue;
    if (const Count count = counted(entry); count.out > 0 && count.ready == 0) {
      consider(protocol::Instant::min());
    }
    for (const auto& [instance, registration] : entry.instances) {
      if (registration.ejection.is_out) consider(registration.ejection.until);
    }
  }
  deadline_ = earliest;
  return earliest;
}

std::vector<RouteUpdate> Catalog::judge(protocol::Instant now) {
  std::vector<RouteUpdate> changes;
  deadline_.reset();
  for (auto& [name, entry] : services_) {
    // A bad instance is better than none.
    const Count count = ejected_ == 0 ? Count() : counted(entry);
    const bool none_left = count.out > 0 && count.ready == 0;
    for (auto& [instance, registration] : entry.instances) {
      Ejection& ejection = registration.ejection;
      if (!ejection.is_out || (ejection.until > now && !none_left)) continue;
      ejection.end(now);
      --ejected_;
      registration.ready_since = now;
      changes.push_back(registration.route(RouteUpdate::Kind::change));
    }
    const EjectionSettings& settings = entry.settings.ejection;
    if (settings.success_gap == 0 || entry.judged + settings.interval > now) continue;
    const std::size_t before = changes.size();
    compare(entry, now, changes);
    ejected_ += changes.size() - before;
  }
  return changes;
}

void Catalog::compare(Entry& entry, protocol::Instant now, std::vector<RouteUpdate>& changes) {
  entry.judged = now;
  std::vector<Registration*> registrations;
  std::vector<Success> successes;
  for (auto& [name, registration] : entry.instances) {
    const InstanceGauge& gauge = registration.info->gauge;
    const std::uint64_t answers = gauge.answers.load(std::memory_order_relaxed);
    // Another shard counts meanwhile: never more failures than answers.
    const std::uint64_t failures =
        std::min(gauge.failures.load(std::memory_order_relaxed), answers);
    Ejection& seen = registration.ejection;
    registrations.push_back(&registration);
    successes.push_back({.answers = answers - seen.answers, .failures = failures - seen.failures});
    seen.answers = answers;
    seen.failures = failures;
  }
  for (Success& success : successes) success.failures = std::min(success.failures, success.answers);
  for (const std::size_t index : outliers(successes, entry.settings.ejection)) {
    const Success& success = successes[index];
    Registration& registration = *registrations[index];
    std::string reason = fmt::format("{} of {} calls failed, the others succeed more often",
                                     success.failures, success.answers);
    if (!eject(entry, registration, std::move(reason), now)) continue;
    changes.push_back(registration.route(RouteUpdate::Kind::change));
  }
}

}  // namespace valkyrie::registry
