// Opens many sessions at once and tells how long that takes.
#pragma once

#include <cstdint>

#include "tools/histogram.h"
#include "tools/valkyrie/context.h"

namespace valkyrie::tools {

// What to open.
struct ConnectLoadOptions {
  std::uint32_t connections = 100;
  std::uint32_t loops = 1;  // Threads that the connections share.
};

// What came of it.
struct ConnectLoadResult {
  Histogram latency;  // From the start of a client to the node's first answer on its session.
  std::uint64_t established = 0;
  std::uint64_t errors = 0;  // Not established in time.
  double seconds = 0;        // Until the last one was.
};

// Opens and closes; blocks, for at most --timeout (30 s if that is 0). The error is an exit code,
// already reported.
[[nodiscard]] std::expected<ConnectLoadResult, int> generate_connect_load(
    const Globals& globals, const ConnectLoadOptions& options);

}  // namespace valkyrie::tools
