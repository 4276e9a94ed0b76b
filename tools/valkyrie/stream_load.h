// Fills streams with messages as fast as the other end reads them and counts what arrives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/valkyrie/context.h"

namespace valkyrie::tools {

// Which way messages go: from the caller to the service, back, or both on streams of their own.
enum class StreamDirection : std::uint8_t { upload, download, both };

// The word for it.
[[nodiscard]] std::string_view to_string(StreamDirection direction);

// What to generate. Both ends are in this process: a service with a connection of its own, and the
// callers.
struct StreamLoadOptions {
  StreamDirection direction = StreamDirection::upload;
  std::uint32_t connections = 1;  // Of callers.
  std::uint32_t streams = 1;      // On each connection, and in each direction.
  std::uint32_t loops = 2;  // Threads that the connections share; callers and service apart if 2.
  std::size_t size = 64u << 10;  // Bytes of a message.
  Duration time = std::chrono::seconds(10);
  Duration warmup = std::chrono::milliseconds(300);  // Before it, not counted.
  std::string service_node;  // Where the service connects; empty: as the callers do.
};

// What came of it.
struct StreamLoadResult {
  std::uint64_t messages = 0;  // That arrived whole in the measured time, in both directions.
  std::uint64_t errors = 0;    // Streams that did not come to a clean end.
  double seconds = 0;          // The measured time.
  std::optional<Status> first_error;
};

// Runs the load; blocks. The error is an exit code, already reported.
[[nodiscard]] std::expected<StreamLoadResult, int> generate_stream_load(
    const Globals& globals, const StreamLoadOptions& options);

}  // namespace valkyrie::tools
