#include "server/registry/service_settings.h"

#include <algorithm>
#include <utility>

#include "protocol/assert.h"
#include "server/registry/names.h"

namespace valkyrie::registry {
namespace {

constexpr std::string_view kBelow = ".*";

// How much a pattern says: nothing, a prefix, which is more the longer it is, or a whole name.
std::size_t specificity(std::string_view pattern) {
  if (pattern == kDefaultsPattern) return 0;
  if (pattern.ends_with(kBelow)) return pattern.size();
  return messages::kRegistryNameBytesMax + kBelow.size() + 1;
}

bool matches(std::string_view pattern, std::string_view service) {
  if (pattern == kDefaultsPattern || pattern == service) return true;
  // With its dot, so that "hello.*" is not "helloworld".
  return pattern.ends_with(kBelow) && service.starts_with(pattern.substr(0, pattern.size() - 1));
}

}  // namespace

bool valid_service_pattern(std::string_view pattern) {
  if (pattern.ends_with(kBelow)) pattern.remove_suffix(kBelow.size());
  return valid_service_name(pattern);
}

void ServiceRules::add(std::string_view pattern, SettingChange change) {
  VALKYRIE_ASSERT(valid_service_pattern(pattern));
  const auto place = std::ranges::upper_bound(
      rules_, specificity(pattern), {}, [](const Rule& rule) { return specificity(rule.pattern); });
  rules_.insert(place, {.pattern = std::string(pattern), .change = std::move(change)});
}

void ServiceRules::set_node_label(std::string_view name, std::string_view value) {
  const auto known = std::ranges::find(node_labels_, name, &messages::ServiceLabel::first);
  if (known != node_labels_.end()) {
    known->second = value;
  } else {
    node_labels_.emplace_back(name, value);
  }
}

ServiceSettings ServiceRules::settings_of(std::string_view service) const {
  const std::string_view name = parse_target(service).name;
  ServiceSettings settings;
  for (const Rule& rule : rules_) {
    if (matches(rule.pattern, name)) rule.change(settings);
  }
  return settings;
}

std::optional<std::string_view> ServiceRules::node_label(std::string_view name) const {
  const auto known = std::ranges::find(node_labels_, name, &messages::ServiceLabel::first);
  if (known == node_labels_.end()) return std::nullopt;
  return known->second;
}

}  // namespace valkyrie::registry
