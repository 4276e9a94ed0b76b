// A program as a service of streams: a line of its input or output is a message.
#pragma once

#include <cstddef>
#include <stop_token>
#include <string>

#include "valkyrie/status.h"
#include "valkyrie/stream.h"

namespace valkyrie::tools {

// Bytes of a line of output after which a program is stopped: the largest message of a stream.
inline constexpr std::size_t kExecLineBytesMax = 16u << 20;

// Runs `command` by `sh -c` in a process group of its own: each message of `in` is a line of its
// standard input, which ends where they end; each line of its standard output is a message, the
// last one also without a line end. Blocks until the program has ended. When `stop` is requested
// the group is killed. A slow program holds the caller back, a slow caller the program.
//
// Errors: cancelled; resource_exhausted for a line over the limit; aborted and internal as of
// exec_filter().
[[nodiscard]] Result<void> exec_stream(const std::string& command, Reader<>& in, Writer<>& out,
                                       std::stop_token stop);

}  // namespace valkyrie::tools
