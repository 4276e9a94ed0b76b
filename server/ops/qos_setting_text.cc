#include "server/ops/qos_setting_text.h"

#include <fmt/format.h>

#include "server/ops/size_text.h"
#include "transport/duration_text.h"

namespace valkyrie::server {
namespace {

using protocol::QosClass;
using Applied = std::expected<void, std::string>;

std::unexpected<std::string> wrong(std::string_view path, std::string_view what) {
  return std::unexpected(fmt::format("qos.{}: {}", path, what));
}

// What stands in quotes, or else all of it.
std::string_view unquoted(std::string_view text) {
  const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
  return quoted ? text.substr(1, text.size() - 2) : text;
}

std::expected<QosClass, std::string> qos_class(std::string_view word) {
  if (const auto parsed = router::parse_qos_class(word)) return *parsed;
  return std::unexpected(
      fmt::format("\"{}\" is no class; there are critical, system, job, data, telemetry", word));
}

Applied apply_share(std::string_view path, std::string_view name, std::string_view value,
                    QosSettings& settings) {
  const auto its_class = qos_class(name);
  if (!its_class) return wrong(path, its_class.error());
  if (*its_class == QosClass::critical) {
    return wrong(path, "critical has no share: it goes first, up to a tenth of the bytes");
  }
  if (value.ends_with('%')) value.remove_suffix(1);
  const auto share = parse_count(value);
  if (!share) return wrong(path, share.error());
  if (*share < 1 || *share > 100) return wrong(path, "a share is between 1% and 100%");
  settings.shares[static_cast<std::size_t>(*its_class)] = static_cast<std::uint32_t>(*share);
  return {};
}

Applied apply_listener_ceiling(std::string_view path, std::string_view url, QosClass ceiling,
                               QosSettings& settings) {
  // Whether it may be listened on is for --listen to say.
  const auto address = transport::parse_address(url, {.insecure = true});
  if (!address) return wrong(path, address.error().message);
  settings.listener_ceilings.insert_or_assign(to_string(*address), ceiling);
  return {};
}

Applied apply_slow_peer(std::string_view path, std::string_view key, std::string_view value,
                        QosSettings& settings) {
  if (key == "queue_max") {
    const auto size = parse_size(value, protocol::kQueuedBytesMax);
    if (!size) return wrong(path, size.error());
    if (*size < protocol::kQueuedBytesMin) return wrong(path, "it is between 64KiB and 64MiB");
    settings.queued_bytes_max = *size;
    return {};
  }
  if (key == "stall") {
    const auto time = transport::parse_duration(value);
    if (!time) return wrong(path, time.error());
    if (*time < protocol::kStallTimeoutMin || *time > protocol::kStallTimeoutMax) {
      return wrong(path, fmt::format("{} is not between {} and {}", value,
                                     transport::duration_text(protocol::kStallTimeoutMin),
                                     transport::duration_text(protocol::kStallTimeoutMax)));
    }
    settings.stall_timeout = *time;
    return {};
  }
  return wrong(path, "slow_peer has the keys queue_max and stall");
}

}  // namespace

QosClass QosSettings::listener_ceiling(const transport::Address& address) const {
  const auto found = listener_ceilings.find(to_string(address));
  return found == listener_ceilings.end() ? QosClass::critical : found->second;
}

Applied apply_qos_setting(std::string_view path, std::string_view value, QosSettings& settings) {
  const std::string_view first = path.substr(0, path.find('.'));
  const std::string_view rest = path.substr(std::min(path.size(), first.size() + 1));
  if (first == "shares") return apply_share(path, rest, value, settings);
  if (first == "slow_peer") return apply_slow_peer(path, rest, value, settings);
  if (first != "ceiling" && first != "listener_ceiling" && first != "rules") {
    return std::unexpected(fmt::format(
        "unknown key \"{}\" in qos; there are shares, ceiling, listener_ceiling, rules, "
        "slow_peer",
        first));
  }
  const auto its_class = qos_class(value);
  if (!its_class) return wrong(path, its_class.error());
  if (first == "ceiling") {
    settings.rules.set_ceiling(unquoted(rest), *its_class);
    return {};
  }
  if (first == "listener_ceiling") {
    return apply_listener_ceiling(path, unquoted(rest), *its_class, settings);
  }
  auto rule = router::parse_qos_conditions(unquoted(rest));
  if (!rule) return wrong(path, rule.error());
  rule->qos_class = *its_class;
  settings.rules.add(*std::move(rule));
  return {};
}

}  // namespace valkyrie::server
