#include "transport/door.h"

namespace valkyrie::transport {
namespace {

constexpr std::uint8_t kTlsHandshake = 0x16;
constexpr std::uint8_t kTlsMajorVersion = 0x03;

bool is_method_letter(std::uint8_t byte) { return (byte >= 'A' && byte <= 'Z') || byte == '-'; }

}  // namespace

Door detect_door(std::span<const std::byte> first) {
  if (first.empty()) return Door::undecided;
  const auto one = std::to_integer<std::uint8_t>(first[0]);
  if (one != 'V' && one != kTlsHandshake) {
    return is_method_letter(one) ? Door::http : Door::garbage;
  }
  if (first.size() < kDoorBytes) return Door::undecided;
  const auto two = std::to_integer<std::uint8_t>(first[1]);
  if (one == kTlsHandshake) return two == kTlsMajorVersion ? Door::tls : Door::garbage;
  // No HTTP method begins with VK or VN.
  if (two == 'K') return Door::valkyrie;
  if (two == 'N') return Door::noise;
  return is_method_letter(two) ? Door::http : Door::garbage;
}

}  // namespace valkyrie::transport
