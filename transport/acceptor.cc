#include "transport/acceptor.h"

#include <cerrno>

#include "protocol/assert.h"

namespace valkyrie::transport {
namespace {

bool is_out_of_resources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Acceptor::Acceptor(Reactor& reactor, int fd, bool shared, AcceptHandler& handler,
                   const AcceptorOptions& options)
    : reactor_(reactor), fd_(fd), shared_(shared), handler_(handler), options_(options) {}

Acceptor::~Acceptor() { stop(); }

std::expected<void, std::error_code> Acceptor::start() {
  VALKYRIE_ASSERT(phase_ == Phase::idle);
  auto added = reactor_.add(fd_, *this, shared_ ? Interest::read_exclusive : Interest::read);
  if (added) phase_ = Phase::accepting;
  return added;
}

void Acceptor::stop() {
  if (phase_ == Phase::accepting) reactor_.remove(fd_);
  phase_ = Phase::idle;
  timer_.cancel();
}

void Acceptor::pause() {
  reactor_.remove(fd_);
  phase_ = Phase::paused;
}

void Acceptor::resume() {
  if (phase_ != Phase::paused) return;
  timer_.cancel();
  phase_ = Phase::idle;
  if (start()) return;
  phase_ = Phase::paused;  // No memory to watch the queue: try again.
  reactor_.timers().arm(timer_, reactor_.now() + options_.pause);
}

void Acceptor::connection_closed() { resume(); }

void Acceptor::on_ready(Ready) {
  // Of a queue that shards share one connection is taken at a time, so that the others get theirs.
  const int budget = shared_ ? 1 : kAcceptsPerTurn;
  for (int i = 0; i < budget && phase_ == Phase::accepting; ++i) {
    if (!handler_.may_accept()) return pause();
    Socket socket(options_.accept(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) {
      ++stats_.accepted;
      tune_stream(socket.fd(), options_.stream);
      handler_.on_accepted(std::move(socket));
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    if (!is_out_of_resources(errno)) continue;  // The peer was gone before it was accepted.
    const std::error_code cause(errno, std::generic_category());
    ++stats_.pauses;
    pause();
    reactor_.timers().arm(timer_, reactor_.now() + options_.pause);
    handler_.on_accept_paused(cause);
  }
}

}  // namespace valkyrie::transport
