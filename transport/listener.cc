#include "transport/listener.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <optional>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::transport {
namespace {

constexpr mode_t kDirectoryMode = 0700;
constexpr mode_t kLockMode = 0600;

std::unexpected<TransportError> failed(int system_error, std::string message) {
  return std::unexpected(error_of_call(system_error, std::move(message)));
}

std::string lock_path_of(const std::string& path) { return path + ".lock"; }

// What to tell of a bind(2) or listen(2) that failed with errno.
TransportError tcp_error(const Address& address, int cause) {
  const std::string where = to_string(address);
  switch (cause) {
    case EADDRINUSE:
      return error_of_call(
          cause, fmt::format("{} is in use by another process; stop that one, or choose another "
                             "port with --listen (port 0 takes a free one)",
                             where));
    case EACCES:
      return error_of_call(cause,
                           fmt::format("{}: this user may not listen on port {}; choose one from "
                                       "1024 up with --listen",
                                       where, address.port));
    case EADDRNOTAVAIL:
      return error_of_call(cause, fmt::format("{}: this machine does not have that address; choose "
                                              "one of its own with --listen",
                                              where));
    default:
      return error_of_call(cause, fmt::format("{}: {}", where, ::strerror(cause)));
  }
}

void set_flag(int fd, int level, int name) {
  const int on = 1;
  static_cast<void>(::setsockopt(fd, level, name, &on, sizeof on));
}

Socket stream_socket(int family) {
  return Socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::expected<void, TransportError> make_parent(const std::string& path) {
  const std::string parent = parent_of(path);
  if (::mkdir(parent.c_str(), kDirectoryMode) == 0 || errno == EEXIST) return {};
  const int cause = errno;
  struct stat found{};
  if (::stat(parent.c_str(), &found) == 0) return {};  // It exists: EROFS or EACCES came first.
  return failed(cause,
                fmt::format("unix://{}: the directory {} cannot be made ({}); make it, or choose "
                            "another path with --listen",
                            path, parent, ::strerror(cause)));
}

TransportError path_error(const std::string& path, int cause) {
  const std::string parent = parent_of(path);
  struct stat found{};
  if ((cause == EACCES || cause == EPERM || cause == EROFS) &&
      ::stat(parent.c_str(), &found) == 0) {
    return error_of_call(
        cause, fmt::format("unix://{}: cannot create the socket: {} has mode {:04o} and owner uid "
                           "{}, this process is uid {}; choose another path with --listen",
                           path, parent, found.st_mode & 07777, found.st_uid, ::geteuid()));
  }
  return error_of_call(cause,
                       fmt::format("unix://{}: cannot create the socket ({}); choose another "
                                   "path with --listen",
                                   path, ::strerror(cause)));
}

TransportError in_use_error(const std::string& where) {
  return {.kind = TransportErrorKind::in_use,
          .system_error = EADDRINUSE,
          .message = fmt::format("{} is in use by a running node; stop that one, or choose another "
                                 "path with --listen",
                                 where)};
}

// Locks `path`.lock. The holder removes the file when it is done, so a lock counts only while the
// file is still the one behind the name.
std::expected<Socket, TransportError> take_lock(const std::string& path) {
  const std::string name = lock_path_of(path);
  for (;;) {
    Socket lock(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kLockMode));
    if (!lock) return std::unexpected(path_error(path, errno));
    if (::flock(lock.fd(), LOCK_EX | LOCK_NB) != 0) {
      return std::unexpected(in_use_error(fmt::format("unix://{}", path)));
    }
    struct stat ours{};
    struct stat named{};
    if (::fstat(lock.fd(), &ours) == 0 && ::stat(name.c_str(), &named) == 0 &&
        ours.st_ino == named.st_ino && ours.st_dev == named.st_dev) {
      return lock;
    }
  }
}

// Removes a socket file that nobody listens on. Called with the lock held, so what still answers
// is a program that knows no locks.
std::expected<void, TransportError> clear_stale(const std::string& path,
                                                const SocketAddress& target) {
  struct stat found{};
  if (::lstat(path.c_str(), &found) != 0) return {};
  if (!S_ISSOCK(found.st_mode)) {
    return failed(EADDRINUSE, fmt::format("unix://{}: a file of that name exists and is no socket; "
                                          "remove it, or choose another path with --listen",
                                          path));
  }
  const Socket probe = stream_socket(AF_UNIX);
  if (!probe) return failed(errno, fmt::format("unix://{}: {}", path, ::strerror(errno)));
  if (::connect(probe.fd(), target.get(), target.size) == 0 || errno != ECONNREFUSED) {
    return std::unexpected(in_use_error(fmt::format("unix://{}", path)));
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return std::unexpected(path_error(path, errno));
  }
  return {};
}

// Binds one TCP socket. The first one must not share: so a port in use is found out even if its
// user shares. It shares from then on, with the sockets of the other shards.
std::expected<Socket, TransportError> bind_tcp(const Address& address, const SocketAddress& target,
                                               bool first) {
  Socket socket = stream_socket(target.family());
  if (!socket) return std::unexpected(tcp_error(address, errno));
  set_flag(socket.fd(), SOL_SOCKET, SO_REUSEADDR);
  if (!first) set_flag(socket.fd(), SOL_SOCKET, SO_REUSEPORT);
  if (::bind(socket.fd(), target.get(), target.size) != 0) {
    return std::unexpected(tcp_error(address, errno));
  }
  if (first) set_flag(socket.fd(), SOL_SOCKET, SO_REUSEPORT);
  return socket;
}

std::uint16_t bound_port(int fd) {
  SocketAddress bound;
  bound.size = sizeof bound.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0) return 0;
  // The port is at the same place in both families.
  sockaddr_in address{};
  std::memcpy(&address, &bound.storage, sizeof address);
  return ntohs(address.sin_port);
}

}  // namespace

