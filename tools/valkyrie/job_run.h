// `valkyrie job run`, `logs` and `wait`: follow a job, and exit as it did.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "protocol/messages/jobs.h"
#include "tools/valkyrie/context.h"
#include "tools/valkyrie/json.h"

namespace valkyrie::tools {

// Exit code of a job whose command left none.
inline constexpr int kExitNoJobStatus = 125;

// What to run, from the command line.
struct JobRunArguments {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string name;
  Duration timeout{};  // 0: the node's default.
};

// Runs the job: output goes to standard output and error as it comes, remarks to standard error.
// Ctrl-C cancels and waits for proof. Returns the exit code.
int run_job(const Globals& globals, const JobRunArguments& arguments);

// What to read of a job, from the command line.
struct JobWatchArguments {
  std::string job;
  std::uint64_t from = 0;  // First byte of output.
  bool follow = false;     // Until the job has ended, not only what there is.
  bool output = true;      // Print it.
};

// The spec of a job, from the command line.
[[nodiscard]] messages::JobSpec spec_of(const JobRunArguments& arguments);

// Prints a job's output. Following, it returns the job's exit code.
int watch_job(const Globals& globals, const JobWatchArguments& arguments);

// A result for people: "exit 3 in 1.20s, 0.31s user, 12.5 MiB peak".
[[nodiscard]] std::string result_text(const messages::JobResult& result);
// A result for programs.
[[nodiscard]] json::object result_json(const messages::JobResult& result);

}  // namespace valkyrie::tools
