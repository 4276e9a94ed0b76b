// The processes below one process, as /proc shows them.
#pragma once

#include <sys/types.h>
#include <vector>

#include "protocol/messages/jobs.h"

namespace valkyrie::runner {

// Processes whose ancestors include `root`, without `root` and without the dead that wait to be
// reaped. A snapshot: a tree that forks faster than it is read has more.
[[nodiscard]] std::vector<pid_t> descendants(pid_t root);

// Stops (SIGSTOP) the descendants of `root` and returns them. What forks while the tree is read is
// stopped before it can do so again, and its child is found by the next look: none is missed but by
// a tree that is made to get away.
[[nodiscard]] std::vector<pid_t> hold_descendants(pid_t root);

// What is known of a process that would not die.
[[nodiscard]] messages::Survivor describe_survivor(pid_t pid);

}  // namespace valkyrie::runner