Listener::Listener(Listener&& other) noexcept
    : address_(std::move(other.address_)),
      sockets_(std::move(other.sockets_)),
      lock_(std::move(other.lock_)),
      lock_path_(std::exchange(other.lock_path_, {})),
      socket_path_(std::exchange(other.socket_path_, {})) {}

Listener& Listener::operator=(Listener&& other) noexcept {
  if (this == &other) return *this;
  close();
  address_ = std::move(other.address_);
  sockets_ = std::move(other.sockets_);
  lock_ = std::move(other.lock_);
  lock_path_ = std::exchange(other.lock_path_, {});
  socket_path_ = std::exchange(other.socket_path_, {});
  return *this;
}

Listener::~Listener() { close(); }

void Listener::close() {
  sockets_.clear();
  if (!socket_path_.empty()) ::unlink(std::exchange(socket_path_, {}).c_str());
  if (!lock_path_.empty()) ::unlink(std::exchange(lock_path_, {}).c_str());
  lock_.close();
}

std::expected<Listener, TransportError> Listener::listen(const Address& address,
                                                         const ListenOptions& options) {
  VALKYRIE_ASSERT(options.shards > 0);
  return address.kind == AddressKind::tcp ? listen_tcp(address, options)
                                          : listen_unix(address, options);
}

std::expected<Listener, TransportError> Listener::listen_tcp(const Address& address,
                                                             const ListenOptions& options) {
  if (needs_resolver(address)) {
    return std::unexpected(TransportError{
        .kind = TransportErrorKind::bad_address,
        .system_error = 0,
        .message = fmt::format("{}: listen on an address of this machine in numbers, not on a name",
                               to_string(address))});
  }
  Listener listener;
  listener.address_ = address;
  for (std::size_t shard = 0; shard < options.shards; ++shard) {
    const auto targets = resolve(listener.address_);
    auto socket = bind_tcp(listener.address_, targets->front(), shard == 0);
    if (!socket) return std::unexpected(std::move(socket.error()));
    if (shard == 0) listener.address_.port = bound_port(socket->fd());
    listener.sockets_.push_back(std::move(*socket));
  }
  for (const Socket& socket : listener.sockets_) {
    if (::listen(socket.fd(), options.backlog) != 0) {
      return std::unexpected(tcp_error(listener.address_, errno));
    }
  }
  return listener;
}

std::expected<Listener, TransportError> Listener::listen_unix(const Address& address,
                                                              const ListenOptions& options) {
  const auto targets = resolve(address);
  if (!targets) return std::unexpected(targets.error());
  const SocketAddress& target = targets->front();
  const bool in_file_system = address.kind == AddressKind::unix_path;
  const std::string& path = address.path;
  Listener listener;
  listener.address_ = address;
  if (in_file_system) {
    if (auto made = make_parent(path); !made) return std::unexpected(std::move(made.error()));
    auto lock = take_lock(path);
    if (!lock) return std::unexpected(std::move(lock.error()));
    listener.lock_ = std::move(*lock);
    listener.lock_path_ = lock_path_of(path);
    if (auto cleared = clear_stale(path, target); !cleared) {
      return std::unexpected(std::move(cleared.error()));
    }
    listener.socket_path_ = path;
  }
  Socket socket = stream_socket(AF_UNIX);
  if (!socket) return failed(errno, fmt::format("{}: {}", to_string(address), ::strerror(errno)));
  // The mode of the descriptor becomes that of the file, less the umask: nobody can connect before
  // the permissions are right.
  if (in_file_system) ::fchmod(socket.fd(), options.unix_mode);
  if (::bind(socket.fd(), target.get(), target.size) != 0) {
    if (!in_file_system && errno == EADDRINUSE) {
      return std::unexpected(in_use_error(to_string(address)));
    }
    return std::unexpected(path_error(path, errno));
  }
  if (in_file_system && ::chmod(path.c_str(), options.unix_mode) != 0) {
    return std::unexpected(path_error(path, errno));
  }
  if (::listen(socket.fd(), options.backlog) != 0) {
    return failed(errno, fmt::format("{}: {}", to_string(address), ::strerror(errno)));
  }
  for (std::size_t shard = 1; shard < options.shards; ++shard) {
    Socket copy(::fcntl(socket.fd(), F_DUPFD_CLOEXEC, 0));
    if (!copy) return failed(errno, fmt::format("{}: {}", to_string(address), ::strerror(errno)));
    listener.sockets_.push_back(std::move(copy));
  }
  listener.sockets_.push_back(std::move(socket));
  return listener;
}

}  // namespace valkyrie::transport
