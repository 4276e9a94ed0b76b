// valkyrie.Registry/Watch: a snapshot, then every change, no gap: docs/spec/registry.md,
// "Watching".
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/registry/catalog.h"
#include "server/router/local_service.h"

namespace valkyrie::server {

// Watches of the node. One more: RESOURCE_EXHAUSTED.
inline constexpr std::size_t kWatchesMax = 4096;

// Changes that wait for a watcher that reads too slowly. One more: they are dropped and it gets a
// new snapshot once it reads again.
inline constexpr std::size_t kWatchBacklogMax = 1024;

// Why a caller may not see all services whose names begin with a prefix; nullopt if it may.
[[nodiscard]] std::optional<std::string> denial_of_watch(policy::Gate* gate,
                                                         std::string_view prefix,
                                                         protocol::Instant now);

// All Watch streams. On shard 0, as the registry.
class RegistryWatches {
 public:
  // Keeps a reference to the catalog.
  explicit RegistryWatches(const registry::Catalog& catalog) : catalog_(catalog) {}

  // A stream was opened; its request follows.
  void open(router::LocalStream stream, std::shared_ptr<policy::Gate> gate);
  // True for a stream that was opened here and is not closed.
  [[nodiscard]] bool knows(std::uint64_t stream) const { return watchers_.contains(stream); }
  // The request of a stream; a second one is an error.
  void on_message(router::LocalStream stream, std::span<const std::byte> body,
                  protocol::Instant now);
  // There is room again.
  void on_writable(std::uint64_t stream, protocol::Instant now);
  // The stream is over. Ignored if it is another's.
  void close(std::uint64_t stream) { watchers_.erase(stream); }

  // The node drains: all end UNAVAILABLE, and their clients go elsewhere.
  void end_all();

  // An instance has changed, and the catalog knows.
  void on_change(std::uint64_t revision, const registry::InstanceInfo& info, bool removed,
                 protocol::Instant now);

 private:
  struct Watcher {
    router::LocalStream stream;
    std::shared_ptr<policy::Gate> gate;
    std::string prefix;
    std::deque<std::string> waiting;  // Encoded, in order.
    std::size_t changes = 0;          // Of those.
    bool started = false;             // The request has come.
    bool lags = false;                // It needs a new snapshot.
    bool over = false;                // Refused.
  };

  void refuse(Watcher& watcher, protocol::StatusCode code, std::string_view text);
  void start(Watcher& watcher, protocol::Instant now);
  void pump(Watcher& watcher, protocol::Instant now);

  const registry::Catalog& catalog_;
  std::map<std::uint64_t, Watcher> watchers_;  // By stream.
  std::uint64_t revision_ = 0;
};

}  // namespace valkyrie::server
