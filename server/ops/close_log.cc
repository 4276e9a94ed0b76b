#include "server/ops/close_log.h"

#include <utility>

namespace valkyrie::server {

std::optional<std::uint64_t> CloseLog::note(std::string_view peer, protocol::Instant now) {
  const std::lock_guard lock(mutex_);
  const auto found = peers_.find(std::string(peer));
  if (found == peers_.end()) {
    if (peers_.size() >= kCloseLogPeersMax) peers_.clear();
    peers_.emplace(peer, Peer{.written = now});
    return 0;
  }
  Peer& known = found->second;
  if (now - known.written < kCloseLogInterval) {
    ++known.left_out;
    return std::nullopt;
  }
  known.written = now;
  return std::exchange(known.left_out, 0);
}

}  // namespace valkyrie::server
