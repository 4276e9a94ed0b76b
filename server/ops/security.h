// Who may come into a node and what each may do, as its file says: docs/operating/permissions.md.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "server/policy/policy.h"
#include "server/policy/provider.h"

namespace valkyrie::server {

// Immutable and shared by all shards.
struct Security {
  policy::ProviderChain providers{};  // Empty: what a channel proves is believed.
  policy::Policy policy{};            // Open: everything is allowed.
};

// Reads the file at `path` and the files of keys that it names, relative to its own folder. With an
// empty path there is no policy. Errors, for people, name the file: it cannot be read or is too
// long, its line, or what is wrong with keys; a file with shared secrets must be its owner's alone.
[[nodiscard]] std::expected<std::shared_ptr<const Security>, std::string> load_security(
    const std::string& path);

}  // namespace valkyrie::server
