// An instance of a service and how shards learn about it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "protocol/constants.h"
#include "protocol/messages/registry.h"
#include "protocol/time.h"
#include "server/registry/service_gauge.h"

namespace valkyrie::registry {

// True for the codes that speak against the instance which answered with them: unavailable,
// internal, unknown, deadline_exceeded.
[[nodiscard]] bool is_failure(protocol::StatusCode code);

// What the shard that owns an instance's connection counts. Only that shard writes, with relaxed
// stores; any shard may read.
struct InstanceGauge {
  std::atomic<std::uint32_t> in_flight{0};  // Calls written to it and not over.
  std::atomic<std::uint64_t> calls{0};      // Calls ever written to it.
  std::atomic<std::uint64_t> answers{0};    // Of those, it answered,
  std::atomic<std::uint64_t> failures{0};   // and in a way that speaks against it.
  std::atomic<std::uint32_t> failures_in_row{0};

  // It answered with this code. True if it is to be judged: it has failed `most` times in a row, or
  // a multiple of it.
  bool note_answer(protocol::StatusCode code, std::uint32_t most);
};

// A registered instance as it was announced. Immutable but for its gauge, and shared by pointer
// between the shards.
struct InstanceInfo {
  std::uint64_t id = 0;           // Unique in this run of the node, never reused.
  std::uint32_t shard = 0;        // That owns the connection behind it.
  std::uint64_t connection = 0;   // The connection's id on that shard.
  std::string service;            // Without version.
  std::string version;            // May be empty.
  std::string instance;           // Unique within the service.
  std::uint32_t concurrency = 0;  // Calls in flight it takes; 0: no limit.
  std::vector<messages::ServiceLabel> labels;
  std::vector<messages::MethodInfo> methods;    // By name; empty: not declared, all are tried.
  std::string peer;                             // Address, for people.
  std::shared_ptr<ServiceGauge> service_gauge;  // Of its service; null: nothing is counted.
  protocol::Instant registered{};
  mutable InstanceGauge gauge{};
};

// One change of the routes. Sent by shard 0 to every shard, in order of `revision`.
struct RouteUpdate {
  // What happened to the instance.
  enum class Kind : std::uint8_t { add, change, remove };
  Kind kind = Kind::add;
  messages::InstanceState state = messages::InstanceState::ready;  // Of add and change.
  std::uint32_t weight = messages::kInstanceWeightDefault;         // Of add and change.
  std::uint64_t revision = 0;                                      // Set when it is sent.
  protocol::Instant ready_since{};  // Of add and change: from when on it is ready without a break.
  std::shared_ptr<const InstanceInfo> info;
};

}  // namespace valkyrie::registry
