// The process that owns one attempt: makes its workspace, fences it, enforces its times, kills it
// and proves that it is gone. It lives outside the fence, and everything in the fence dies with it;
// when the agent dies, it kills the attempt.
//
// Agent and shim speak over a SOCK_SEQPACKET pair, one encoded message of the job plane a packet:
// the agent sends Start, CancelAttempt and Settled (the log's tail has been read: end what the
// leader left); the shim sends AttemptStarted, AttemptFinishing and AttemptEnded, whose
// output_bytes the agent fills in.
#pragma once

#include <filesystem>

#include "runner/isolation.h"

namespace valkyrie::runner {

// Descriptors a shim is started with.
inline constexpr int kShimControlFd = 3;
inline constexpr int kShimOutFd = 4;
inline constexpr int kShimErrFd = 5;

// Between TERM and KILL where the shim itself decides to stop, milliseconds.
inline constexpr std::uint64_t kShimGraceMs = 10'000;
// From KILL until the shim reports who is still there, milliseconds.
inline constexpr std::uint64_t kKillPatienceMs = 10'000;

// Runs a shim until its attempt is over; what it returns is the process's exit code. The process
// has one thread and the three descriptors. `work_dir`: where the workspace is made.
int run_shim(const std::filesystem::path& work_dir, Fence fence);

// If `argv` is `PROGRAM --shim WORK_DIR FENCE`, as the agent starts it, runs a shim and puts its
// exit code into `exit_code`. First thing in main() of every program that executes attempts.
bool run_if_shim(int argc, char** argv, int& exit_code);

}  // namespace valkyrie::runner
