// A shell command with pipes to its standard streams.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "valkyrie/status.h"

namespace valkyrie::tools {

// Both ends of a pipe; what was not closed is closed at the end.
class Pipe {
 public:
  Pipe();
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  // Whether the system gave one.
  [[nodiscard]] bool ok() const { return ok_; }
  // The end to read from; -1 once closed.
  [[nodiscard]] int reading() const { return ends_[0]; }
  // The end to write to; -1 once closed.
  [[nodiscard]] int writing() const { return ends_[1]; }
  // Close one end. Idempotent.
  void close_reading() { close_end(0); }
  void close_writing() { close_end(1); }

 private:
  void close_end(std::size_t which);

  std::array<int, 2> ends_ = {-1, -1};
  bool ok_ = false;
};

// One run of `sh -c COMMAND` in a process group of its own. Not thread-safe.
class ShellProcess {
 public:
  // Starts it. 0, or the errno of what failed. Once.
  [[nodiscard]] int start(const std::string& command);

  // This side's end of its standard input, not blocking; -1 once closed.
  [[nodiscard]] int input() const { return in_.writing(); }
  // This side's ends of its outputs; -1 once they were read to their ends.
  [[nodiscard]] int output() const { return out_.reading(); }
  [[nodiscard]] int error_output() const { return err_.reading(); }
  // Whether both outputs were read to their ends.
  [[nodiscard]] bool silent() const { return output() < 0 && error_output() < 0; }

  // Writes what the program takes now from the front of `bytes`. A program that does not read its
  // input is its own affair: that closes it and no more. REQUIRES: the input is not closed
  void feed(std::string_view& bytes);
  // Says that no input follows. Idempotent.
  void close_input() { in_.close_writing(); }
  // Appends what is there of the standard output. REQUIRES: the output is not closed
  void take_output(std::string& to);
  // Takes what is there of the standard error, of which the end is kept. REQUIRES: as above
  void take_error_output();

  // Kills the whole process group.
  void kill_group() const;
  // Reaps the program. OK for exit 0, else aborted with how it ended and the end of its error text.
  [[nodiscard]] Status wait();

 private:
  Pipe in_;
  Pipe out_;
  Pipe err_;
  pid_t pid_ = -1;
  std::string error_text_;
};

}  // namespace valkyrie::tools
