// Who a connection's peer is, and whether it may come in.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "server/ops/security.h"
#include "server/policy/policy.h"
#include "server/policy/wall_time.h"
#include "transport/connection.h"

namespace valkyrie::server {

// A peer that may come in.
struct Admission {
  std::string identity{};  // Value of IDENTITY.
  std::shared_ptr<const policy::Grants> grants{};
  std::optional<policy::WallTime> valid_until{};  // Its session ends then.
};

// Who the channel or the kernel says that the peer is.
[[nodiscard]] policy::Identity channel_identity(const transport::Connection& connection);

// Asks the providers about the peer of a connection and the token in its hello. The error, for the
// peer and for logs, holds nothing of a token. REQUIRES: the connection has said hello
[[nodiscard]] std::expected<Admission, std::string> admit(const Security& security,
                                                          transport::Connection& connection,
                                                          policy::WallTime now);

}  // namespace valkyrie::server
