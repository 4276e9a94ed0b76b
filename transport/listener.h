// Listening sockets: one per shard for TCP, one shared by all shards for Unix.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <sys/types.h>
#include <vector>

#include "transport/address.h"
#include "transport/socket.h"
#include "transport/transport_error.h"

namespace valkyrie::transport {

// How to listen.
struct ListenOptions {
  // Sockets to make, one for each shard. REQUIRES: > 0
  std::size_t shards = 1;
  // Permission bits of a socket in the file system. Connecting needs write permission.
  mode_t unix_mode = 0600;
  // Connections the kernel keeps while accepting pauses.
  int backlog = 1024;
};

// A bound address. Destroying it closes its sockets; the file of a Unix path is removed.
class Listener {
 public:
  // Binds and listens. On TCP every shard has a socket of its own (SO_REUSEPORT), and a port that
  // any other process listens on is in_use even if that one shares its port. For a Unix path the
  // file `path`.lock is held while listening, so that of two starters one loses; a missing parent
  // directory is made with mode 0700; a socket file whose owner is gone is replaced. The host must
  // be a literal or localhost: then this never blocks.
  //
  // Errors: in_use, permission, no_path, bad_address, not_found, out_of_resources, system.
  [[nodiscard]] static std::expected<Listener, TransportError> listen(
      const Address& address, const ListenOptions& options = {});

  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&& other) noexcept;
  ~Listener();

  // Where it listens, with the port the kernel chose.
  [[nodiscard]] const Address& address() const { return address_; }
  // The descriptor to accept on in a shard, owned by the listener.
  [[nodiscard]] int fd(std::size_t shard) const { return sockets_[shard].fd(); }
  // True if all shards accept from one queue: watch it with Interest::read_exclusive.
  [[nodiscard]] bool shared() const { return address_.kind != AddressKind::tcp; }

 private:
  Listener() = default;
  [[nodiscard]] static std::expected<Listener, TransportError> listen_tcp(
      const Address& address, const ListenOptions& options);
  [[nodiscard]] static std::expected<Listener, TransportError> listen_unix(
      const Address& address, const ListenOptions& options);
  void close();

  Address address_;
  std::vector<Socket> sockets_;
  Socket lock_;  // Of a Unix path: keeps `path`.lock locked.
  std::string lock_path_;
  std::string socket_path_;  // Of a Unix path, once the file is ours.
};

}  // namespace valkyrie::transport
