// Calls a method as fast as it answers, or at a given rate, and counts latencies.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/histogram.h"
#include "tools/valkyrie/context.h"

namespace valkyrie::tools {

// What to generate.
struct LoadOptions {
  std::string target;
  CallOptions call{};
  std::uint32_t connections = 1;
  std::uint32_t loops = 1;  // Threads that the connections share; no more than connections.
  std::uint32_t depth = 1;  // Calls in flight on each connection; with a rate: at most.
  std::size_t size = 64;    // Bytes of payload.
  Duration time = std::chrono::seconds(10);
  Duration warmup = std::chrono::milliseconds(300);  // Before it, not counted.
  double rate = 0;  // Calls a second in all, started on schedule whatever is in flight; 0: closed
                    // loop, each answer starts the next call.
};

// What came of it, in the measured time.
struct LoadResult {
  Histogram latency;
  std::uint64_t calls = 0;   // Answered OK.
  std::uint64_t errors = 0;  // Answered otherwise, the warm-up included.
  std::uint64_t missed = 0;  // With a rate: not started since `depth` were in flight.
  double seconds = 0;
  std::optional<Status> first_error;
};

// Runs the load; blocks. The error is an exit code, already reported.
[[nodiscard]] std::expected<LoadResult, int> generate_load(const Globals& globals,
                                                           const LoadOptions& options);

}  // namespace valkyrie::tools
