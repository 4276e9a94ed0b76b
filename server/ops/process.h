// What the program asks of its process: signals, descriptors, randomness.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <system_error>

#include "transport/socket.h"

namespace valkyrie::server {

// Ignores SIGPIPE, and blocks SIGTERM and SIGINT in this thread and those it starts from now on;
// they are read from the descriptor instead. Errors: out of descriptors.
[[nodiscard]] std::expected<transport::Socket, std::error_code> take_signals();

// The next signal of take_signals(), which must be readable: SIGTERM or SIGINT; 0 if there is none.
[[nodiscard]] int next_signal(int fd);

// Raises the limit of open files to the most this process may have. Returns the limit.
std::uint64_t raise_file_limit();

// 64 bits from the system's generator.
[[nodiscard]] std::uint64_t random_number();

// What wait_for_stop() saw.
enum class StopCause : std::uint8_t { signal, event, timeout };

// Waits for a signal or, where `event_fd` is not -1, for that descriptor, or until `timeout_ms` has
// passed (-1: for ever).
[[nodiscard]] StopCause wait_for_stop(int signal_fd, int event_fd, int timeout_ms);

}  // namespace valkyrie::server
