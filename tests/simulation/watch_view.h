// What a watcher of the registry knows: snapshots and changes, put together as any client would.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "protocol/messages/registry.h"
#include "tests/simulation/violation.h"

namespace valkyrie::simulation {

// See the top of the file. Throws a Violation for what no node may send.
class WatchView {
 public:
  // Takes the body of an event.
  void take(std::span<const std::byte> body) {
    const auto event = messages::decode<messages::WatchEvent>(body);
    require(event.has_value(), "a watcher cannot read what the registry says");
    if (const auto* change = std::get_if<messages::WatchChange>(&*event)) {
      require(whole_, "a change came before the snapshot was whole");
      require(change->revision > revision_, "revision {} came after {}", change->revision,
              revision_);
      revision_ = change->revision;
      const auto key = std::pair(change->service, change->instance.instance);
      if (change->removed) {
        require(instances.erase(key) == 1, "{} went, but was not there", key.second);
      } else {
        instances[key] = change->instance.state;
      }
      return;
    }
    take(std::get<messages::WatchSnapshot>(*event));
  }

  // What there is: service and instance, and its state.
  std::map<std::pair<std::string, std::string>, messages::InstanceState> instances;
  std::size_t snapshots = 0;

 private:
  void take(const messages::WatchSnapshot& snapshot) {
    if (snapshot.part == 0) {
      instances.clear();
      ++snapshots;
    } else {
      require(!whole_ && snapshot.part == next_part_, "part {} of a snapshot came out of order",
              snapshot.part);
    }
    require(snapshot.revision >= revision_, "a snapshot of the past");
    revision_ = snapshot.revision;
    next_part_ = snapshot.part + 1;
    whole_ = !snapshot.more;
    for (const auto& service : snapshot.services) {
      for (const auto& instance : service.instances) {
        instances[{service.name, instance.instance}] = instance.state;
      }
    }
  }

  std::uint64_t revision_ = 0;
  std::uint32_t next_part_ = 0;
  bool whole_ = false;
};

}  // namespace valkyrie::simulation
