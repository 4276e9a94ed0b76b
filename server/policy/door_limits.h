// What a peer may ask of a node before it has shown who it is: decided by its address, before a
// byte of it is read. No clock: time is an argument. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "protocol/time.h"
#include "server/policy/ban_list.h"
#include "server/policy/token_buckets.h"

namespace valkyrie::policy {

// Whom an address stands for, in limits and bans: 203.0.113.7 for itself, 2001:db8:1:2::/64 for its
// network, as one subscriber has all of it. `address` is 4 or 16 bytes as IP has them; an IPv4
// address in an IPv6 one is that. Empty for another number of bytes.
[[nodiscard]] std::string address_prefix(std::span<const std::byte> address);
// Whether the address is of this machine.
[[nodiscard]] bool is_loopback(std::span<const std::byte> address);

// The limits.
struct DoorRules {
  TokenRate address_handshakes{.per_second = 100, .burst = 400};
  TokenRate all_handshakes{.per_second = 10'000, .burst = 10'000};
  TokenRate identity_sessions{.per_second = 100, .burst = 400};
  std::size_t address_half_open_max = 256;
  std::size_t keys_max = 65'536;  // Of each table: about 100 bytes a key.
  BanRules bans{};
  bool loopback = false;  // Whether peers of this machine are held to it as well.
};

// The answer to a connection.
enum class Admission : std::uint8_t {
  admitted,
  banned,
  address_rate,
  node_rate,
  half_open,  // Too many of the address have not said hello.
};

// The one word for it in logs and records.
[[nodiscard]] std::string_view to_string(Admission admission);

// Counts what the peers of all doors do.
class DoorLimits {
 public:
  explicit DoorLimits(const DoorRules& rules);

  // A connection from this prefix, not empty, was accepted. After `admitted` it counts as half open
  // until settled() is called for it.
  [[nodiscard]] Admission admit(std::string_view prefix, protocol::Instant now);
  // A connection that was admitted has been let in, or is over. One that is refused counts until
  // then: a peer does not get rid of its count by being refused.
  void settled(std::string_view prefix);
  // The identity begins a session; false if it does so too often.
  [[nodiscard]] bool take_session(std::string_view identity, protocol::Instant now) {
    return sessions_.take(identity, now);
  }
  // Who is banned, and for what is to be counted against a peer.
  [[nodiscard]] BanList& bans() { return bans_; }
  [[nodiscard]] const DoorRules& rules() const { return rules_; }

 private:
  const DoorRules rules_;
  TokenBuckets handshakes_;
  TokenBuckets all_handshakes_;
  TokenBuckets sessions_;
  BanList bans_;
  std::unordered_map<std::string, std::size_t> half_open_;  // Above 0, so no more than connections.
};

}  // namespace valkyrie::policy
