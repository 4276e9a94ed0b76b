#include "server/policy/door_limits.h"

#include <algorithm>
#include <fmt/format.h>

namespace valkyrie::policy {

namespace {

constexpr std::size_t kIpv4Bytes = 4;
constexpr std::size_t kIpv6Bytes = 16;
constexpr std::array<unsigned char, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

unsigned number(std::byte byte) { return std::to_integer<unsigned>(byte); }

// The IPv4 address in it, or else what it is.
std::span<const std::byte> unmapped(std::span<const std::byte> address) {
  if (address.size() != kIpv6Bytes) return address;
  const bool mapped =
      std::equal(kMapped.begin(), kMapped.end(), address.begin(),
                 [](unsigned char a, std::byte b) { return a == std::to_integer<int>(b); });
  return mapped ? address.subspan(kMapped.size()) : address;
}

}  // namespace

std::string address_prefix(std::span<const std::byte> address) {
  address = unmapped(address);
  if (address.size() == kIpv4Bytes) {
    return fmt::format("{}.{}.{}.{}", number(address[0]), number(address[1]), number(address[2]),
                       number(address[3]));
  }
  if (address.size() != kIpv6Bytes) return {};
  std::string text;
  for (std::size_t i = 0; i < kIpv6Bytes / 2; i += 2) {
    text += fmt::format("{:x}:", number(address[i]) << 8U | number(address[i + 1]));
  }
  return text + ":/64";
}

bool is_loopback(std::span<const std::byte> address) {
  address = unmapped(address);
  if (address.size() == kIpv4Bytes) return number(address[0]) == 127;
  if (address.size() != kIpv6Bytes || number(address.back()) != 1) return false;
  return std::ranges::all_of(address.first(kIpv6Bytes - 1),
                             [](std::byte byte) { return byte == std::byte{}; });
}

std::string_view to_string(Admission admission) {
  switch (admission) {
    case Admission::banned:
      return "banned";
    case Admission::address_rate:
      return "address_rate";
    case Admission::node_rate:
      return "node_rate";
    case Admission::half_open:
      return "address_half_open";
    default:
      return "admitted";
  }
}

DoorLimits::DoorLimits(const DoorRules& rules)
    : rules_(rules),
      handshakes_(rules.address_handshakes, rules.keys_max),
      all_handshakes_(rules.all_handshakes, 1),
      sessions_(rules.identity_sessions, rules.keys_max),
      bans_(rules.bans) {}

// What one address is to blame for comes first, so that it takes nothing from the others.
Admission DoorLimits::admit(std::string_view prefix, protocol::Instant now) {
  if (bans_.banned(prefix, now)) return Admission::banned;
  const auto found = half_open_.find(std::string(prefix));
  if (found != half_open_.end() && found->second >= rules_.address_half_open_max) {
    return Admission::half_open;
  }
  if (!handshakes_.take(prefix, now)) return Admission::address_rate;
  if (!all_handshakes_.take({}, now)) return Admission::node_rate;
  ++half_open_[std::string(prefix)];
  return Admission::admitted;
}

void DoorLimits::settled(std::string_view prefix) {
  const auto found = half_open_.find(std::string(prefix));
  if (found == half_open_.end()) return;
  if (--found->second == 0) half_open_.erase(found);
}

}  // namespace valkyrie::policy
