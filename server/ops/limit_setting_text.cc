#include "server/ops/limit_setting_text.h"

#include <algorithm>
#include <fmt/format.h>

#include "server/ops/size_text.h"

namespace valkyrie::server {
namespace {

using Applied = std::expected<void, std::string>;

// More of anything in a second, or at once, is no limit.
constexpr std::uint64_t kMost = 1'000'000;

// Who comes back after a restart of the network comes with all it has: seconds of its rate at once.
constexpr std::uint32_t kBurstSeconds = 4;

std::unexpected<std::string> wrong(std::string_view key, std::string_view what) {
  return std::unexpected(fmt::format("limits.{}: {}", key, what));
}

std::expected<std::uint32_t, std::string> count(std::string_view key, std::string_view value) {
  const auto number = parse_count(value);
  if (!number) return wrong(key, number.error());
  if (*number > kMost) return wrong(key, fmt::format("{} is more than {}", value, kMost));
  return static_cast<std::uint32_t>(*number);
}

Applied apply_switch(std::string_view key, std::string_view value, bool& on) {
  if (value != "on" && value != "off") return wrong(key, "it is on or off");
  on = value == "on";
  return {};
}

Applied apply_rate(std::string_view key, std::string_view value, policy::TokenRate& rate) {
  const auto per_second = count(key, value);
  if (!per_second) return std::unexpected(per_second.error());
  rate = {.per_second = *per_second, .burst = std::max(1U, *per_second * kBurstSeconds)};
  return {};
}

}  // namespace

Applied apply_limit_setting(std::string_view key, std::string_view value, LimitSettings& settings) {
  policy::DoorRules& doors = settings.doors;
  if (key == "loopback") return apply_switch(key, value, doors.loopback);
  if (key == "keep_bans") return apply_switch(key, value, settings.keep_bans);
  if (key == "handshakes") return apply_rate(key, value, doors.all_handshakes);
  if (key == "handshakes_per_address") return apply_rate(key, value, doors.address_handshakes);
  if (key == "sessions_per_identity") return apply_rate(key, value, doors.identity_sessions);
  if (key != "half_open_per_address" && key != "ban_after") {
    return wrong(key,
                 "no such key; there are handshakes, handshakes_per_address, "
                 "half_open_per_address, sessions_per_identity, ban_after, keep_bans, loopback");
  }
  const auto number = count(key, value);
  if (!number) return std::unexpected(number.error());
  if (key == "ban_after") {
    doors.bans.failures_max = *number;
    return {};
  }
  if (*number == 0) return wrong(key, "it is at least 1");
  doors.address_half_open_max = *number;
  return {};
}

}  // namespace valkyrie::server
