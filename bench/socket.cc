#include "bench/socket.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace valkyrie::bench {
namespace {

constexpr std::string_view kTcp = "tcp://";
constexpr std::string_view kUnix = "unix://";
constexpr int kBacklog = 1024;  // Connections the kernel holds until they are accepted.

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string path;  // Of a Unix socket; empty for TCP.

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

std::unexpected<std::string> failed(std::string_view what, std::string_view url) {
  return std::unexpected(fmt::format("{} {}: {}", what, url, std::strerror(errno)));
}

std::expected<Address, std::string> parse_tcp(std::string_view url, std::string_view rest) {
  const std::size_t colon = rest.rfind(':');
  std::uint16_t port = 0;
  const std::string host(rest.substr(0, colon));
  in_addr ip{};
  if (colon == std::string_view::npos ||
      std::from_chars(rest.data() + colon + 1, rest.data() + rest.size(), port).ptr !=
          rest.data() + rest.size() ||
      inet_pton(AF_INET, host.c_str(), &ip) != 1) {
    return std::unexpected(fmt::format("{}: want tcp://127.0.0.1:PORT", url));
  }
  Address address;
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr = ip;
  std::memcpy(&address.storage, &in, sizeof in);
  address.size = sizeof in;
  return address;
}

std::expected<Address, std::string> parse(std::string_view url) {
  if (url.starts_with(kTcp)) return parse_tcp(url, url.substr(kTcp.size()));
  const std::string_view path = url.starts_with(kUnix) ? url.substr(kUnix.size()) : "";
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof un.sun_path) {
    return std::unexpected(
        fmt::format("{}: want tcp://127.0.0.1:PORT or unix:///PATH of less than {} bytes", url,
                    sizeof un.sun_path));
  }
  std::copy(path.begin(), path.end(), std::begin(un.sun_path));
  Address address;
  std::memcpy(&address.storage, &un, sizeof un);
  address.size = sizeof un;
  address.path = path;
  return address;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

std::expected<Descriptor, std::string> listen_on(std::string_view url) {
  const auto address = parse(url);
  if (!address) return std::unexpected(address.error());
  if (!address->path.empty()) ::unlink(address->path.c_str());
  Descriptor listener(
      ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (listener.get() < 0 ||
      ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(listener.get(), address->get(), address->size) != 0 ||
      ::listen(listener.get(), kBacklog) != 0) {
    return failed("cannot listen on", url);
  }
  return listener;
}

std::string url_of(const Descriptor& listener) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&storage), &size);
  if (storage.ss_family == AF_UNIX) {
    return fmt::format("{}{}", kUnix, reinterpret_cast<const sockaddr_un*>(&storage)->sun_path);
  }
  const auto* in = reinterpret_cast<const sockaddr_in*>(&storage);
  std::array<char, INET_ADDRSTRLEN> host{};
  inet_ntop(AF_INET, &in->sin_addr, host.data(), host.size());
  return fmt::format("{}{}:{}", kTcp, host.data(), ntohs(in->sin_port));
}

std::expected<Descriptor, std::string> connect_to(std::string_view url) {
  const auto address = parse(url);
  if (!address) return std::unexpected(address.error());
  Descriptor socket(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0 || ::connect(socket.get(), address->get(), address->size) != 0) {
    return failed("cannot connect to", url);
  }
  set_no_delay(socket.get());
  return socket;
}

void set_no_delay(int fd) {
  const int on = 1;
  // Fails on a Unix socket, which never delays anyway.
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

ssize_t read_some(int fd, std::span<std::byte> into) {
  for (;;) {
    const ssize_t got = ::read(fd, into.data(), into.size());
    if (got >= 0 || errno != EINTR) return got;
  }
}

}  // namespace valkyrie::bench
