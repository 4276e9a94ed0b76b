// What the program finds around it: read once in main, an argument everywhere else.
#pragma once

#include <cstddef>
#include <string>
#include <sys/types.h>

namespace valkyrie::server {

// Empty strings stand for variables that are not set.
struct Environment {
  std::string runtime_directory;  // XDG_RUNTIME_DIR
  std::string state_home;         // XDG_STATE_HOME
  std::string home;               // HOME
  std::string temporary = "/tmp";
  uid_t user = 0;
  std::size_t cores = 1;  // That this process may use.
};

// The environment of this process.
[[nodiscard]] Environment read_environment();

// Where the node's Unix socket is unless --listen says so: $XDG_RUNTIME_DIR/valkyrie/node.sock,
// else for root /run/valkyrie/node.sock, else /tmp/valkyrie-UID/node.sock.
[[nodiscard]] std::string default_socket_path(const Environment& environment);

// Where the node keeps its state unless --state says so: $XDG_STATE_HOME/valkyrie, else
// $HOME/.local/state/valkyrie, else /var/lib/valkyrie.
[[nodiscard]] std::string default_state_directory(const Environment& environment);

}  // namespace valkyrie::server
