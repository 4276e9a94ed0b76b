// Owned file descriptors and the socket options every Valkyrie connection gets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <sys/types.h>
#include <utility>

#include "protocol/constants.h"

namespace valkyrie::transport {

// Owns one file descriptor and closes it. Move-only; not thread-safe.
class Socket {
 public:
  Socket() = default;
  // Takes ownership of `fd`; -1 is an empty socket.
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Socket() { close(); }

  // The descriptor, still owned by this object; -1 when empty.
  [[nodiscard]] int fd() const { return fd_; }
  // True while a descriptor is owned.
  explicit operator bool() const { return fd_ >= 0; }
  // Gives the descriptor up to the caller.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  // Closes now; a second call does nothing.
  void close();

 private:
  int fd_ = -1;
};

// Who is at the other end of a Unix socket, as the kernel saw it at connect(2).
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

// Options of a connected stream socket.
struct StreamOptions {
  // Bytes. What may lie unsent in the kernel, where the scheduler can no longer overtake it
  // (docs/spec/scheduling.md): TCP_NOTSENT_LOWAT, or SO_SNDBUF on a Unix socket.
  std::uint32_t unsent_bytes = protocol::kKernelUnsentBytesDefault;
};

// Applies non-blocking mode, TCP_NODELAY, keepalive and the bound on unsent bytes to a connected
// stream socket, TCP or Unix. An option the kernel refuses is left at its default: none of them is
// needed for correctness.
void tune_stream(int fd, const StreamOptions& options);

// Sets the bound on unsent bytes alone, also of a socket in use.
void bound_unsent(int fd, std::uint32_t bytes);

// SO_PEERCRED of a connected Unix socket; nullopt for anything else.
[[nodiscard]] std::optional<PeerCredentials> peer_credentials(int fd);

}  // namespace valkyrie::transport
