// `valkyrie services watch`: what is registered, as it changes.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/messages/registry.h"
#include "tools/valkyrie/json.h"

namespace valkyrie::tools {

// An instance as JSON shows it, in lists and in changes.
[[nodiscard]] json::object instance_json(const messages::InstanceView& instance);

// Prints the instances of services whose names begin with `prefix`, then each change, until Ctrl-C,
// or until `count` lines were printed where it is not 0. Returns the exit code.
int run_services_watch(const Globals& globals, const std::string& prefix, std::uint64_t count);

}  // namespace valkyrie::tools
