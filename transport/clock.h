// Where the reactor reads time.
#pragma once

#include "protocol/time.h"

namespace valkyrie::transport {

// Answers the present instant of one monotonic clock. Any thread; never goes backwards.
using Clock = protocol::Instant (*)();

// CLOCK_MONOTONIC, the clock of a running node. Its origin is arbitrary: only differences matter.
[[nodiscard]] protocol::Instant monotonic_now();

}  // namespace valkyrie::transport
