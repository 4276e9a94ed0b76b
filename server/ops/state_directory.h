// What a node keeps between its runs: its id and how often it has started.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>

#include "transport/socket.h"

namespace valkyrie::server {

// A number that nobody can guess. Injected, so that tests choose.
using RandomSource = std::function<std::uint64_t()>;

// Who this run of the node is.
struct NodeState {
  std::string id;            // Such as "n-7f3a09c2".
  std::uint32_t starts = 1;  // This one included; higher at each start of the same node.
  transport::Socket lock;    // Held while the node runs: no second one uses the directory.
};

// A state that is not kept anywhere.
[[nodiscard]] NodeState ephemeral_state(const RandomSource& random);

// Takes the directory, made with mode 0700 where it is missing, and counts this start in its file
// `node`, durably. Errors, for people: another node holds it, it is not writable, its file is
// damaged.
[[nodiscard]] std::expected<NodeState, std::string> open_state(const std::string& directory,
                                                               const RandomSource& random);

// The text of a secret that a node keeps in its directory under this name; made by `fresh` where it
// is missing. Errors, for people: not readable or writable, or open to other users.
[[nodiscard]] std::expected<std::string, std::string> keep_secret(
    const std::string& directory, std::string_view name, const std::function<std::string()>& fresh);

// The text of a small file of the directory, empty where it is missing. Errors, for people.
[[nodiscard]] std::expected<std::string, std::string> read_state(const std::string& directory,
                                                                 std::string_view name);
// Puts a text in its place, so that a crash at any point leaves the old or the new one. Errors, for
// people.
[[nodiscard]] std::expected<void, std::string> write_state(const std::string& directory,
                                                           std::string_view name,
                                                           std::string_view text);

// Makes a directory that is only this user's, in a place where others may write, such as /tmp. It
// may exist if it is a directory, no link, of this user, and closed to others. Errors, for people.
[[nodiscard]] std::expected<void, std::string> secure_directory(const std::string& directory);

}  // namespace valkyrie::server
