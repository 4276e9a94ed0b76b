// Who a connection's peer is, and whether it may come in.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "server/ops/noise_door.h"
#include "server/ops/security.h"
#include "server/policy/policy.h"
#include "server/policy/wall_time.h"
#include "transport/connection.h"

namespace valkyrie::server {

// A peer that may come in.
struct AdmittedPeer {
  policy::Identity identity{};
  policy::Grants grants{};
  std::optional<policy::WallTime> valid_until{};  // Its session ends then.
};

// Why a peer may not come in.
struct Refused {
  protocol::CloseCode code = protocol::CloseCode::unauthenticated;
  std::string why;  // For the peer and for logs: it holds nothing of a token.
};

// Who the channel or the kernel says that the peer is.
[[nodiscard]] policy::Identity channel_identity(const transport::Connection& connection);

// Asks `noise`, where a door speaks it, for the name of a peer with a Noise key, then the providers
// about the peer and the credential that it has shown last. Errors: unauthenticated, and
// pq_required where one of its roles requires what its channel is not. REQUIRES: the connection has
// said hello
[[nodiscard]] std::expected<AdmittedPeer, Refused> admit(const Security& security,
                                                         const NoiseDoor* noise,
                                                         transport::Connection& connection,
                                                         policy::WallTime now);

}  // namespace valkyrie::server
