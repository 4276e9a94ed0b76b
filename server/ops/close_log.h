// Bounds what the ends of connections may write into the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "protocol/time.h"

namespace valkyrie::server {

// One line per peer in this time.
inline constexpr protocol::Duration kCloseLogInterval = std::chrono::seconds(10);

// Peers that are remembered. Over it the table starts anew, so that a crowd of peers costs lines
// and not memory.
inline constexpr std::size_t kCloseLogPeersMax = 4096;

// Decides which ends are worth a line. A peer is a host or a user, not one of its connections.
// Shared by all shards: any thread. Ends are rare beside messages, so a lock is good enough.
class CloseLog {
 public:
  // A connection of `peer` has ended at `now`. The number of ends left out since the last line if
  // this one is to be written, else nullopt.
  [[nodiscard]] std::optional<std::uint64_t> note(std::string_view peer, protocol::Instant now);

 private:
  struct Peer {
    protocol::Instant written{};
    std::uint64_t left_out = 0;
  };

  std::mutex mutex_;
  std::unordered_map<std::string, Peer> peers_;  // Guarded by mutex_.
};

}  // namespace valkyrie::server
