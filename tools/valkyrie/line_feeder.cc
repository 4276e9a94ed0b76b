#include "tools/valkyrie/line_feeder.h"

#include <array>
#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace valkyrie::tools {

LineFeeder::Outcome LineFeeder::next(std::string_view& line) {
  std::size_t searched = taken_;
  while (true) {
    const std::size_t end = buffer_.find('\n', searched);
    const bool whole = end != std::string::npos;
    if (whole || (ended_ && taken_ < buffer_.size())) {
      line = std::string_view(buffer_).substr(taken_, end - taken_);
      taken_ = whole ? end + 1 : buffer_.size();
      return line.size() <= line_bytes_max_ ? Outcome::line : Outcome::too_long;
    }
    if (ended_) return Outcome::end;
    buffer_.erase(0, taken_);
    taken_ = 0;
    searched = buffer_.size();
    if (searched > line_bytes_max_) return Outcome::too_long;
    std::array<pollfd, 2> fds = {pollfd{fd_, POLLIN, 0}, pollfd{wake_.reading(), POLLIN, 0}};
    if (poll(fds.data(), fds.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return Outcome::failed;
    }
    if (fds[1].revents != 0) return Outcome::end;
    std::array<char, 64 * 1024> bytes;
    const ssize_t size = read(fd_, bytes.data(), bytes.size());
    if (size < 0 && errno != EINTR && errno != EAGAIN) return Outcome::failed;
    if (size == 0) ended_ = true;
    if (size > 0) buffer_.append(bytes.data(), static_cast<std::size_t>(size));
  }
}

void LineFeeder::stop() const { (void)!write(wake_.writing(), "x", 1); }

}  // namespace valkyrie::tools
