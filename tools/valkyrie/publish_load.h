// Publishes as fast as the node reads, or at a given rate, and counts what subscribers get.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "tools/histogram.h"
#include "tools/valkyrie/context.h"

namespace valkyrie::tools {

// Bytes of payload that hold the time of publishing.
inline constexpr std::size_t kStampBytes = 8;

// What to generate. All publishers publish to one subject, which all subscribers subscribe to.
struct PublishLoadOptions {
  std::uint32_t connections = 1;  // Publishers, each with a connection.
  std::uint32_t subscribers = 1;  // Each with a connection.
  std::uint32_t loops = 2;        // Threads that they share; publishers and subscribers apart if 2.
  std::size_t size = 64;          // Bytes of payload, at least kStampBytes.
  Duration time = std::chrono::seconds(10);
  Duration warmup = std::chrono::milliseconds(300);  // Before it, not counted.
  double rate = 0;  // Messages a second in all, on schedule; 0: as fast as the node reads.
};

// What came of it, in the measured time.
struct PublishLoadResult {
  Histogram latency;  // From publishing (with a rate: from when it was due) to the handler.
  std::uint64_t published = 0;
  std::uint64_t delivered = 0;  // To all subscribers together.
  std::uint64_t missed = 0;     // By all subscribers together, since they were too slow.
  std::uint64_t errors = 0;     // Messages that were not taken.
  double seconds = 0;
  std::optional<Status> first_error;
};

// Runs the load; blocks. The error is an exit code, already reported.
[[nodiscard]] std::expected<PublishLoadResult, int> generate_publish_load(
    const Globals& globals, const PublishLoadOptions& options);

}  // namespace valkyrie::tools
