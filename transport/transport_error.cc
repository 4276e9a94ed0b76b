#include "transport/transport_error.h"

#include <cerrno>
#include <utility>

namespace valkyrie::transport {
namespace {

TransportErrorKind kind_of(int system_error) {
  switch (system_error) {
    case EADDRINUSE:
      return TransportErrorKind::in_use;
    case EACCES:
    case EPERM:
    case EROFS:
      return TransportErrorKind::permission;
    case ENOENT:
    case ENOTDIR:
      return TransportErrorKind::no_path;
    case ECONNREFUSED:
      return TransportErrorKind::refused;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL:
    case ENETDOWN:
      return TransportErrorKind::unreachable;
    case ETIMEDOUT:
      return TransportErrorKind::timed_out;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
    case EAGAIN:
      return TransportErrorKind::out_of_resources;
    default:
      return TransportErrorKind::system;
  }
}

}  // namespace

TransportError error_of_call(int system_error, std::string message) {
  return {
      .kind = kind_of(system_error), .system_error = system_error, .message = std::move(message)};
}

}  // namespace valkyrie::transport
