#include "tools/valkyrie/exec.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>
#include <utility>

#include "tools/valkyrie/shell_process.h"

namespace valkyrie::tools {

namespace {

// Feeds and reads until the program has closed its outputs, or wrote too much, or `wake` can be
// read. True: cut short.
bool pump(ShellProcess& process, std::string_view input, int wake, std::string& output) {
  if (input.empty()) process.close_input();
  while (!process.silent()) {
    std::array<pollfd, 4> fds = {
        pollfd{process.input(), POLLOUT, 0}, pollfd{process.output(), POLLIN, 0},
        pollfd{process.error_output(), POLLIN, 0}, pollfd{wake, POLLIN, 0}};
    if (poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return true;
    if (fds[3].revents != 0) return true;
    if (fds[0].revents != 0) {
      process.feed(input);
      if (input.empty()) process.close_input();
    }
    if (fds[1].revents != 0) process.take_output(output);
    if (fds[2].revents != 0) process.take_error_output();
    if (output.size() > kExecOutputBytesMax) return true;
  }
  return false;
}

}  // namespace

Result<Bytes> exec_filter(const std::string& command, BytesView input, std::stop_token stop) {
  const Pipe wake;
  ShellProcess process;
  const int error = wake.ok() ? process.start(command) : errno;
  if (error != 0) {
    return fail(StatusCode::internal, fmt::format("cannot start sh: {}", std::strerror(error)));
  }
  std::string output;
  bool cut = false;
  {
    const std::stop_callback on_stop(std::move(stop),
                                     [&wake] { (void)!write(wake.writing(), "x", 1); });
    cut = pump(process, input.text(), wake.reading(), output);
  }
  if (cut) process.kill_group();
  Status ended = process.wait();
  if (output.size() > kExecOutputBytesMax) {
    return fail(StatusCode::resource_exhausted,
                fmt::format("the program wrote more than {} bytes", kExecOutputBytesMax));
  }
  if (cut) return fail(StatusCode::cancelled, "the caller gave up");
  if (!ended.ok()) return std::unexpected(std::move(ended));
  return Bytes::take(std::move(output));
}

}  // namespace valkyrie::tools
