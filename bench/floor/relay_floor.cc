// The relay of the floor: the least a process can do that stands between clients and a service. It
// makes the system calls of a node (epoll_wait, one read per ready connection, one write per
// destination and turn), parses each frame, maps its ids, copies it once, and does nothing else: no
// sessions, flow control, deadlines, classes or names. What a node costs above it is the product.

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <span>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include "bench/batch.h"
#include "bench/floor/frame.h"
#include "bench/load.h"
#include "bench/socket.h"

namespace valkyrie::bench {
namespace {

struct Connection {
  Descriptor socket;
  std::vector<std::byte> rest;  // Front of a frame whose end has not arrived.
  Batch out;                    // Bounded by what the closed loop keeps in flight.
  std::uint32_t stream_id = 1;  // Of the frames sent to it.
  bool flush_due = false;       // Is in Relay::flush_.
  bool wants_write = false;     // The kernel took less than offered: EPOLLOUT is on.
};

class Relay {
 public:
  explicit Relay(Descriptor listener)
      : listener_(std::move(listener)), epoll_(::epoll_create1(EPOLL_CLOEXEC)), slab_(kSlabBytes) {
    watch(EPOLL_CTL_ADD, listener_.get(), nullptr, EPOLLIN);
  }

  // Serves until the process is killed.
  [[noreturn]] void run() {
    std::array<epoll_event, 128> events;
    for (;;) {
      const int ready =
          ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
      for (int at = 0; at < ready; ++at) {
        const epoll_event& event = events[static_cast<std::size_t>(at)];
        auto* connection = static_cast<Connection*>(event.data.ptr);
        if (connection == nullptr) {
          accept_all();
          continue;
        }
        if ((event.events & EPOLLOUT) != 0) flush_soon(*connection);
        if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) read(*connection);
      }
      for (Connection* connection : flush_) flush(*connection);
      flush_.clear();
    }
  }

 private:
  static constexpr std::size_t kSlabBytes = std::size_t{256} << 10;  // One read at most.

  struct Pending {
    Connection* client;
    std::uint32_t correlation_id;  // The client's own.
  };

  void watch(int operation, int fd, Connection* connection, std::uint32_t events) const {
    epoll_event event{.events = events, .data = {.ptr = connection}};
    (void)::epoll_ctl(epoll_.get(), operation, fd, &event);
  }

  void accept_all() {
    for (;;) {
      Descriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.get() < 0) return;
      set_no_delay(socket.get());
      // Kept for the life of the process, closed or not: a pending answer may still point to it.
      auto& connection = connections_.emplace_back(std::make_unique<Connection>());
      connection->socket = std::move(socket);
      watch(EPOLL_CTL_ADD, connection->socket.get(), connection.get(), EPOLLIN);
    }
  }

  void read(Connection& connection) {
    const std::size_t kept = connection.rest.size();
    if (kept > 0) std::memcpy(slab_.data(), connection.rest.data(), kept);
    const ssize_t got = read_some(connection.socket.get(), std::span(slab_).subspan(kept));
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return close(connection);
    const auto bytes = std::span(slab_).first(kept + static_cast<std::size_t>(got));
    const std::ptrdiff_t taken =
        for_each_floor_frame(bytes, [&](const FloorHeader& header, const std::byte* frame) {
          forward(connection, header, frame);
        });
    if (taken < 0) return close(connection);
    const auto rest = bytes.subspan(static_cast<std::size_t>(taken));
    connection.rest.assign(rest.begin(), rest.end());
  }

  void forward(Connection& from, FloorHeader header, const std::byte* frame) {
    if (header.type == kFloorRequest && service_ != nullptr) {
      std::uint32_t slot = 0;
      if (free_.empty()) {
        slot = static_cast<std::uint32_t>(pending_.size());
        pending_.push_back({});
      } else {
        slot = free_.back();
        free_.pop_back();
      }
      pending_[slot] = {&from, header.correlation_id};
      header.correlation_id = slot + 1;
      send(*service_, header, frame);
    } else if (header.type == kFloorResponse && &from == service_ && header.correlation_id > 0 &&
               header.correlation_id <= pending_.size()) {
      const std::uint32_t slot = header.correlation_id - 1;
      header.correlation_id = pending_[slot].correlation_id;
      free_.push_back(slot);
      send(*pending_[slot].client, header, frame);
    } else if (header.type == kFloorServe) {
      service_ = &from;
      header.type = kFloorServing;
      send(from, header, frame);
    }
  }

  void send(Connection& to, FloorHeader& header, const std::byte* frame) {
    if (to.socket.get() < 0) return;
    header.stream_id = to.stream_id;
    append_floor_frame(to.out, header, frame + kFloorHeaderBytes);
    flush_soon(to);
  }

  void flush_soon(Connection& connection) {
    if (std::exchange(connection.flush_due, true)) return;
    flush_.push_back(&connection);
  }

  void flush(Connection& connection) {
    connection.flush_due = false;
    const auto due = connection.out.pending();
    if (due.empty() || connection.socket.get() < 0) return;
    const ssize_t sent = ::send(connection.socket.get(), due.data(), due.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return close(connection);
    connection.out.written(sent > 0 ? static_cast<std::size_t>(sent) : 0);
    const bool drained = connection.out.pending().empty();
    if (connection.wants_write == drained) {
      connection.wants_write = !drained;
      watch(EPOLL_CTL_MOD, connection.socket.get(), &connection,
            drained ? EPOLLIN : EPOLLIN | EPOLLOUT);
    }
  }

  void close(Connection& connection) {
    if (&connection == service_) service_ = nullptr;
    connection.out.clear();
    Descriptor closing = std::move(connection.socket);
  }

  Descriptor listener_;
  Descriptor epoll_;
  std::vector<std::byte> slab_;  // Every connection reads here: an idle one owns no buffer.
  std::vector<std::unique_ptr<Connection>> connections_;
  Connection* service_ = nullptr;
  std::vector<Pending> pending_;  // By the correlation id used towards the service, less one.
  std::vector<std::uint32_t> free_;
  std::vector<Connection*> flush_;  // Have output of this turn.
};

int relay_main(int argc, const char* const* argv) {
  const auto url = parse_url_option(argc, argv);
  if (!url) {
    fmt::print(stderr, "{}\n", url.error());
    return 2;
  }
  auto listener = listen_on(*url);
  if (!listener) {
    fmt::print(stderr, "relay_floor: {}\n", listener.error());
    return 1;
  }
  Relay relay(std::move(*listener));
  fmt::print("ready\n");
  std::fflush(stdout);
  relay.run();
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::relay_main(argc, argv); }
