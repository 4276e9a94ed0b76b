// The programs of the tree together, as a user starts them: a node, runners, command lines.
#pragma once

#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "server/ops/testing/server_process.h"

namespace valkyrie::tests {

using server::testing::json_text;
using server::testing::LineReader;
using server::testing::Process;
using server::testing::ProcessOptions;
using server::testing::RunningNode;
using server::testing::ScratchDirectory;
using server::testing::ServerProcess;

// How a program ended and all it wrote.
struct Ran {
  int exit = -1;
  std::string out;
  std::string err;
};

// Reads both outputs to their ends, then waits for the process.
Ran finish(Process& process);

// A command line of the node's: `valkyrie --node URL ARGUMENTS`.
class Cli : public Process {
 public:
  // Starts it.
  Cli(const RunningNode& node, const std::vector<std::string>& arguments,
      const ProcessOptions& options = {});
};

// Runs `valkyrie --node URL ARGUMENTS` to its end.
Ran cli(const RunningNode& node, const std::vector<std::string>& arguments,
        const ProcessOptions& options = {});
// Runs `valkyrie ARGUMENTS` to its end, without a node in the environment.
Ran cli(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

// A runner that is ready.
class Runner {
 public:
  // Starts it with these arguments in addition and waits until the node knows it.
  Runner(const RunningNode& node, const std::string& name,
         const std::vector<std::string>& more = {}, const ProcessOptions& options = {});

  // Where its jobs get their folders.
  [[nodiscard]] std::string work_dir() const { return scratch_.path() + "/runner"; }

 private:
  ScratchDirectory scratch_;

 public:
  Process process;
  std::string ready;  // Its line when it was.
};

// A pipe in the file system: a process reads it to wait for the test.
class Gate {
 public:
  Gate();
  // What opens it is held up until open().
  [[nodiscard]] std::string wait_command() const { return "read go < " + path_; }
  // The pipe.
  [[nodiscard]] const std::string& path() const { return path_; }
  // Lets one pass.
  void open() const;

 private:
  ScratchDirectory scratch_;
  std::string path_;
  transport::Socket fd_;
};

// A script that starts processes which leave its session and outlive it, says "ready" and waits.
inline constexpr std::string_view kTreeScript =
    "(setsid sh -c 'sleep 1000 & sleep 1000' </dev/null >/dev/null 2>&1 &); "
    "(setsid -f setsid sleep 1000 >/dev/null 2>&1 &); echo ready; sleep 1000";

// A name no other test has, to find processes by.
std::string unique_mark();
// Processes with `mark` in their environment or arguments, dead ones excepted.
std::vector<pid_t> processes_with(std::string_view mark);
// Waits until no process has `mark` any more; false if it took too long.
bool wait_gone(std::string_view mark);
// Memory of a process that is in RAM, bytes.
std::size_t resident_bytes(pid_t pid);

// Whether `text` contains `part`; shows both if not.
::testing::AssertionResult says(std::string_view text, std::string_view part);
// `text` as the content of a file that can be standard input; the caller closes it.
int input_of(std::string_view text);
// Lines "1\n2\n...", as seq(1) prints them.
std::string counted_lines(int last);

}  // namespace valkyrie::tests
