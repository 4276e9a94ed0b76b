#include "server/ops/door_guard.h"

#include <netinet/in.h>
#include <span>
#include <sys/socket.h>

#include "transport/address.h"

namespace valkyrie::server {
namespace {

using protocol::ChannelError;
using protocol::CloseCode;
using transport::CloseCause;

// Ends that no peer has that means well and knows how. Those that a network or a crash brings about
// are none: who scans for an open port, or is gone in the middle, is not banned.
bool speaks_against(const transport::CloseReason& reason, bool greeted) {
  if (reason.cause == CloseCause::session) {
    if (reason.code == CloseCode::unauthenticated) return true;
    return !greeted && reason.local && reason.code != CloseCode::none &&
           reason.code != CloseCode::draining && reason.code != CloseCode::refused;
  }
  if (greeted) return false;
  switch (reason.cause) {
    case CloseCause::channel:
      return reason.channel != ChannelError::other_suite;  // It dials again.
    case CloseCause::http_bytes:
    case CloseCause::tls_bytes:
    case CloseCause::noise_bytes:
    case CloseCause::plain_bytes:
    case CloseCause::garbage:
    case CloseCause::door_timeout:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string DoorGuard::prefix_of(int fd) const {
  transport::SocketAddress peer;
  peer.size = sizeof peer.storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size) != 0) return {};
  std::span<const std::byte> address;
  if (peer.family() == AF_INET) {
    const auto* ip = reinterpret_cast<const sockaddr_in*>(&peer.storage);
    address = std::as_bytes(std::span(&ip->sin_addr, 1));
  } else if (peer.family() == AF_INET6) {
    const auto* ip = reinterpret_cast<const sockaddr_in6*>(&peer.storage);
    address = std::as_bytes(std::span(&ip->sin6_addr, 1));
  }
  if (!rules_.loopback && policy::is_loopback(address)) return {};
  return policy::address_prefix(address);
}

policy::Admission DoorGuard::admit(std::string_view prefix, protocol::Instant now) {
  if (prefix.empty()) return policy::Admission::admitted;
  const std::scoped_lock lock(mutex_);
  return limits_.admit(prefix, now);
}

void DoorGuard::settled(std::string_view prefix) {
  if (prefix.empty()) return;
  const std::scoped_lock lock(mutex_);
  limits_.settled(prefix);
}

bool DoorGuard::take_session(std::string_view prefix, std::string_view identity,
                             protocol::Instant now) {
  if (prefix.empty() || identity.empty()) return true;
  const std::scoped_lock lock(mutex_);
  return limits_.take_session(identity, now);
}

std::optional<protocol::Duration> DoorGuard::note_end(std::string_view prefix,
                                                      const transport::CloseReason& reason,
                                                      bool greeted, protocol::Instant now) {
  if (prefix.empty() || !speaks_against(reason, greeted)) return std::nullopt;
  const std::scoped_lock lock(mutex_);
  return limits_.bans().fail(prefix, now);
}

std::vector<policy::Ban> DoorGuard::bans(protocol::Instant now) {
  const std::scoped_lock lock(mutex_);
  return limits_.bans().list(now);
}

bool DoorGuard::lift(std::string_view prefix, protocol::Instant now) {
  const std::scoped_lock lock(mutex_);
  return limits_.bans().lift(prefix, now);
}

std::string DoorGuard::save_bans(protocol::Instant now, std::uint64_t unix_ms) {
  const std::scoped_lock lock(mutex_);
  return limits_.bans().save(now, unix_ms);
}

bool DoorGuard::load_bans(std::string_view text, protocol::Instant now, std::uint64_t unix_ms) {
  const std::scoped_lock lock(mutex_);
  return limits_.bans().load(text, now, unix_ms);
}

}  // namespace valkyrie::server
