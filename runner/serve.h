// A runner at work: its agent, its session and its signals in one loop.
#pragma once

#include "runner/agent.h"
#include "runner/settings.h"
#include "valkyrie/client.h"

namespace valkyrie::runner {

// Executes jobs until TERM or INT has drained it, or --once is done. `signal_fd`: a signalfd of
// TERM and INT. The program's exit code: 0; 1 when a second signal cut the drain short.
int serve(const Settings& settings, const ExecutorOptions& executor, Client& client, int signal_fd);

}  // namespace valkyrie::runner
