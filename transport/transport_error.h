// What went wrong with an address or a socket, for a person to read.
#pragma once

#include <cstdint>
#include <string>

namespace valkyrie::transport {

// The kind of failure, for programs that decide by it.
enum class TransportErrorKind : std::uint8_t {
  bad_address,       // The text is no address of this build.
  insecure,          // Plain TCP beyond loopback was not allowed.
  not_found,         // The host has no address.
  in_use,            // Another process listens there.
  permission,        // The operating system forbids it.
  no_path,           // A directory of the socket's path is missing.
  refused,           // Nobody listens there.
  unreachable,       // The network cannot deliver.
  timed_out,         // No answer in time.
  out_of_resources,  // Descriptors or memory.
  system,            // Any other system call failure.
};

// `message` names the address, the cause and the next step, in one sentence each.
struct TransportError {
  TransportErrorKind kind = TransportErrorKind::system;
  int system_error = 0;  // errno, or 0 where no system call failed.
  std::string message;
};

// Makes an error of a failed system call; the kind follows from `system_error`.
[[nodiscard]] TransportError error_of_call(int system_error, std::string message);

}  // namespace valkyrie::transport
