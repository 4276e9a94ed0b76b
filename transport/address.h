// Addresses of nodes as users write them.
//
//   valkyrie://host[:port]   plain TCP, port 22091 unless given
//   host[:port]              the same of loopback hosts, TLS of others
//   tls://host[:port]        TCP through a TLS channel; valkyries:// is the same
//   noise://host[:port][?key=DIGITS]
//                            TCP through a Noise channel; the key is the node's public one
//   unix:///path             a Unix socket at an absolute path
//   unix:@name               a Unix socket of the abstract namespace
//
// IPv6 literals stand in brackets: valkyrie://[::1]:22091.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <vector>

#include "protocol/constants.h"
#include "transport/transport_error.h"

namespace valkyrie::transport {

// 0x564B, "VK".
inline constexpr std::uint16_t kPortDefault = protocol::kTcpPortDefault;

// How a node is reached.
enum class AddressKind : std::uint8_t { tcp, unix_path, unix_abstract };

// A parsed address. The strings are never empty where they matter.
struct Address {
  AddressKind kind = AddressKind::tcp;
  std::string host;        // Of tcp: a name or a literal, without brackets.
  std::uint16_t port = 0;  // Of tcp; 0 lets a listener choose.
  std::string path;        // Of unix_path: absolute. Of unix_abstract: the name, without '@'.
  bool noise = false;      // Of tcp: through a Noise channel.
  bool tls = false;        // Of tcp: through a TLS channel.
  std::string key;         // With noise: the node's public key, 64 lower-case digits, or nothing.

  bool operator==(const Address&) const = default;
};

// What an address may be used for.
struct AddressPolicy {
  // Allows plain TCP to hosts that are not this machine.
  bool insecure = false;
};

// Reads an address. Errors: bad_address and insecure, with a message that says what to write.
[[nodiscard]] std::expected<Address, TransportError> parse_address(
    std::string_view text, const AddressPolicy& policy = {});

// The canonical text, which parse_address() takes back.
[[nodiscard]] std::string to_string(const Address& address);

// Whether the host is this machine by its spelling: localhost, 127.0.0.0/8 or ::1.
[[nodiscard]] bool is_loopback_host(std::string_view host);

// A socket address as system calls take it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  // For connect(2) and bind(2), with `size`.
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  // AF_INET, AF_INET6 or AF_UNIX.
  [[nodiscard]] int family() const { return storage.ss_family; }
};

// The socket addresses behind an address, in the order to try them. Literals, localhost and Unix
// addresses answer at once; other names ask the system's resolver, which may block for seconds:
// see needs_resolver(). Errors: not_found, bad_address (a Unix path of over 107 bytes).
[[nodiscard]] std::expected<std::vector<SocketAddress>, TransportError> resolve(
    const Address& address);

// Whether resolve() may block.
[[nodiscard]] bool needs_resolver(const Address& address);

// The text of a socket address, for logs: "127.0.0.1:22091", "[::1]:22091", "unix:///path".
[[nodiscard]] std::string to_string(const SocketAddress& address);

}  // namespace valkyrie::transport
