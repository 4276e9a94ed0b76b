// Settings below `qos.` as people write them. docs/operating/qos.md lists every key.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <string>
#include <string_view>

#include "protocol/limits.h"
#include "server/router/qos_rules.h"
#include "transport/address.h"

namespace valkyrie::server {

// What the settings say.
struct QosSettings {
  router::QosRules rules;
  protocol::ClassWeights shares = protocol::kClassWeights;
  std::uint64_t queued_bytes_max = protocol::kQueuedBytesDefault;  // For one peer.
  protocol::Duration stall_timeout = protocol::kStallTimeoutDefault;
  // By the canonical text of the address: what nobody who connects there may go above.
  std::map<std::string, protocol::QosClass> listener_ceilings;

  // The ceiling of an address that the node listens on; critical, which is none, if not set.
  [[nodiscard]] protocol::QosClass listener_ceiling(const transport::Address& address) const;
};

// Applies `path` = `value`, where `path` begins behind `qos.`: `shares.job`, `ceiling`,
// `ceiling."uid:1000"`, `listener_ceiling."unix:///path"`, `rules."hello.*/Slow"`,
// `slow_peer.stall`. The error, for people, names the key and what is wrong.
[[nodiscard]] std::expected<void, std::string> apply_qos_setting(std::string_view path,
                                                                 std::string_view value,
                                                                 QosSettings& settings);

}  // namespace valkyrie::server
