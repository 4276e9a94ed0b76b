#include "transport/connection.h"

#include <algorithm>
#include <fmt/format.h>
#include <sys/socket.h>
#include <utility>

#include "protocol/assert.h"
#include "transport/address.h"

namespace valkyrie::transport {
namespace {

// Bytes. Messages that are longer on the average are bulk.
constexpr std::size_t kBulkMessageBytes = 1024;

using protocol::Role;

std::string name_peer(int fd, const std::optional<PeerCredentials>& credentials) {
  if (credentials) return fmt::format("unix pid {} uid {}", credentials->pid, credentials->uid);
  SocketAddress peer;
  peer.size = sizeof peer.storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size) != 0) {
    return "a peer that is gone";
  }
  return to_string(peer);
}

CloseCause cause_of(Door door) {
  switch (door) {
    case Door::http:
      return CloseCause::http_bytes;
    case Door::tls:
      return CloseCause::tls_bytes;
    case Door::noise:
      return CloseCause::noise_bytes;
    default:
      return CloseCause::garbage;
  }
}

}  // namespace

std::string_view to_string(const CloseReason& reason) {
  switch (reason.cause) {
    case CloseCause::session:
      return protocol::to_string(reason.code);
    case CloseCause::eof:
      return "eof";
    case CloseCause::io_error:
      return "io_error";
    case CloseCause::http_bytes:
      return "http_bytes";
    case CloseCause::tls_bytes:
      return "tls_bytes";
    case CloseCause::noise_bytes:
      return "noise_bytes";
    case CloseCause::plain_bytes:
      return "plain_bytes";
    case CloseCause::channel:
      return protocol::to_string(reason.channel);
    case CloseCause::garbage:
      return "garbage";
    case CloseCause::door_timeout:
      return "door_timeout";
    case CloseCause::half_open_limit:
      return "half_open_limit";
    case CloseCause::aborted:
      return "aborted";
  }
  return "unknown";
}

Connection::Connection(Reactor& reactor, Socket socket, Role role,
                       protocol::SharedSessionConfig config, protocol::BufferPool& pool,
                       ConnectionHandler& handler, const ConnectionOptions& options,
                       HalfOpenConnections* half_open, std::unique_ptr<protocol::Channel> channel)
    : reactor_(reactor),
      handler_(handler),
      half_open_(half_open),
      channels_(options.channels),
      handshakes_(options.handshakes),
      linger_time_(options.linger),
      unsent_bytes_(options.stream.unsent_bytes),
      phase_ends_(reactor.now() + options.door_timeout),
      phase_(role == Role::acceptor ? Phase::door : Phase::open),
      credentials_(transport::peer_credentials(socket.fd())),
      peer_name_(name_peer(socket.fd(), credentials_)),
      session_(role, std::move(config), pool, reactor.now()),
      socket_(reactor, std::move(socket), *this) {
  if (channel != nullptr) sealed_ = std::make_unique<Sealed>(std::move(channel));
  if (half_open_ != nullptr) half_open_->add(*this);
}

Connection::~Connection() {
  if (sealed_ != nullptr && sealed_->step != nullptr) sealed_->step->give_up();
  if (half_open_ != nullptr) half_open_->remove(*this);
}

std::expected<void, std::error_code> Connection::start() {
  auto started = socket_.start();
  if (!started) {
    phase_ = Phase::gone;
    return started;
  }
  reactor_.at_end_of_turn(*this);  // Writes the hello of a dialer and arms the timer.
  return started;
}

void Connection::abort() { finish({.cause = CloseCause::aborted, .local = true}); }

// Gives the session what a channel has opened.
class Connection::Opener final : public protocol::PlainSink {
 public:
  Opener(Connection& connection, std::span<const std::byte> received,
         const std::shared_ptr<const void>& keeper)
      : connection_(connection), received_(received), keeper_(keeper) {}

  void on_plain(std::span<std::byte> text) override {
    // What the channel had put together goes with it.
    const bool kept =
        text.data() >= received_.data() && text.data() < received_.data() + received_.size();
    connection_.feed(text, kept ? keeper_ : nullptr);
  }

