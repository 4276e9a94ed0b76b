#include "transport/address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <optional>
#include <sys/un.h>

namespace valkyrie::transport {
namespace {

constexpr std::string_view kForms =
    "write tls://HOST[:PORT], valkyrie://HOST[:PORT], unix:///PATH or unix:@NAME";
constexpr std::size_t kHostBytesMax = 253;
constexpr std::size_t kUnixPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

std::unexpected<TransportError> bad_address(std::string message) {
  return std::unexpected(TransportError{
      .kind = TransportErrorKind::bad_address, .system_error = 0, .message = std::move(message)});
}

// The text without what may be a secret: errors end up in logs.
std::string shown(std::string_view text) {
  text = text.substr(0, text.find_first_of("?#"));
  const auto at = text.rfind('@');
  if (at == std::string_view::npos || text.starts_with("unix:@")) return std::string(text);
  const auto scheme = text.find("://");
  const auto head = scheme == std::string_view::npos ? "" : text.substr(0, scheme + 3);
  return fmt::format("{}...{}", head, text.substr(at));
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return lower;
}

// Whether the address carries a credential: user information, or a parameter named like one.
bool has_secret(std::string_view rest) {
  const auto query = rest.find('?');
  if (rest.substr(0, query).find('@') != std::string_view::npos) return true;
  if (query == std::string_view::npos) return false;
  const std::string parameters = to_lower(rest.substr(query + 1));
  static constexpr std::array<std::string_view, 6> kNames{"token",  "password", "passwd",
                                                          "secret", "auth",     "private"};
  return std::ranges::any_of(
      kNames, [&](std::string_view name) { return parameters.find(name) != std::string::npos; });
}

// What to use instead of a scheme that is known but not in this build.
std::optional<std::string> missing_scheme(std::string_view scheme) {
  if (scheme == "quic") return "quic:// is not in this build";
  if (scheme == "ws" || scheme == "wss") {
    return fmt::format("{}:// (WebSocket) is not in this build", scheme);
  }
  return std::nullopt;
}

constexpr std::string_view kInstead =
    "use unix:///PATH on one machine, tls://HOST or noise://HOST over a network, or "
    "valkyrie://HOST with --insecure (insecure: true) where the network itself is trusted";

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

bool is_ipv4_shaped(std::string_view host) {
  return std::ranges::all_of(host, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

std::optional<std::string> host_problem(std::string_view host, bool bracketed) {
  const std::string name(host);
  in6_addr six{};
  in_addr four{};
  if (host.empty()) return "the host is missing";
  if (bracketed) {
    if (::inet_pton(AF_INET6, name.c_str(), &six) != 1)
      return "not an IPv6 address in the brackets";
    return std::nullopt;
  }
  if (host.size() > kHostBytesMax) return "the host name is longer than 253 bytes";
  if (!std::ranges::all_of(host, is_host_character)) return "the host has a character no host has";
  if (is_ipv4_shaped(host) && ::inet_pton(AF_INET, name.c_str(), &four) != 1) {
    return "not an IPv4 address of four numbers";
  }
  return std::nullopt;
}

// `authority` is host[:port].
std::expected<Address, TransportError> parse_tcp(std::string_view text,
                                                 std::string_view authority) {
  Address address{.kind = AddressKind::tcp, .host = {}, .port = kPortDefault, .path = {}};
  const bool bracketed = authority.starts_with('[');
  std::string_view host = authority;
  std::optional<std::string_view> port;
  if (bracketed) {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) {
      return bad_address(fmt::format("{}: the bracket is not closed; write [::1]:22091", text));
    }
    host = authority.substr(1, end - 1);
    const std::string_view after = authority.substr(end + 1);
    if (!after.empty() && after[0] != ':') {
      return bad_address(fmt::format("{}: only :PORT may follow the bracket", text));
    }
    if (!after.empty()) port = after.substr(1);
  } else if (const auto colon = authority.find(':'); colon != std::string_view::npos) {
    if (authority.find(':', colon + 1) != std::string_view::npos) {
      return bad_address(
          fmt::format("{}: write an IPv6 address in brackets, as in valkyrie://[::1]:22091", text));
    }
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
  }
  if (const auto problem = host_problem(host, bracketed)) {
    return bad_address(fmt::format("{}: {}; {}", text, *problem, kForms));
  }
  if (port) {
    const char* const end = port->data() + port->size();
    const auto [stop, error] = std::from_chars(port->data(), end, address.port);
    if (error != std::errc{} || stop != end) {
      return bad_address(
          fmt::format("{}: \"{}\" is no port; write a number from 0 to 65535", text, *port));
    }
  }
  address.host = host;
  return address;
}

// `rest` is host[:port][?key=DIGITS].
std::expected<Address, TransportError> parse_noise(std::string_view text, std::string_view rest) {
  constexpr std::size_t kKeyDigits = 64;
  const auto mark = rest.find('?');
  std::string_view authority = rest.substr(0, mark);
  if (authority.ends_with('/')) authority.remove_suffix(1);
  auto address = parse_tcp(text, authority);
  if (!address) return address;
  address->noise = true;
  if (mark == std::string_view::npos) return address;
  constexpr std::string_view kParameter = "key=";
  const std::string_view parameter = rest.substr(mark + 1);
  address->key = to_lower(parameter.substr(std::min(kParameter.size(), parameter.size())));
  const bool is_key = address->key.size() == kKeyDigits &&
                      address->key.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!parameter.starts_with(kParameter) || !is_key) {
    return bad_address(fmt::format(
        "{}: write the node's public key as noise://HOST[:PORT]?key=, with its 64 hexadecimal "
        "digits; the node prints its address when it starts",
        text));
  }
  return address;
}

std::expected<void, TransportError> check_unix_length(const Address& address) {
  if (address.path.size() <= kUnixPathBytesMax) return {};
  return bad_address(
      fmt::format("{}: the name of a Unix socket has at most {} bytes, this one has "
                  "{}; choose a shorter one",
                  to_string(address), kUnixPathBytesMax, address.path.size()));
}

// `rest` is what follows "unix:".
std::expected<Address, TransportError> parse_unix(std::string_view text, std::string_view rest) {
  Address address;
  if (rest.starts_with('@')) {
    address.kind = AddressKind::unix_abstract;
    address.path = rest.substr(1);
  } else if (rest.starts_with("///")) {
    address.kind = AddressKind::unix_path;
    address.path = rest.substr(2);
  } else {
    return bad_address(fmt::format(
        "{}: a Unix socket is written unix:///ABSOLUTE/PATH or, abstract, unix:@NAME", text));
  }
  const bool nameless = address.path.empty() ||
                        (address.kind == AddressKind::unix_path && address.path.ends_with('/'));
  if (nameless || address.path.find('\0') != std::string::npos) {
    return bad_address(fmt::format("{}: the name of the socket is missing; {}", text, kForms));
  }
  if (auto fits = check_unix_length(address); !fits) return std::unexpected(fits.error());
  return address;
}

SocketAddress make_ipv4(in_addr host, std::uint16_t port) {
  SocketAddress made;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr = host;
  std::memcpy(&made.storage, &address, sizeof address);
  made.size = sizeof address;
  return made;
}

SocketAddress make_ipv6(const in6_addr& host, std::uint16_t port) {
  SocketAddress made;
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  address.sin6_addr = host;
  std::memcpy(&made.storage, &address, sizeof address);
  made.size = sizeof address;
  return made;
}

SocketAddress make_unix(const Address& address) {
  SocketAddress made;
  sockaddr_un target{};
  target.sun_family = AF_UNIX;
  const bool abstract = address.kind == AddressKind::unix_abstract;
  // An abstract name begins with a zero byte and has no end but its length; a path ends with zero.
  std::memcpy(target.sun_path + (abstract ? 1 : 0), address.path.data(), address.path.size());
  made.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.path.size() + 1);
  std::memcpy(&made.storage, &target, sizeof target);
  return made;
}

bool is_localhost(std::string_view host) {
  const std::string lower = to_lower(host);
  return lower == "localhost" || lower.ends_with(".localhost");
}

// The addresses that need no resolver, else nothing.
std::vector<SocketAddress> resolve_literal(const Address& address) {
  if (address.kind != AddressKind::tcp) return {make_unix(address)};
  if (is_localhost(address.host)) {
    // Never asked of a resolver that might send it elsewhere (RFC 6761).
    in_addr four{};
    four.s_addr = htonl(INADDR_LOOPBACK);
    return {make_ipv4(four, address.port), make_ipv6(in6addr_loopback, address.port)};
  }
  in_addr four{};
  if (::inet_pton(AF_INET, address.host.c_str(), &four) == 1) {
    return {make_ipv4(four, address.port)};
  }
  in6_addr six{};
  if (::inet_pton(AF_INET6, address.host.c_str(), &six) == 1) return {make_ipv6(six, address.port)};
  return {};
}

}  // namespace

