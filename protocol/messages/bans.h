// Bodies of valkyrie.Bans: plain values and their encoding. Field by field as in
// docs/spec/bans.proto.
//
// No I/O, no clock, no threads. Every function may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/messages/decode_error.h"

namespace valkyrie::messages {

// Full name of the service.
inline constexpr std::string_view kBansService = "valkyrie.Bans";
// Bytes of a peer's name.
inline constexpr std::size_t kBanPeerBytesMax = 64;
// Bans in one answer.
inline constexpr std::size_t kListedBansMax = 4096;

// Asks for all bans.
struct ListBansRequest {
  bool operator==(const ListBansRequest&) const = default;
};

// One ban.
struct BanView {
  std::string peer;
  std::uint32_t count = 0;
  std::uint64_t left_ns = 0;

  bool operator==(const BanView&) const = default;
};

// The bans that last.
struct ListBansReply {
  std::vector<BanView> bans;

  bool operator==(const ListBansReply&) const = default;
};

// Lets a peer in again.
struct LiftBanRequest {
  std::string peer;

  bool operator==(const LiftBanRequest&) const = default;
};

// The bytes of a body. REQUIRES: within the limits above, else whoever decodes it refuses it.
[[nodiscard]] std::string encode(const ListBansRequest& request);
[[nodiscard]] std::string encode(const ListBansReply& reply);
[[nodiscard]] std::string encode(const LiftBanRequest& request);

}  // namespace valkyrie::messages
