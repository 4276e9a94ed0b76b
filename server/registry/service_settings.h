// How the calls of a service are treated, and which service is treated how. Plain values: whoever
// reads a command line or a file makes them, shards only look them up.
//
// No I/O, no clock, no threads. A ServiceRules that is not changed any more may be read from any
// thread.
#pragma once

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

// Settings of services, docs/operating/services.md says what each does. Every default is right for
// a service nobody thought about.
struct ServiceSettings {
  // What a call without DEADLINE is given.
  protocol::Duration deadline = protocol::kDeadlineDefault;
  messages::Balance balance = messages::Balance::least_outstanding;
  // A new instance gets its full share of the calls after so long; 0: at once.
  protocol::Duration slow_start{};
  // Label of instances and of the node: those of the same value are preferred. Empty: none are.
  std::string locality = "zone";

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
