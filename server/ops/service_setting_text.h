// Settings as people write them: `services.PATTERN.KEY` and a value, as in valkyrie.yaml. Where the
// pair comes from, a command line or a file, is not known here. docs/operating/services.md lists
// every key.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "server/registry/service_settings.h"

namespace valkyrie::server {

// Applies `path` = `value` to the rules: `services.defaults.balance`, `services."hello.*".deadline`
// (without quotes it is understood too), `node.labels.zone`. The error, for people, names the key,
// what is wrong, and the nearest right one.
[[nodiscard]] std::expected<void, std::string> apply_setting(std::string_view path,
                                                             std::string_view value,
                                                             registry::ServiceRules& rules);

// The keys below a pattern of services, in the order of the documents.
[[nodiscard]] std::vector<std::string_view> service_setting_keys();

}  // namespace valkyrie::server
