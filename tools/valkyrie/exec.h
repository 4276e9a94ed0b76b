// A program as a function from bytes to bytes.
#pragma once

#include <cstddef>
#include <stop_token>
#include <string>

#include "valkyrie/bytes.h"
#include "valkyrie/status.h"

namespace valkyrie::tools {

// Bytes of output after which a program is stopped: the largest reply there can be.
inline constexpr std::size_t kExecOutputBytesMax = 4u << 20;

// Runs `command` by `sh -c` in a process group of its own, with `input` on its standard input, and
// returns its standard output. Blocks. When `stop` is requested the group is killed.
//
// Errors: cancelled; resource_exhausted when it writes too much; aborted when it exits with another
// code than 0 or by a signal, with the end of its standard error as text; internal when it cannot
// be started.
[[nodiscard]] Result<Bytes> exec_filter(const std::string& command, BytesView input,
                                        std::stop_token stop);

}  // namespace valkyrie::tools
