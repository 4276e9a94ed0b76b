// The limits on peers that have not shown who they are, for the doors of all shards.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/time.h"
#include "server/policy/door_limits.h"
#include "transport/connection.h"

namespace valkyrie::server {

// One for a node. Any thread: connections come and go rarely beside messages, so a lock is good
// enough. A peer is named by its prefix, see policy::address_prefix(); an empty one is of nobody
// who is limited.
class DoorGuard {
 public:
  explicit DoorGuard(const policy::DoorRules& rules) : limits_(rules), rules_(rules) {}

  // The prefix of the peer of a connected socket. Empty for a Unix socket, and for this machine
  // unless the rules say otherwise.
  [[nodiscard]] std::string prefix_of(int fd) const;
  // As of policy::DoorLimits. An empty prefix is admitted and not counted.
  [[nodiscard]] policy::Admission admit(std::string_view prefix, protocol::Instant now);
  void settled(std::string_view prefix);
  [[nodiscard]] bool take_session(std::string_view prefix, std::string_view identity,
                                  protocol::Instant now);
  // Counts a connection's end against its peer if it speaks against it; how long the peer is banned
  // if that was once too often. `greeted`: it had said hello.
  std::optional<protocol::Duration> note_end(std::string_view prefix,
                                             const transport::CloseReason& reason, bool greeted,
                                             protocol::Instant now);

  // As of policy::BanList.
  [[nodiscard]] std::vector<policy::Ban> bans(protocol::Instant now);
  bool lift(std::string_view prefix, protocol::Instant now);
  [[nodiscard]] std::string save_bans(protocol::Instant now, std::uint64_t unix_ms);
  bool load_bans(std::string_view text, protocol::Instant now, std::uint64_t unix_ms);

 private:
  std::mutex mutex_;
  policy::DoorLimits limits_;  // Guarded by mutex_.
  const policy::DoorRules rules_;
};

// A half-open connection's place in the counts, given back when it is settled or gone.
class DoorPlace {
 public:
  // Of an admitted peer. Keeps a reference to `guard`.
  DoorPlace(DoorGuard& guard, std::string prefix) : guard_(guard), prefix_(std::move(prefix)) {}
  ~DoorPlace() { settle(); }
  DoorPlace(const DoorPlace&) = delete;
  DoorPlace& operator=(const DoorPlace&) = delete;

  // The peer was let in: the connection is half open no more. Idempotent.
  void settle() {
    if (!std::exchange(settled_, true)) guard_.settled(prefix_);
  }
  // Whose it is; empty: of nobody who is limited.
  [[nodiscard]] const std::string& prefix() const { return prefix_; }

 private:
  DoorGuard& guard_;
  const std::string prefix_;
  bool settled_ = false;
};

}  // namespace valkyrie::server