 private:
  Connection& connection_;
  std::span<const std::byte> received_;
  const std::shared_ptr<const void>& keeper_;
};

void Connection::on_bytes(std::span<std::byte> bytes, const std::shared_ptr<const void>& keeper) {
  if (phase_ == Phase::door) bytes = pass_door(bytes);
  if (!bytes.empty()) take(bytes, keeper);
}

void Connection::take(std::span<std::byte> bytes, const std::shared_ptr<const void>& keeper) {
  if (sealed_ == nullptr) return feed(bytes, keeper);
  if (phase_ != Phase::open) return;
  if (handshakes_ != nullptr && in_handshake()) return give_away(bytes);
  Opener opener(*this, bytes, keeper);
  const auto taken = sealed_->channel->receive(bytes, opener);
  if (!taken) return fail_channel(taken.error());
  reactor_.at_end_of_turn(*this);
}

// A worker does the next step of the handshake. What comes until it is done waits, and so does the
// peer's end: what it has sent before tells why it is refused.
void Connection::give_away(std::span<const std::byte> bytes) {
  Sealed& sealed = *sealed_;
  if (sealed.later.size() + bytes.size() > kHandshakeBytesMax) {
    return finish({.cause = CloseCause::channel,
                   .local = true,
                   .channel = protocol::ChannelError::bad_length});
  }
  sealed.later.insert(sealed.later.end(), bytes.begin(), bytes.end());
  if (sealed.step != nullptr) return;
  sealed.step = std::make_shared<HandshakeStep>();
  sealed.step->channel = std::move(sealed.channel);
  sealed.step->bytes = std::exchange(sealed.later, {});
  sealed.step->waiter = this;
  handshakes_->take(sealed.step, reactor_);
}

void Connection::on_handshake_step(HandshakeStep& step) {
  Sealed& sealed = *sealed_;
  sealed.channel = std::move(step.channel);
  sealed.step.reset();  // Whoever calls this has a share as well.
  std::vector<std::byte> later = std::exchange(sealed.later, {});
  if (phase_ == Phase::open) {
    if (!step.outcome) return fail_channel(step.outcome.error());
    feed(step.text, nullptr);
    if (!later.empty()) take(later, nullptr);
  }
  // Not yet, if that was the beginning of another step.
  if (sealed.end && sealed.step == nullptr) {
    return finish(phase_ == Phase::open ? *sealed.end : reason_);
  }
  if (phase_ != Phase::gone) reactor_.at_end_of_turn(*this);
}

// Returns what is still to be read, nothing while the door is undecided or when it is closed.
std::span<std::byte> Connection::pass_door(std::span<std::byte> bytes) {
  const std::size_t held = door_count_;
  const std::size_t more = std::min(bytes.size(), kDoorBytes - held);
  std::copy_n(bytes.begin(), more, door_bytes_.begin() + static_cast<std::ptrdiff_t>(held));
  const Door door = detect_door(std::span(door_bytes_).first(held + more));
  if (door == Door::undecided) {
    door_count_ = static_cast<std::uint8_t>(held + more);
    return {};
  }
  if (!open_door(door)) return {};
  phase_ = Phase::open;
  if (held > 0) take(std::span(door_bytes_).first(held), nullptr);
  return bytes;
}

bool Connection::open_door(Door door) {
  if (door == Door::valkyrie) {
    if (channels_ == nullptr || channels_->allows_plain()) return true;
    finish({.cause = CloseCause::plain_bytes, .local = true});
    return false;
  }
  if ((door == Door::noise || door == Door::tls) && channels_ != nullptr) {
    auto channel = door == Door::tls ? channels_->accept_tls() : channels_->accept_noise();
    if (channel != nullptr) {
      sealed_ = std::make_unique<Sealed>(std::move(channel));
      return true;
    }
  }
  finish({.cause = cause_of(door), .local = true});
  return false;
}

// What the channel still has to say is all that the peer could understand.
void Connection::fail_channel(protocol::ChannelError error) {
  const std::vector<std::byte> last = sealed_->channel->take_output();
  const std::array pieces = {std::span<const std::byte>(last)};
  if (!last.empty() && socket_.is_open() && socket_.writable()) {
    static_cast<void>(socket_.write(pieces));
  }
  finish({.cause = CloseCause::channel, .local = true, .channel = error});
}

