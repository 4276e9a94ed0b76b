// The grammar of names in the registry: docs/spec/registry.proto and calls.md.
#pragma once

#include <string_view>

namespace valkyrie::registry {

// First token of the names that belong to the node's own services.
inline constexpr std::string_view kReservedPrefix = "valkyrie.";

// A SERVICE value taken apart; both views borrow from the text.
struct ServiceTarget {
  std::string_view name;
  std::string_view version;  // Empty: any version.
};

// Cuts `name` or `name@version` at the first `@`. Does not check the parts.
[[nodiscard]] ServiceTarget parse_target(std::string_view text);

// 1 to 256 bytes: tokens of [A-Za-z0-9_-] joined by single dots.
[[nodiscard]] bool valid_service_name(std::string_view name);
// 1 to 256 bytes of [A-Za-z0-9_.+-].
[[nodiscard]] bool valid_version(std::string_view version);
// 1 to 256 bytes of [A-Za-z0-9_.:@/-].
[[nodiscard]] bool valid_instance_name(std::string_view name);
// 1 to 256 bytes: tokens of [A-Za-z0-9_-] joined by single dots.
[[nodiscard]] bool valid_method_name(std::string_view name);
// True if only the node itself may serve the name: `valkyrie` and all below it.
[[nodiscard]] bool reserved(std::string_view name);

}  // namespace valkyrie::registry
