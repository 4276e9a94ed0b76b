// The command line of valkyrie-server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/constants.h"
#include "protocol/time.h"
#include "server/ops/audit_log.h"
#include "server/ops/environment.h"
#include "server/ops/limit_setting_text.h"
#include "server/ops/noise_setting_text.h"
#include "server/ops/qos_setting_text.h"
#include "server/ops/tls_setting_text.h"
#include "server/registry/service_settings.h"
#include "transport/address.h"
#include "transport/skipped_time.h"

namespace valkyrie::server {

// Threads of a node. More than cores brings nothing, and rings grow with the square.
inline constexpr std::size_t kShardsMax = 64;

// Connections that have not said hello, by default, and the most that can be asked for.
inline constexpr std::size_t kHalfOpenDefault = 4096;
inline constexpr std::size_t kHalfOpenMax = 1U << 20U;

// How a log line looks.
enum class LogFormat : std::uint8_t { text, json };

// From which severity on a line is written.
enum class LogLevel : std::uint8_t { debug, info, warn, error, off };

// What the node is told to do.
struct ServerOptions {
  std::vector<transport::Address> listen;
  // The per-user directory under /tmp that has to be checked before a socket is made in it; empty
  // if no door is there.
  std::string shared_parent;
  std::size_t shards = 1;
  std::string state_directory;  // Empty: ephemeral.
  std::string security_file;    // Empty: no policy, everything is allowed.
  std::string audit_directory;  // Empty: there is no audit log.
  AuditSettings audit;
  LimitSettings limits;
  std::uint32_t requests_in_flight_max = protocol::kRequestsInFlightDefault;
  std::size_t half_open_max = kHalfOpenDefault;
  protocol::Duration handshake_timeout = protocol::kHandshakeTimeoutDefault;
  protocol::Duration drain_grace = protocol::kDrainDefault;
  LogLevel log_level = LogLevel::info;
  LogFormat log_format = LogFormat::text;
  std::shared_ptr<const registry::ServiceRules> rules;                       // Never null.
  std::shared_ptr<const QosSettings> qos = std::make_shared<QosSettings>();  // Never null.
  TlsSettings tls;
  NoiseSettings noise;
  std::optional<int> ready_fd;
  std::shared_ptr<transport::SkippedTime> skipped_time;  // For tests; null: none is.
  bool check = false;
  bool print_doors = false;
};

// The program is to end before it does anything.
struct EarlyExit {
  int code = 0;      // 0 after --help and --version, else 2.
  std::string text;  // For stdout if the code is 0, else for stderr.
};

// Reads the command line; `arguments` is without the program's name. Opens and changes nothing.
[[nodiscard]] std::expected<ServerOptions, EarlyExit> parse_options(
    std::span<const char* const> arguments, const Environment& environment);

}  // namespace valkyrie::server