void Connection::feed(std::span<const std::byte> bytes, const std::shared_ptr<const void>& keeper) {
  if (phase_ == Phase::over || session_.closed() || bytes.empty()) return;
  session_.receive(bytes, reactor_.now(), &keeper);
  const std::size_t events = hand_out_events();
  note_critical();
  socket_.expect_bulk(bytes.size() > events * kBulkMessageBytes);
  reactor_.at_end_of_turn(*this);
}

// Tells socket and shard whether critical frames come and go here.
void Connection::note_critical() {
  const bool critical = session_.critical(reactor_.now());
  if (critical) reactor_.note_critical();
  if (critical == critical_ || !socket_.is_open()) return;
  critical_ = critical;
  socket_.set_critical(critical, critical ? protocol::kKernelUnsentCriticalBytes : unsent_bytes_);
}

std::size_t Connection::hand_out_events() {
  std::size_t events = 0;
  for (; const protocol::Event* event = session_.poll_event(); ++events) {
    if (event->type == protocol::EventType::ready && half_open_ != nullptr) {
      std::exchange(half_open_, nullptr)->remove(*this);
    }
    if (event->type == protocol::EventType::closed) {
      begin_closing({.cause = CloseCause::session, .code = event->code, .local = event->local});
    }
    handler_.on_event(*this, *event);
  }
  return events;
}

void Connection::on_writable() { reactor_.at_end_of_turn(*this); }

void Connection::on_stream_end(std::error_code error) {
  if (phase_ == Phase::closing || phase_ == Phase::lingering) return finish(reason_);
  const CloseReason end{.cause = error ? CloseCause::io_error : CloseCause::eof, .error = error};
  if (sealed_ != nullptr && sealed_->step != nullptr) {
    sealed_->end = end;
    return;
  }
  finish(end);
}

// From here on the peer has a bounded time to take the last bytes.
void Connection::begin_closing(const CloseReason& reason) {
  const bool explains_failed_write = phase_ == Phase::closing && write_failed_;
  if (phase_ != Phase::door && phase_ != Phase::open && !explains_failed_write) return;
  reason_ = reason;
  if (explains_failed_write) return;
  // Before the door nobody is known to understand a GOAWAY.
  if (phase_ == Phase::door) return finish(reason);
  phase_ = Phase::closing;
  phase_ends_ = reactor_.now() + linger_time_;
}

void Connection::finish(const CloseReason& reason) {
  if (phase_ == Phase::over || phase_ == Phase::gone) return;
  reason_ = reason;
  phase_ = Phase::over;
  socket_.close();
  timer_.cancel();
  if (half_open_ != nullptr) std::exchange(half_open_, nullptr)->remove(*this);
  reactor_.at_end_of_turn(*this);
}

void Connection::on_end_of_turn() {
  if (phase_ == Phase::gone) return;
  if (phase_ == Phase::open || phase_ == Phase::closing) write_output();
  // After the write, since it brings some. What they make the owner send goes in the next round.
  if (phase_ != Phase::over) hand_out_events();
  if (phase_ == Phase::over) return deliver_end();
  if (phase_ == Phase::closing && !write_failed_ && !has_output()) {
    // Closing a socket with unread bytes would destroy what the peer has not read yet.
    socket_.shut_down_write();
    phase_ = Phase::lingering;
  }
  arm_timer();
}

void Connection::deliver_end() {
  if (!session_.closed()) session_.receive_eof(reactor_.now());
  hand_out_events();
  phase_ = Phase::gone;
  handler_.on_closed(*this, reason_);  // The handler may have destroyed this object.
}

void Connection::write_output() {
  if (write_failed_ || !socket_.writable()) return;
  if (sealed_ != nullptr) return write_sealed();
  const auto pieces = gather();
  if (pieces.empty()) return;
  const auto written = write(pieces);
  if (!written) return;
  session_.written(*written, reactor_.now());  // Also of nothing: a stall counts from it.
  if (socket_.writable() && session_.has_output()) reactor_.at_end_of_turn(*this);
}

