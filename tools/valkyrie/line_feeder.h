// Standard input, or any other file, line by line, until somebody says that is enough.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tools/valkyrie/shell_process.h"

namespace valkyrie::tools {

// Reads lines of a file descriptor. One thread reads; stop() is for any thread.
class LineFeeder {
 public:
  // How reading went.
  enum class Outcome : std::uint8_t { line, end, too_long, failed };

  // Borrows `fd`, which may be a terminal or a pipe. A line of more than `line_bytes_max` without
  // its end is too long.
  LineFeeder(int fd, std::size_t line_bytes_max) : fd_(fd), line_bytes_max_(line_bytes_max) {}

  // Waits for the next line and puts it into `line`, without its end; the last one may lack it.
  // `end` also after stop(). `failed` leaves its cause in errno. The view is valid until the next
  // call.
  [[nodiscard]] Outcome next(std::string_view& line);
  // Ends next(), now and from now on.
  void stop() const;

 private:
  const int fd_;
  const std::size_t line_bytes_max_;
  Pipe wake_;
  std::string buffer_;
  std::size_t taken_ = 0;  // Up to there it was given out.
  bool ended_ = false;
};

}  // namespace valkyrie::tools
