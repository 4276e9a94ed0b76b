// How the node says that it is ready.
#pragma once

#include <optional>
#include <string>

#include "protocol/time.h"
#include "server/node/node_service.h"
#include "server/ops/options.h"

namespace valkyrie::server {

// The line for people: "node n-7f3a09c2 ready in 4ms  valkyrie://127.0.0.1:22091  state /var/...".
[[nodiscard]] std::string ready_line(const NodeIdentity& identity, const ServerOptions& options,
                                     protocol::Duration took);

// The JSON object of --print-doors, one line. Members are only ever added.
[[nodiscard]] std::string doors_json(const NodeIdentity& identity, const ServerOptions& options,
                                     protocol::Duration took, int process);

// To whom a node without a policy is open, and how to change that: a sentence for its log.
struct OpenNotice {
  std::string text;
  bool beyond_this_machine = false;
};

// Nothing if the node has a policy.
[[nodiscard]] std::optional<OpenNotice> open_notice(const NodeIdentity& identity,
                                                    const ServerOptions& options);

// Writes the notice of --ready-fd and closes the descriptor. False if nobody can read it.
[[nodiscard]] bool notify_ready(int fd);

}  // namespace valkyrie::server