// What the session chooses to send in one write.
std::span<const std::span<const std::byte>> Connection::gather() {
  const auto pieces = reactor_.write_pieces();
  note_critical();
  std::size_t budget = reactor_.critical() ? kWriteBytesCalm : kWriteBytesMax;
  if (critical_) budget = protocol::kKernelUnsentCriticalBytes;
  return pieces.first(session_.gather(pieces, budget));
}

// Bytes that the kernel has taken; nothing if the connection is broken.
std::optional<std::size_t> Connection::write(std::span<const std::span<const std::byte>> pieces) {
  const auto written = socket_.write(pieces);
  if (written) return *written;
  // The peer may have said why before it closed: read on until its end.
  write_failed_ = true;
  begin_closing({.cause = CloseCause::io_error, .error = written.error()});
  return std::nullopt;
}

// Nothing is sealed before all that was is with the kernel: until then urgent frames may pass.
void Connection::write_sealed() {
  Sealed& sealed = *sealed_;
  if (sealed.channel == nullptr || !socket_.is_open()) return;
  if (sealed.unsent.empty()) seal_more();
  if (sealed.unsent.empty() || phase_ == Phase::over) return;
  const std::array pieces = {std::span<const std::byte>(sealed.unsent).subspan(sealed.sent)};
  const auto written = write(pieces);
  if (!written) return;
  sealed.sent += *written;
  const bool all = sealed.sent == sealed.unsent.size();
  // Progress is progress, whatever byte it has come to.
  const std::size_t plain = all ? sealed.plain : std::min(sealed.plain, *written);
  sealed.plain -= plain;
  session_.written(plain, reactor_.now());
  if (all) {
    sealed.sent = 0;
    sealed.unsent = {};  // An idle connection owns no buffer.
  }
  if (socket_.writable() && has_output()) reactor_.at_end_of_turn(*this);
}

void Connection::seal_more() {
  Sealed& sealed = *sealed_;
  sealed.unsent = sealed.channel->take_output();
  if (!sealed.channel->open()) return;
  const auto pieces = gather();
  for (const auto piece : pieces) sealed.plain += piece.size();
  if (const auto done = sealed.channel->seal(pieces, sealed.unsent); !done) {
    fail_channel(done.error());
  }
}

void Connection::arm_timer() {
  std::optional<protocol::Instant> wake;
  if (phase_ != Phase::open) wake = phase_ends_;
  if (phase_ == Phase::open || phase_ == Phase::door) {
    const auto deadline = session_.deadline();
    if (deadline && (!wake || *deadline < *wake)) wake = deadline;
  }
  if (!wake) return timer_.cancel();
  // A timer that is early only looks again: busy connections do not move it with every frame.
  if (!timer_.armed() || timer_.deadline() > *wake) reactor_.timers().arm(timer_, *wake);
}

// A deadline may be over because this process was held up, not the peer: what the peer has sent
// counts first, and that it can take more. False if the connection is over.
bool Connection::catch_up() {
  if (!socket_.is_open()) return false;
  socket_.catch_up();
  if (phase_ == Phase::open) {
    write_output();
    hand_out_events();
  }
  return phase_ != Phase::over && phase_ != Phase::gone;
}

void Connection::on_timer() {
  const protocol::Instant now = reactor_.now();
  const auto session_ends = session_.deadline();
  const bool due = (phase_ == Phase::door && now >= phase_ends_) ||
                   (session_ends && *session_ends <= now && !session_.closed());
  if (due && (phase_ == Phase::open || phase_ == Phase::door) && !catch_up()) return;
  if (phase_ != Phase::open && now >= phase_ends_) {
    if (phase_ != Phase::door) return finish(reason_);
    return finish({.cause = CloseCause::door_timeout, .local = true});
  }
  if (phase_ == Phase::open || phase_ == Phase::door) {
    const auto deadline = session_.deadline();
    if (deadline && *deadline <= now) session_.on_deadline(now);
  }
  reactor_.at_end_of_turn(*this);
}

}  // namespace valkyrie::transport
