// Programs of the tree as processes of their own, for tests; mostly valkyrie-server. What it says
// is waited for, line by line: nothing here sleeps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "transport/socket.h"

namespace valkyrie::server::testing {

// A safety net, not a measure: whatever takes longer has failed.
inline constexpr int kPatienceMs = 60'000;

// True where a sanitizer's allocator has sizes of its own, in the test and the programs alike:
// memory is not to be measured then.
[[nodiscard]] bool is_sanitized();

// Lines that come out of one pipe.
class LineReader {
 public:
  LineReader() = default;
  // Reads from `pipe`.
  explicit LineReader(transport::Socket pipe) : pipe_(std::move(pipe)) {}

  // The next line without its end; nullopt at the end of the output.
  std::optional<std::string> next();
  // Reads until a line contains `text` and returns it; nullopt if the output ended before.
  std::optional<std::string> find(std::string_view text);
  // All that is left, until the end of the output.
  std::string rest();

 private:
  bool fill();

  transport::Socket pipe_;
  std::string pending_;
};

// How to start it beside the arguments.
struct ProcessOptions {
  std::vector<std::pair<std::string, std::string>> environment{};  // Changes; "" unsets.
  std::uint64_t files_max = 0;  // RLIMIT_NOFILE, soft and hard; 0: as it is.
  int keep_fd = -1;             // Passed on as descriptor 3.
  int in_fd = -1;               // Becomes standard input; -1: as it is.
  int out_fd = -1;              // Becomes standard output; -1: Process::out reads it.
};

// The process. Killed, and waited for, when this is destroyed.
class Process {
 public:
  // Starts build/bin/PROGRAM, or what an absolute path names.
  Process(const std::string& program, const std::vector<std::string>& arguments,
          const ProcessOptions& options = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // What it writes to stdout and stderr.
  LineReader out;
  LineReader log;

  // Sends a signal.
  void signal(int number) const;
  // Waits for its end; the exit code, or 128 + the signal that killed it.
  int wait();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

// valkyrie-server.
class ServerProcess : public Process {
 public:
  // Starts build/bin/valkyrie-server.
  explicit ServerProcess(const std::vector<std::string>& arguments,
                         const ProcessOptions& options = {});

  // Waits for the JSON of --print-doors and returns it; empty if it never came.
  std::string wait_doors();
};

// A node that is ready, with an abstract Unix socket of its own and a TCP port of the system's
// choice.
class RunningNode {
 public:
  // Starts it with these arguments in addition. Ephemeral, one shard unless said otherwise.
  explicit RunningNode(const std::vector<std::string>& more = {},
                       const ProcessOptions& options = {});

  ServerProcess process;
  std::string doors;  // The JSON.
  std::string unix_url;
  std::string tcp_url;

 private:
  RunningNode(std::string unix_address, const std::vector<std::string>& more,
              const ProcessOptions& options);
};

// The value of a string member in one-line JSON, without unescaping; empty if there is none.
// `from` says after which text to look.
std::string json_text(std::string_view json, std::string_view member, std::string_view from = {});

// A new directory under the system's temporary one, removed with all in it at the end.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  // Its path, without a slash at the end.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace valkyrie::server::testing
