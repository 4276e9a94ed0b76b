// A link with a delay and a rate, for machines whose kernel has no netem: takes connections and
// carries their bytes to another address, each later by the delay, at most so many a second and
// direction. Bytes beyond what the link holds wait with their sender, as on a real one.
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <deque>
#include <fcntl.h>
#include <fmt/format.h>
#include <list>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <CLI/CLI.hpp>

#include "bench/socket.h"

namespace valkyrie::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Duration = std::chrono::nanoseconds;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr Duration kQueue = std::chrono::milliseconds(5);  // That the link buffers for its rate.

struct LinkOptions {
  std::string listen;
  std::string to;
  Duration delay{};  // One way.
  double bytes_per_second = 0;
};

// One direction of a connection.
class Direction {
 public:
  Direction(int from, int to, const LinkOptions& options)
      : from_(from), to_(to), options_(options) {}

  // True if the link takes more now.
  [[nodiscard]] bool wants_input(Clock::time_point now) const {
    return !ended_ && free_at_ < now + kQueue;
  }
  // True if bytes are due and wait for room.
  [[nodiscard]] bool wants_output(Clock::time_point now) const {
    return !pieces_.empty() && pieces_.front().due <= now;
  }
  // When something is to be done without an event of a socket.
  [[nodiscard]] Clock::time_point next(Clock::time_point now) const {
    auto next = now + std::chrono::seconds(1);
    if (!pieces_.empty()) next = std::min(next, std::max(now, pieces_.front().due));
    if (!ended_ && !wants_input(now)) next = std::min(next, free_at_ - kQueue);
    return next;
  }
  [[nodiscard]] bool done() const { return ended_ && pieces_.empty(); }
  [[nodiscard]] int from() const { return from_; }
  [[nodiscard]] int to() const { return to_; }

  void read(Clock::time_point now) {
    std::vector<std::byte> bytes(kReadBytes);
    const ssize_t size = ::recv(from_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
      ended_ = true;
      return;
    }
    bytes.resize(static_cast<std::size_t>(size));
    const double seconds = static_cast<double>(size) / options_.bytes_per_second;
    free_at_ = std::max(free_at_, now) +
               std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
    pieces_.push_back({.due = free_at_ + options_.delay, .bytes = std::move(bytes)});
  }

  // False if the other side is gone.
  bool write(Clock::time_point now) {
    while (wants_output(now)) {
      Piece& piece = pieces_.front();
      const ssize_t size = ::send(to_, piece.bytes.data() + piece.sent,
                                  piece.bytes.size() - piece.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (size < 0) return errno == EAGAIN || errno == EINTR;
      piece.sent += static_cast<std::size_t>(size);
      if (piece.sent == piece.bytes.size()) pieces_.pop_front();
    }
    return true;
  }

 private:
  struct Piece {
    Clock::time_point due;
    std::vector<std::byte> bytes;
    std::size_t sent = 0;
  };

  int from_;
  int to_;
  const LinkOptions& options_;
  std::deque<Piece> pieces_;
  Clock::time_point free_at_{};  // When the last byte taken has been put on the link.
  bool ended_ = false;
};

struct Connection {
  Connection(Descriptor a, Descriptor b, const LinkOptions& options)
      : near(std::move(a)),
        far(std::move(b)),
        up(near.get(), far.get(), options),
        down(far.get(), near.get(), options) {}

  Descriptor near;
  Descriptor far;
  Direction up;
  Direction down;
};

void serve(const Descriptor& listener, const LinkOptions& options) {
  std::list<Connection> connections;
  std::vector<pollfd> polled;
  for (;;) {
    auto now = Clock::now();
    auto next = now + std::chrono::seconds(1);
    polled.assign(1, {.fd = listener.get(), .events = POLLIN, .revents = 0});
    for (const Connection& connection : connections) {
      for (const Direction* way : {&connection.up, &connection.down}) {
        next = std::min(next, way->next(now));
        // Output is only waited for where the last write found no room.
        const auto events = static_cast<short>(way->wants_output(now) ? POLLOUT : 0);
        if (events != 0) polled.push_back({.fd = way->to(), .events = events, .revents = 0});
        if (way->wants_input(now)) polled.push_back({way->from(), POLLIN, 0});
      }
    }
    const auto left = std::chrono::duration_cast<Duration>(std::max(next, now) - now).count();
    const timespec timeout{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    if (::ppoll(polled.data(), polled.size(), &timeout, nullptr) < 0 && errno != EINTR) return;
    now = Clock::now();
    if ((polled[0].revents & POLLIN) != 0) {
      Descriptor near(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      auto far = connect_to(options.to);
      if (near.get() >= 0 && far) {
        set_no_delay(near.get());
        connections.emplace_back(std::move(near), std::move(*far), options);
      }
    }
    std::erase_if(connections, [now](Connection& connection) {
      for (Direction* way : {&connection.up, &connection.down}) {
        if (way->wants_input(now)) way->read(now);
        if (!way->write(now) || way->done()) return true;
      }
      return false;
    });
  }
}

int run(int argc, char** argv) {
  CLI::App app{"A link with a delay and a rate between TCP or Unix sockets"};
  LinkOptions options;
  double round_trip_ms = 50;
  double megabits = 200;
  app.add_option("--listen", options.listen, "where connections come from")->required();
  app.add_option("--to", options.to, "where they go")->required();
  app.add_option("--rtt", round_trip_ms, "round trip, ms");
  app.add_option("--rate", megabits, "Mbit/s in each direction");
  CLI11_PARSE(app, argc, argv);
  options.delay = std::chrono::duration_cast<Duration>(
      std::chrono::duration<double, std::milli>(round_trip_ms / 2));
  options.bytes_per_second = megabits * 1e6 / 8;
  const auto listener = listen_on(options.listen);
  if (!listener) {
    fmt::print(stderr, "long_link: {}\n", listener.error());
    return 1;
  }
  fmt::print("ready\n");
  std::fflush(stdout);
  serve(*listener, options);
  return 1;
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::run(argc, argv); }
