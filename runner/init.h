// The attempt's first process: starts the leader, adopts and reaps every orphan, ends when nothing
// is left. In a PID namespace it is process 1.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace valkyrie::runner {

// What to execute.
struct Leader {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // NAME=value.
  std::string folder;                    // Where it starts.
  int out_fd = -1;
  int err_fd = -1;
};

// What the init tells the shim, each in one write to its report pipe.
struct InitReport {
  // What happened.
  enum class Kind : std::uint8_t { started = 1, exec_failed, leader_over };
  Kind kind = Kind::started;
  std::int32_t value = 0;  // errno of the failed exec; wait status of the leader.
};

// Body of the root process (isolation.h): runs until no process of the attempt is left. What it
// returns is its exit code. The calling process has one thread and is given up to this.
int run_init(const Leader& leader, int report_fd);

}  // namespace valkyrie::runner
