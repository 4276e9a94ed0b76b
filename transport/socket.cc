#include "transport/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace valkyrie::transport {
namespace {

// Keepalive only finds peers whose machine vanished before the session's own keepalive runs, so
// the kernel's probes may be slow.
constexpr int kKeepaliveIdleSeconds = 60;
constexpr int kKeepaliveIntervalSeconds = 15;
constexpr int kKeepaliveProbes = 4;

void set_option(int fd, int level, int name, int value) {
  static_cast<void>(::setsockopt(fd, level, name, &value, sizeof value));
}

// AF_UNIX, AF_INET or AF_INET6; -1 if `fd` is no socket.
int domain_of(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 ? domain : -1;
}

}  // namespace

void Socket::close() {
  // No retry on EINTR: Linux has released the descriptor by then, and it may be another's already.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void bound_unsent(int fd, std::uint32_t bytes) {
  if (domain_of(fd) == AF_UNIX) {
    // The kernel doubles the value, counts its bookkeeping too, and wakes a writer only when three
    // quarters were read: so `bytes` is what waits on the average. Half of it costs two thirds of
    // the throughput of bulk, as the two ends then run by turns.
    set_option(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(bytes));
  } else {
    set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<int>(bytes));
  }
}

void tune_stream(int fd, const StreamOptions& options) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) == 0) ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  bound_unsent(fd, options.unsent_bytes);
  if (domain_of(fd) == AF_UNIX) return;
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalSeconds);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
}

std::optional<PeerCredentials> peer_credentials(int fd) {
  if (domain_of(fd) != AF_UNIX) return std::nullopt;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
  return PeerCredentials{.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
}

}  // namespace valkyrie::transport
