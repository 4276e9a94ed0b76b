// How the calls of a service are treated, and which service is treated how. Plain values: whoever
// reads a command line or a file makes them, shards only look them up.
//
// No I/O, no clock, no threads. A ServiceRules that is not changed any more may be read from any
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/constants.h"
#include "protocol/messages/registry.h"
#include "protocol/time.h"

namespace valkyrie::registry {

// The pattern that means every service.
inline constexpr std::string_view kDefaultsPattern = "defaults";

// When an instance is taken out for a while because its calls fail: those that end UNAVAILABLE,
// INTERNAL, UNKNOWN or DEADLINE_EXCEEDED by its own word.
struct EjectionSettings {
  std::uint32_t failures = 5;     // So many in a row; 0: not for that.
  std::uint32_t success_gap = 0;  // Points of percent of success below the others; 0: not for that,
  std::uint32_t calls_min = 100;  // judged where it and two others had so many calls
  protocol::Duration interval = std::chrono::seconds(10);  // in so long.
  protocol::Duration time = std::chrono::seconds(10);  // Out for, doubled each time it comes again,
  protocol::Duration time_max = std::chrono::minutes(5);  // at most. After so long it is forgotten.
  std::uint32_t share_max = 50;  // Percent of a service's instances that may be out at once.

  bool operator==(const EjectionSettings&) const = default;
};

// How the node finds out whether an instance answers, beside what it says about itself.
struct ProbeSettings {
  protocol::Duration interval{};                         // One each; 0: none.
  protocol::Duration timeout = std::chrono::seconds(1);  // An answer later than this is none.
  std::uint32_t failures = 3;                            // So many in a row, and it gets no calls.
  std::uint32_t successes = 2;    // So many in a row, and it gets calls again.
  std::uint32_t deregister = 10;  // So many failures in a row end its registration; 0: none do.

  bool operator==(const ProbeSettings&) const = default;
};

// Settings of services, docs/operating/services.md says what each does. Every default is right for
// a service nobody thought about.
struct ServiceSettings {
  // What a call without DEADLINE is given.
  protocol::Duration deadline = protocol::kDeadlineDefault;
  // Calls in flight over all instances, shared out between the shards of the node; 0: as many as
  // the instances take.
  std::uint32_t in_flight_max = 0;
  // Calls that wait for room on each shard; 0: a call that finds none is refused at once.
  std::uint32_t queue_max = 1024;
  messages::Balance balance = messages::Balance::least_outstanding;
  // A new instance gets its full share of the calls after so long; 0: at once.
  protocol::Duration slow_start{};
  // Label of instances and of the node: those of the same value are preferred. Empty: none are.
  std::string locality = "zone";
  EjectionSettings ejection{};
  ProbeSettings probe{};

  bool operator==(const ServiceSettings&) const = default;
};

// Changes one setting, whose value was checked before.
using SettingChange = std::function<void(ServiceSettings&)>;

// True for `defaults`, the name of a service, or `PREFIX.*` which means every service below PREFIX.
[[nodiscard]] bool valid_service_pattern(std::string_view pattern);

// Which service has which settings, and what the node says about itself.
class ServiceRules {
 public:
  // Adds a rule. For one service the more specific pattern wins, setting by setting: its name, then
  // the longer prefix, then `defaults`; of equals the later. REQUIRES: the pattern is valid.
  void add(std::string_view pattern, SettingChange change);
  // Gives the node a label, replacing one of that name.
  void set_node_label(std::string_view name, std::string_view value);

  // What holds for a service; a version, as in `name@version`, does not matter.
  [[nodiscard]] ServiceSettings settings_of(std::string_view service) const;
  // The node's label of that name.
  [[nodiscard]] std::optional<std::string_view> node_label(std::string_view name) const;
  // How many rules there are.
  [[nodiscard]] std::size_t size() const { return rules_.size(); }

 private:
  struct Rule {
    std::string pattern;
    SettingChange change;
  };

  std::vector<Rule> rules_;  // The least specific first.
  std::vector<messages::ServiceLabel> node_labels_;
};

}  // namespace valkyrie::registry