bool is_loopback_host(std::string_view host) {
  if (is_localhost(host)) return true;
  const std::string name(host);
  in_addr four{};
  if (::inet_pton(AF_INET, name.c_str(), &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
  in6_addr six{};
  return ::inet_pton(AF_INET6, name.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

std::expected<Address, TransportError> parse_address(std::string_view text,
                                                     const AddressPolicy& policy) {
  const std::string safe = shown(text);
  if (text.empty()) return bad_address(fmt::format("the address is empty; {}", kForms));
  if (text.starts_with("unix:")) return parse_unix(safe, text.substr(5));
  const auto separator = text.find("://");
  const bool bare = separator == std::string_view::npos;
  const std::string_view scheme = bare ? std::string_view{} : text.substr(0, separator);
  std::string_view rest = bare ? text : text.substr(separator + 3);
  if (has_secret(rest)) {
    return bad_address(fmt::format(
        "{}: an address must not carry credentials, since it ends up in logs and process lists; "
        "give a token by the options of the client",
        safe));
  }
  if (const auto missing = missing_scheme(scheme)) {
    return bad_address(fmt::format("{}: {}; {}", safe, *missing, kInstead));
  }
  if (scheme == "noise") return parse_noise(safe, rest);
  const bool tls = scheme == "tls" || scheme == "valkyries";
  if (!bare && !tls && scheme != "valkyrie") {
    return bad_address(fmt::format(
        "{}: unknown scheme \"{}\"; known are valkyrie, tls, noise, unix, and, not in this build, "
        "quic, ws and wss",
        safe, scheme));
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#") != std::string_view::npos) {
    return bad_address(
        fmt::format("{}: nothing may follow HOST[:PORT] in an address; {}", safe, kForms));
  }
  auto address = parse_tcp(safe, rest);
  const bool safe_in_plain = address && (policy.insecure || is_loopback_host(address->host));
  if (address && (tls || (bare && !safe_in_plain))) address->tls = true;
  if (!address || address->tls || safe_in_plain) return address;
  return std::unexpected(TransportError{
      .kind = TransportErrorKind::insecure,
      .system_error = 0,
      .message =
          fmt::format("{}: plain TCP beyond this machine can be read and changed on the way; "
                      "{}",
                      safe, kInstead)});
}

std::string to_string(const Address& address) {
  switch (address.kind) {
    case AddressKind::unix_path:
      return fmt::format("unix://{}", address.path);
    case AddressKind::unix_abstract:
      return fmt::format("unix:@{}", address.path);
    case AddressKind::tcp:
      break;
  }
  const std::string_view scheme = address.noise ? "noise" : address.tls ? "tls" : "valkyrie";
  const bool six = address.host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}{}{}", scheme, six ? "[" : "", address.host, six ? "]" : "",
                     address.port, address.key.empty() ? "" : "?key=", address.key);
}

bool needs_resolver(const Address& address) { return resolve_literal(address).empty(); }

std::expected<std::vector<SocketAddress>, TransportError> resolve(const Address& address) {
  if (address.kind != AddressKind::tcp) {
    if (auto fits = check_unix_length(address); !fits) return std::unexpected(fits.error());
  }
  auto found = resolve_literal(address);
  if (!found.empty()) return found;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int failure =
      ::getaddrinfo(address.host.c_str(), fmt::format("{}", address.port).c_str(), &hints, &list);
  for (const addrinfo* each = list; failure == 0 && each != nullptr; each = each->ai_next) {
    SocketAddress made;
    std::memcpy(&made.storage, each->ai_addr, each->ai_addrlen);
    made.size = each->ai_addrlen;
    found.push_back(made);
  }
  if (list != nullptr) ::freeaddrinfo(list);
  if (!found.empty()) return found;
  return std::unexpected(TransportError{
      .kind = TransportErrorKind::not_found,
      .system_error = 0,
      .message = fmt::format("{}: the host was not found ({}); check its spelling and the resolver",
                             to_string(address), ::gai_strerror(failure))});
}

std::string to_string(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  switch (address.family()) {
    case AF_INET: {
      sockaddr_in four{};
      std::memcpy(&four, &address.storage, sizeof four);
      ::inet_ntop(AF_INET, &four.sin_addr, text.data(), text.size());
      return fmt::format("{}:{}", text.data(), ntohs(four.sin_port));
    }
    case AF_INET6: {
      sockaddr_in6 six{};
      std::memcpy(&six, &address.storage, sizeof six);
      ::inet_ntop(AF_INET6, &six.sin6_addr, text.data(), text.size());
      return fmt::format("[{}]:{}", text.data(), ntohs(six.sin6_port));
    }
    case AF_UNIX: {
      sockaddr_un local{};
      std::memcpy(&local, &address.storage, sizeof local);
      const std::size_t size = address.size - offsetof(sockaddr_un, sun_path);
      if (address.size <= offsetof(sockaddr_un, sun_path)) return "unix:unnamed";
      if (local.sun_path[0] == '\0') {
        return fmt::format("unix:@{}", std::string_view(local.sun_path + 1, size - 1));
      }
      return fmt::format("unix://{}",
                         std::string_view(local.sun_path, ::strnlen(local.sun_path, size)));
    }
    default:
      return "unknown address family";
  }
}

}  // namespace valkyrie::transport
