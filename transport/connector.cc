#include "transport/connector.h"

#include <cerrno>
#include <cstring>
#include <expected>
#include <fmt/format.h>
#include <mutex>
#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::transport {
namespace {

using Addresses = std::expected<std::vector<SocketAddress>, TransportError>;

// More attempts than this side by side help nobody; a host with more addresses has the rest tried
// as these fail.
constexpr std::size_t kAttemptsMax = 8;

TransportError permission_error(const Address& address) {
  struct stat found{};
  if (address.kind == AddressKind::unix_path && ::stat(address.path.c_str(), &found) == 0) {
    return error_of_call(
        EACCES, fmt::format("{}: this process is uid {} and may not write to the socket, which has "
                            "mode {:04o} and owner uid {}; run as its owner, or let the node open "
                            "it to others",
                            to_string(address), ::geteuid(), found.st_mode & 07777, found.st_uid));
  }
  return error_of_call(EACCES, fmt::format("{}: permission denied on the way to the socket; run as "
                                           "the user of the node",
                                           to_string(address)));
}

// What to tell of a connect(2) that failed with errno.
TransportError connect_error(const Address& address, int cause) {
  const std::string where = to_string(address);
  switch (cause) {
    case EACCES:
    case EPERM:
      return permission_error(address);
    case ECONNREFUSED:
      return error_of_call(
          cause,
          fmt::format("{}: nobody listens there; start valkyrie-server, or check the address",
                      where));
    case ENOENT:
      return error_of_call(
          cause,
          fmt::format("{}: there is no such socket; start valkyrie-server, or check the path",
                      where));
    case EAGAIN:
      return error_of_call(
          cause, fmt::format("{}: the node's queue of connections is full; try again", where));
    default:
      return error_of_call(cause, fmt::format("{}: {}", where, ::strerror(cause)));
  }
}

TransportError timeout_error(const Address& address) {
  return error_of_call(ETIMEDOUT, fmt::format("{}: no answer in time; check the address and the "
                                              "network",
                                              to_string(address)));
}

// A TCP socket that dials a free port of its own machine can be answered by itself.
bool is_connected_to_itself(int fd) {
  SocketAddress local;
  SocketAddress peer;
  local.size = peer.size = sizeof local.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local.storage), &local.size) != 0 ||
      ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size) != 0) {
    return false;
  }
  return local.family() != AF_UNIX && to_string(local) == to_string(peer);
}

}  // namespace

// The state of a dial; its end is delivered at the end of a turn.
class Connector::Dial final : private EndOfTurn {
 public:
  Dial(Connector& connector, const Address& address)
      : connector_(connector), reactor_(connector.reactor_), address_(address) {}
  ~Dial() override {
    if (!lookup_) return;
    const std::lock_guard lock(lookup_->mutex);
    lookup_->reactor = nullptr;
  }

  void begin() {
    reactor_.timers().arm(timeout_, reactor_.now() + connector_.options_.timeout);
    if (needs_resolver(address_)) return look_up();
    on_addresses(resolve(address_));
  }

 private:
  // Shared with the thread that asks the resolver, which may outlive the dial.
  struct Lookup {
    std::mutex mutex;
    Reactor* reactor = nullptr;  // Guarded by mutex; nullptr once the dial is gone.
    Dial* dial = nullptr;        // Used on the reactor's thread only, while `reactor` is set.
    Addresses addresses{};       // Written before the task is posted, read by the task.
  };

  // One connect(2) under way.
  struct Attempt final : ReadinessHandler {
    Attempt(Dial& of, Socket taken) : dial(of), socket(std::move(taken)) {}
    ~Attempt() { unwatch(); }
    void on_ready(Ready) override { dial.on_attempt_ready(*this); }
    void unwatch() {
      if (std::exchange(watched, false)) dial.reactor_.remove(socket.fd());
    }
    Dial& dial;
    Socket socket;
    bool watched = false;
  };

  void look_up() {
    lookup_ = std::make_shared<Lookup>();
    lookup_->reactor = &reactor_;
    lookup_->dial = this;
    try {
      std::thread(ask_resolver, lookup_, address_).detach();
    } catch (const std::system_error& error) {
      fail(error_of_call(EAGAIN, fmt::format("{}: no thread for the resolver ({})",
                                             to_string(address_), error.what())));
    }
  }

