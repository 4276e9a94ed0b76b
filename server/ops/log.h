// The log of the program.
#pragma once

#include <memory>
#include <spdlog/logger.h>

#include "server/ops/options.h"

namespace valkyrie::server {

// A logger that writes one line per message to stderr. Its functions may be called on any thread.
// Text: `2026-11-23T16:04:00.123Z info message`. JSON: {"time","level","message"}.
[[nodiscard]] std::shared_ptr<spdlog::logger> make_log(LogFormat format, LogLevel level);

}  // namespace valkyrie::server
