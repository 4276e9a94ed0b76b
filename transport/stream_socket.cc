#include "transport/stream_socket.h"

#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::transport {

StreamSocket::StreamSocket(Reactor& reactor, Socket socket, StreamSink& sink)
    : reactor_(reactor), socket_(std::move(socket)), sink_(sink) {}

StreamSocket::~StreamSocket() { close(); }

std::expected<void, std::error_code> StreamSocket::start() {
  VALKYRIE_ASSERT(socket_ && !watched_);
  auto added = reactor_.add(socket_.fd(), *this, Interest::read);
  if (!added) {
    socket_.close();
    return added;
  }
  watched_ = true;
  return {};
}

void StreamSocket::close() {
  if (watched_) reactor_.remove(socket_.fd());
  watched_ = false;
  socket_.close();
}

void StreamSocket::shut_down_write() {
  if (socket_) ::shutdown(socket_.fd(), SHUT_WR);
}

void StreamSocket::end(std::error_code error) {
  close();
  sink_.on_stream_end(error);
}

void StreamSocket::set_blocked() {
  blocked_ = true;
  if (!std::exchange(awaits_room_, true)) reactor_.modify(socket_.fd(), Interest::read_write);
}

void StreamSocket::set_critical(bool critical, std::uint32_t unsent_bytes) {
  reactor_.set_urgent(socket_.fd(), critical);
  bound_unsent(socket_.fd(), unsent_bytes);
}

void StreamSocket::catch_up() {
  blocked_ = false;
  read_available(/*until_end=*/true);
}

// Where one write in a row is cut short the next will be, too: so the reactor watches for room
// until it reports some that nobody has waited for.
void StreamSocket::on_ready(Ready ready) {
  if (ready.writable && std::exchange(blocked_, false)) {
    sink_.on_writable();
    if (!is_open()) return;
  } else if (ready.writable && std::exchange(awaits_room_, false)) {
    reactor_.modify(socket_.fd(), Interest::read);
  }
  if (ready.readable || ready.hang_up || ready.error) {
    read_available(ready.hang_up || ready.error);
  }
}

// A read that does not fill the slab has emptied the socket, so the common turn costs one call.
// After a hang-up the end itself is still to be read.
void StreamSocket::read_available(bool until_end) {
  const bool critical = reactor_.critical();
  const bool bulk = bulk_ && !critical;
  std::size_t room = bulk ? Reactor::kReceiveSlabBytes : kReadBytesBrisk;
  if (critical) room = bulk_ ? kReadBytesCritical : kReadBytesCriticalBrisk;
  for (std::size_t taken = 0; taken < kReadBytesPerTurn;) {
    const std::shared_ptr<std::byte> lent = bulk ? reactor_.bulk_slabs().take() : nullptr;
    const std::span<std::byte> slab = lent != nullptr ? std::span(lent.get(), SlabPool::kSlabBytes)
                                                      : reactor_.receive_slab().first(room);
    const ssize_t got = ::recv(socket_.fd(), slab.data(), slab.size(), 0);
    if (got == 0) return end({});
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      return end({errno, std::generic_category()});
    }
    const auto size = static_cast<std::size_t>(got);
    taken += size;
    sink_.on_bytes(slab.first(size), lent);
    if (!is_open()) return;
    if ((size < slab.size() || !bulk) && !until_end) return;
  }
}

std::expected<std::size_t, std::error_code> StreamSocket::write(
    std::span<const std::span<const std::byte>> pieces) {
  VALKYRIE_ASSERT(watched_ && pieces.size() <= kPiecesMax);
  if (blocked_) return 0;
  std::array<iovec, kPiecesMax> vectors;  // The first pieces.size() are filled.
  std::size_t total = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    vectors[i] = {.iov_base = const_cast<std::byte*>(pieces[i].data()),
                  .iov_len = pieces[i].size()};
    total += pieces[i].size();
  }
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = pieces.size();
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket_.fd(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
    return std::unexpected(std::error_code(errno, std::generic_category()));
  }
  const std::size_t taken = sent < 0 ? 0 : static_cast<std::size_t>(sent);
  if (taken < total) set_blocked();
  return taken;
}

}  // namespace valkyrie::transport