  static void ask_resolver(const std::shared_ptr<Lookup>& lookup, const Address& address) {
    lookup->addresses = resolve(address);
    const std::lock_guard lock(lookup->mutex);
    if (lookup->reactor == nullptr) return;
    lookup->reactor->post([lookup] {
      // On the reactor's thread, which is also the one that ends the dial.
      if (lookup->reactor != nullptr) lookup->dial->on_addresses(std::move(lookup->addresses));
    });
  }

  void on_addresses(Addresses addresses) {
    if (over_) return;
    if (!addresses) return fail(std::move(addresses.error()));
    addresses_ = std::move(*addresses);
    try_next();
  }

  // Starts attempts until one is under way or none is left.
  void try_next() {
    pace_.cancel();
    while (!over_ && next_ < addresses_.size() && attempts_.size() < kAttemptsMax) {
      if (attempt(addresses_[next_++])) {
        if (!over_ && next_ < addresses_.size()) {
          reactor_.timers().arm(pace_, reactor_.now() + connector_.options_.next_attempt);
        }
        return;
      }
    }
    if (!over_ && attempts_.empty()) fail(std::move(last_error_));
  }

  // True if the attempt connected or is under way.
  bool attempt(const SocketAddress& target) {
    Socket socket(::socket(target.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) {
      last_error_ = connect_error(address_, errno);
      return false;
    }
    if (::connect(socket.fd(), target.get(), target.size) == 0) {
      succeed(std::move(socket));
      return true;
    }
    if (errno != EINPROGRESS && errno != EINTR) {
      last_error_ = connect_error(address_, errno);
      return false;
    }
    auto attempt = std::make_unique<Attempt>(*this, std::move(socket));
    if (const auto added = reactor_.add(attempt->socket.fd(), *attempt, Interest::write); !added) {
      last_error_ = connect_error(address_, added.error().value());
      return false;
    }
    attempt->watched = true;
    attempts_.push_back(std::move(attempt));
    return true;
  }

  void on_attempt_ready(Attempt& attempt) {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(attempt.socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error == 0 && is_connected_to_itself(attempt.socket.fd())) error = ECONNREFUSED;
    attempt.unwatch();
    if (over_) return;
    if (error == 0) return succeed(std::move(attempt.socket));
    last_error_ = connect_error(address_, error);
    std::erase_if(attempts_, [&](const auto& each) { return each.get() == &attempt; });
    try_next();
  }

  void on_timeout() { fail(timeout_error(address_)); }

  void succeed(Socket socket) {
    tune_stream(socket.fd(), connector_.options_.stream);
    connected_ = std::move(socket);
    finish();
  }

  void fail(TransportError error) {
    last_error_ = std::move(error);
    finish();
  }

  void finish() {
    over_ = true;
    timeout_.cancel();
    pace_.cancel();
    reactor_.at_end_of_turn(*this);
  }

  void on_end_of_turn() override {
    attempts_.clear();
    ConnectHandler& handler = connector_.handler_;
    // The handler may destroy the connector and this with it.
    if (connected_) return handler.on_connected(std::move(connected_));
    const TransportError error = std::move(last_error_);
    handler.on_connect_failed(error);
  }

  Connector& connector_;
  Reactor& reactor_;
  const Address address_;
  std::shared_ptr<Lookup> lookup_;
  std::vector<SocketAddress> addresses_;
  std::size_t next_ = 0;
  std::vector<std::unique_ptr<Attempt>> attempts_;
  bool over_ = false;
  Socket connected_;
  TransportError last_error_;
  Timer timeout_ = Timer::calling<&Dial::on_timeout>(this);
  Timer pace_ = Timer::calling<&Dial::try_next>(this);
};

Connector::Connector(Reactor& reactor, ConnectHandler& handler, const ConnectOptions& options)
    : reactor_(reactor), handler_(handler), options_(options) {}

Connector::~Connector() = default;

void Connector::start(const Address& address) {
  VALKYRIE_ASSERT(dial_ == nullptr);
  dial_ = std::make_unique<Dial>(*this, address);
  dial_->begin();
}

}  // namespace valkyrie::transport
