// What `valkyrie top` shows: what happened at a node between two samples of it. No I/O.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/messages/registry.h"
#include "tools/valkyrie/json.h"

namespace valkyrie::tools {

// What a node said of itself and its services.
struct TopSample {
  messages::NodeInfoReply node;
  messages::ListServicesReply services;
  Duration at{};  // When, with any origin.
};

// By what services are sorted: their name, or the largest number first.
enum class TopSort : std::uint8_t { name, rate, errors, latency, queue, in_flight };

// The word for the command line, such as "rate".
[[nodiscard]] std::string_view to_string(TopSort sort);
// The key after this one, the first after the last.
[[nodiscard]] TopSort next(TopSort sort);

// An instance of a service.
struct TopInstance {
  std::string name;
  messages::InstanceState state = messages::InstanceState::ready;
  double calls = 0;     // That it was given, a second,
  double failures = 0;  // and of those that speak against it.
  std::uint32_t in_flight = 0;
  std::uint32_t concurrency = 0;
};

// A service, all its instances together.
struct TopService {
  std::string name;
  std::size_t ready = 0;  // Instances that take calls.
  double calls = 0;       // Calls that ended, a second,
  double errors = 0;      // and of those the ones that did not end OK.
  double not_executed = 0;
  double streams = 0;           // Opened, a second.
  std::optional<Duration> p50;  // Of the calls that ended; nullopt: none did.
  std::optional<Duration> p99;
  std::uint64_t in_flight = 0;  // Now,
  std::uint64_t waiting = 0;    // and for room.
  std::vector<TopInstance> instances;
};

// The node, all its services together.
struct TopView {
  std::string node;
  std::string version;
  Duration uptime{};
  bool draining = false;
  std::uint64_t connections = 0;
  std::uint64_t waiting = 0;
  double calls = 0;  // A second; so are the next.
  double failed = 0;
  double streams = 0;
  double published = 0;
  double events = 0;
  double events_dropped = 0;
  std::array<double, 5> class_bytes{};  // Queued for peers, by class.
  std::vector<TopService> services;     // By name.
};

// What happened between two samples, the earlier first. What was counted anew in between counts
// from 0. REQUIRES: before.at < after.at
[[nodiscard]] TopView top_view(const TopSample& before, const TopSample& after);
// Sorts the services; those that are equal by name.
void sort_services(TopView& view, TopSort sort);
// For people: the node, its classes, and a row for each service; with `instances` also one for each
// of them.
[[nodiscard]] std::vector<std::string> top_lines(const TopView& view, bool instances);
// For programs.
[[nodiscard]] json::object top_json(const TopView& view);

}  // namespace valkyrie::tools
