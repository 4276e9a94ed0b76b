// Who is kept out for a time since he failed too often: each ban of the same peer is twice as long
// as the one before. No clock: time is an argument. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/time.h"
#include "server/policy/recent_table.h"

namespace valkyrie::policy {

// When a peer is banned and for how long.
struct BanRules {
  std::uint32_t failures_max = 20;  // At once; the next one is a ban. 0: nobody is ever banned.
  protocol::Duration forgets = std::chrono::seconds(10);  // In this time, one failure.
  protocol::Duration first = std::chrono::seconds(10);    // The first ban.
  protocol::Duration longest = std::chrono::hours(1);
  // After a ban has ended, for so long without another one, the next ban is half as long again.
  protocol::Duration forgives = std::chrono::minutes(10);
  std::size_t peers_max = 65'536;  // That are remembered; the least recent is forgotten first.
};

// A ban that lasts.
struct Ban {
  std::string peer;
  std::uint32_t count = 0;  // How many the peer has had lately, this one included.
  protocol::Duration left{};
};

// Bans by peer, a name such as "203.0.113.7".
class BanList {
 public:
  explicit BanList(const BanRules& rules) : rules_(rules), peers_(rules.peers_max) {}

  // The peer has failed; how long it is banned from now on if that was once too often.
  std::optional<protocol::Duration> fail(std::string_view peer, protocol::Instant now);
  // Whether the peer is banned.
  [[nodiscard]] bool banned(std::string_view peer, protocol::Instant now);
  // All who are banned, the most recent first.
  [[nodiscard]] std::vector<Ban> list(protocol::Instant now) const;
  // Lets a peer in again and forgets what it did; false if it is not banned.
  bool lift(std::string_view peer, protocol::Instant now);

  // The bans that last, as text for a file; `unix_ms` is the time of day now.
  [[nodiscard]] std::string save(protocol::Instant now, std::uint64_t unix_ms) const;
  // Takes such a text in. False if a line of it is none, which is left out; whoever was to be
  // banned longer than the rules say is banned for the longest.
  bool load(std::string_view text, protocol::Instant now, std::uint64_t unix_ms);

 private:
  struct Peer {
    protocol::Instant failures_until{};  // When all failures will be forgotten.
    protocol::Instant banned_until{};
    std::uint32_t bans = 0;
  };

  [[nodiscard]] protocol::Duration length(std::uint32_t bans) const;

  const BanRules rules_;
  RecentTable<Peer> peers_;
};

}  // namespace valkyrie::policy
