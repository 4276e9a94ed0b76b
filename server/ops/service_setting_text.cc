#include "server/ops/service_setting_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <span>

#include "server/registry/names.h"
#include "server/registry/suggestion.h"
#include "transport/duration_text.h"

namespace valkyrie::server {
namespace {

using namespace std::chrono_literals;
using protocol::Duration;
using registry::EjectionSettings;
using registry::ProbeSettings;
using registry::ServiceSettings;
using registry::SettingChange;

template <class T>
using Parsed = std::expected<T, std::string>;

// The known text nearest to a mistyped one, as the end of an error.
std::string suggestion(std::string_view given, std::span<const std::string_view> known) {
  std::string_view nearest;
  std::size_t edits = registry::forgiven_edits(given) + 1;
  for (const std::string_view candidate : known) {
    if (edits == 0) break;
    const auto distance = registry::edit_distance(given, candidate, edits - 1);
    if (!distance) continue;
    nearest = candidate;
    edits = *distance;
  }
  return nearest.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", nearest);
}

Parsed<Duration> duration(std::string_view text, Duration min, Duration max) {
  const auto value = transport::parse_duration(text);
  if (!value) return value;
  if (*value < min || *value > max) {
    return std::unexpected(fmt::format("{} is not between {} and {}", text,
                                       transport::duration_text(min),
                                       transport::duration_text(max)));
  }
  return value;
}

Parsed<messages::Balance> balance(std::string_view text) {
  constexpr auto kLast = static_cast<int>(messages::Balance::consistent_hash);
  std::array<std::string_view, kLast + 1> words;
  for (int i = 0; i <= kLast; ++i) {
    const auto policy = static_cast<messages::Balance>(i);
    words[static_cast<std::size_t>(i)] = messages::to_string(policy);
    if (words[static_cast<std::size_t>(i)] == text) return policy;
  }
  const std::string nearest = suggestion(text, words);
  return std::unexpected(fmt::format(
      "\"{}\" is no balance{}", text,
      nearest.empty() ? fmt::format("; there are {}", fmt::join(words, ", ")) : nearest));
}

bool valid_label(std::string_view text) {
  return !text.empty() && text.size() <= messages::kRegistryNameBytesMax &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

// A setting of `Field` that `parse` reads.
template <auto Field, class Parse>
Parsed<SettingChange> change(std::string_view text, Parse parse) {
  const auto value = parse(text);
  if (!value) return std::unexpected(value.error());
  return [read = *value](ServiceSettings& settings) { settings.*Field = read; };
}

// More calls than this are no limit, and more that wait are no queue.
constexpr std::uint32_t kInFlightMax = 1U << 24U;
constexpr std::uint32_t kQueueMax = 1U << 20U;

// The same of a setting of `Group`.
template <auto Group, auto Field, class Parse>
Parsed<SettingChange> change_in(std::string_view text, Parse parse) {
  const auto value = parse(text);
  if (!value) return std::unexpected(value.error());
  return [read = *value](ServiceSettings& settings) { settings.*Group.*Field = read; };
}

template <auto Field, class Parse>
Parsed<SettingChange> ejection(std::string_view text, Parse parse) {
  return change_in<&ServiceSettings::ejection, Field>(text, parse);
}

template <auto Field, class Parse>
Parsed<SettingChange> probe(std::string_view text, Parse parse) {
  return change_in<&ServiceSettings::probe, Field>(text, parse);
}

struct Key {
  std::string_view name;
  Parsed<SettingChange> (*read)(std::string_view text);
};

Parsed<std::uint32_t> count(std::string_view text, std::uint32_t min, std::uint32_t max) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::unexpected(fmt::format("\"{}\" is no whole number", text));
  }
  if (value < min || value > max) {
    return std::unexpected(fmt::format("{} is not between {} and {}", text, min, max));
  }
  return value;
}

Parsed<std::uint32_t> percent(std::string_view text) {
  if (!text.ends_with('%')) {
    return std::unexpected(fmt::format("\"{}\" is no percentage; write 40%", text));
  }
  return count(text.substr(0, text.size() - 1), 0, 100);
}

constexpr Key kKeys[] = {
    {"deadline",
     [](std::string_view text) {
       return change<&ServiceSettings::deadline>(
           text, [](std::string_view t) { return duration(t, 1ms, protocol::kDeadlineMax); });
     }},
    {"in_flight_max",
     [](std::string_view text) {
       return change<&ServiceSettings::in_flight_max>(
           text, [](std::string_view t) { return count(t, 0, kInFlightMax); });
     }},
    {"queue_max",
     [](std::string_view text) {
       return change<&ServiceSettings::queue_max>(
           text, [](std::string_view t) { return count(t, 0, kQueueMax); });
     }},
    {"balance",
     [](std::string_view text) { return change<&ServiceSettings::balance>(text, balance); }},
    {"slow_start",
     [](std::string_view text) {
       return change<&ServiceSettings::slow_start>(
           text, [](std::string_view t) { return duration(t, 0s, 1h); });
     }},
    {"locality",
     [](std::string_view text) {
       return change<&ServiceSettings::locality>(
           text, [](std::string_view t) -> Parsed<std::string> {
             if (t == "none") return std::string();
             if (valid_label(t)) return std::string(t);
             return std::unexpected(fmt::format("\"{}\" is no name of a label; or write none", t));
           });
     }},
};

constexpr Key kEjectionKeys[] = {
    {"ejection.failures",
     [](std::string_view text) {
       return ejection<&EjectionSettings::failures>(
           text, [](std::string_view t) { return count(t, 0, 1000); });
     }},
    {"ejection.success_gap",
     [](std::string_view text) { return ejection<&EjectionSettings::success_gap>(text, percent); }},
    {"ejection.calls_min",
     [](std::string_view text) {
       return ejection<&EjectionSettings::calls_min>(
           text, [](std::string_view t) { return count(t, 1, 1'000'000); });
     }},
    {"ejection.interval",
     [](std::string_view text) {
       return ejection<&EjectionSettings::interval>(
           text, [](std::string_view t) { return duration(t, 1s, 1h); });
     }},
    {"ejection.time",
     [](std::string_view text) {
       return ejection<&EjectionSettings::time>(
           text, [](std::string_view t) { return duration(t, 100ms, 24h); });
     }},
    {"ejection.time_max",
     [](std::string_view text) {
       return ejection<&EjectionSettings::time_max>(
           text, [](std::string_view t) { return duration(t, 100ms, 24h); });
     }},
    {"ejection.share_max",
     [](std::string_view text) { return ejection<&EjectionSettings::share_max>(text, percent); }},
};

constexpr Key kProbeKeys[] = {
    {"probe.interval",
     [](std::string_view text) {
       return probe<&ProbeSettings::interval>(text, [](std::string_view t) -> Parsed<Duration> {
         const auto none = duration(t, 0s, 0s);
         return none ? none : duration(t, 100ms, 1h);
       });
     }},
    {"probe.timeout",
     [](std::string_view text) {
       return probe<&ProbeSettings::timeout>(
           text, [](std::string_view t) { return duration(t, 10ms, 1h); });
     }},
    {"probe.failures",
     [](std::string_view text) {
       return probe<&ProbeSettings::failures>(text,
                                              [](std::string_view t) { return count(t, 1, 1000); });
     }},
    {"probe.successes",
     [](std::string_view text) {
       return probe<&ProbeSettings::successes>(
           text, [](std::string_view t) { return count(t, 1, 1000); });
     }},
    {"probe.deregister",
     [](std::string_view text) {
       return probe<&ProbeSettings::deregister>(
           text, [](std::string_view t) { return count(t, 0, 1000); });
     }},
};

const Key* find_key(std::string_view name) {
  for (const std::span<const Key> keys :
       {std::span<const Key>(kKeys), std::span<const Key>(kEjectionKeys), {kProbeKeys}}) {
    const auto found = std::ranges::find(keys, name, &Key::name);
    if (found != keys.end()) return &*found;
  }
  return nullptr;
}

// A path below `services` in two: the pattern and the key.
struct Place {
  std::string pattern;
  std::string_view key;
};

Parsed<Place> split(std::string_view path, std::string_view whole) {
  if (path.starts_with('"')) {
    const std::size_t end = path.find('"', 1);
    if (end == std::string_view::npos || path.substr(end + 1, 1) != ".") {
      return std::unexpected(fmt::format("{}: write services.\"PATTERN\".KEY", whole));
    }
    return Place{.pattern = std::string(path.substr(1, end - 1)), .key = path.substr(end + 2)};
  }
  // The longest key that ends the path, since names of services have dots too.
  for (std::size_t dot = path.find('.'); dot != std::string_view::npos;
       dot = path.find('.', dot + 1)) {
    if (find_key(path.substr(dot + 1)) != nullptr) {
      return Place{.pattern = std::string(path.substr(0, dot)), .key = path.substr(dot + 1)};
    }
  }
  const std::size_t last = path.rfind('.');
  if (last == std::string_view::npos) {
    return std::unexpected(fmt::format("{}: write services.PATTERN.KEY", whole));
  }
  return Place{.pattern = std::string(path.substr(0, last)), .key = path.substr(last + 1)};
}

Parsed<void> apply_to_services(std::string_view path, std::string_view whole,
                               std::string_view value, registry::ServiceRules& rules) {
  const auto place = split(path, whole);
  if (!place) return std::unexpected(place.error());
  if (!registry::valid_service_pattern(place->pattern)) {
    return std::unexpected(fmt::format(
        "\"{}\" is no pattern of services; write defaults, a name, or PREFIX.*", place->pattern));
  }
  const Key* key = find_key(place->key);
  if (key == nullptr) {
    return std::unexpected(fmt::format("unknown key \"{}\" in services.{}{}", place->key,
                                       place->pattern,
                                       suggestion(place->key, service_setting_keys())));
  }
  auto read = key->read(value);
  if (!read) return std::unexpected(fmt::format("{}: {}", whole, read.error()));
  rules.add(place->pattern, *std::move(read));
  return {};
}

Parsed<void> apply_to_node(std::string_view path, std::string_view whole, std::string_view value,
                           registry::ServiceRules& rules) {
  constexpr std::string_view kLabels = "labels.";
  if (!path.starts_with(kLabels)) {
    constexpr std::string_view kKnown[] = {"labels"};
    const std::string_view first = path.substr(0, path.find('.'));
    return std::unexpected(
        fmt::format("unknown key \"{}\" in node{}", first, suggestion(first, kKnown)));
  }
  const std::string_view name = path.substr(kLabels.size());
  if (!valid_label(name) || !valid_label(value)) {
    return std::unexpected(
        fmt::format("{}: a label and its value are 1 to {} visible ASCII characters", whole,
                    messages::kRegistryNameBytesMax));
  }
  rules.set_node_label(name, value);
  return {};
}

}  // namespace

std::expected<void, std::string> apply_setting(std::string_view path, std::string_view value,
                                               registry::ServiceRules& rules) {
  constexpr std::string_view kTop[] = {"services", "node", "qos"};
  const std::string_view first = path.substr(0, path.find('.'));
  const std::string_view rest = path.substr(std::min(path.size(), first.size() + 1));
  if (first == "services") return apply_to_services(rest, path, value, rules);
  if (first == "node") return apply_to_node(rest, path, value, rules);
  return std::unexpected(fmt::format("unknown key \"{}\"{}", first, suggestion(first, kTop)));
}

std::vector<std::string_view> service_setting_keys() {
  std::vector<std::string_view> names;
  for (const Key& key : kKeys) names.push_back(key.name);
  for (const Key& key : kEjectionKeys) names.push_back(key.name);
  for (const Key& key : kProbeKeys) names.push_back(key.name);
  return names;
}

}  // namespace valkyrie::server
