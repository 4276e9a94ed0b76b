#pragma once

#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>

namespace valkyrie::bench {

// Owns one file descriptor and closes it.
class Descriptor {
 public:
  Descriptor() = default;
  // Takes ownership of `fd`; -1 owns nothing.
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();

  // The descriptor, still owned here; -1 when there is none.
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// Listens on tcp://IPV4:PORT (0: a free one, see url_of()) or unix://PATH, non-blocking. A stale
// socket file is replaced. The error is one line for the user.
[[nodiscard]] std::expected<Descriptor, std::string> listen_on(std::string_view url);

// The URL at which others reach a listener, with the port the kernel chose for tcp://IPV4:0.
[[nodiscard]] std::string url_of(const Descriptor& listener);

// Connects to tcp://IPV4:PORT (with TCP_NODELAY) or unix://PATH; the socket is blocking. The error
// is one line for the user.
[[nodiscard]] std::expected<Descriptor, std::string> connect_to(std::string_view url);

// Sends small writes at once. No effect on a Unix socket.
void set_no_delay(int fd);

// Writes all of `bytes` to a blocking socket; false when the peer is gone.
[[nodiscard]] bool write_all(int fd, std::span<const std::byte> bytes);

// One read(2), repeated when a signal interrupts it; 0 at the end of the stream, -1 on an error.
[[nodiscard]] ssize_t read_some(int fd, std::span<std::byte> into);

}  // namespace valkyrie::bench
