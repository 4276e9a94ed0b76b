// What the program asks of its process: signals, descriptors, randomness.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <system_error>

#include "transport/socket.h"

namespace valkyrie::server {

// Ignores SIGPIPE and SIGXFSZ, which are errors of the write then, and blocks SIGTERM, SIGINT and
// SIGHUP in this thread and those it starts from now on; they are read from the descriptor instead.
// Errors: out of descriptors.
[[nodiscard]] std::expected<transport::Socket, std::error_code> take_signals();

// The next signal of take_signals(), which must be readable; 0 if there is none.
[[nodiscard]] int next_signal(int fd);

// Raises the limit of open files to the most this process may have. Returns the limit.
std::uint64_t raise_file_limit();

// 64 bits from the system's generator.
[[nodiscard]] std::uint64_t random_number();

// What wait_for_stop() saw.
enum class StopCause : std::uint8_t { signal, event, timeout };

// Waits for SIGTERM or SIGINT or, where `event_fd` is not -1, for that descriptor, or until
// `timeout_ms` has passed (-1: for ever). SIGHUP calls `on_hangup`, and the time begins anew.
[[nodiscard]] StopCause wait_for_stop(int signal_fd, int event_fd, int timeout_ms,
                                      const std::function<void()>& on_hangup);

}  // namespace valkyrie::server
