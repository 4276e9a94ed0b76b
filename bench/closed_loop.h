#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <fmt/format.h>
#include <span>
#include <string>
#include <sys/epoll.h>
#include <utility>
#include <vector>

#include "bench/batch.h"
#include "bench/load.h"
#include "bench/socket.h"

namespace valkyrie::bench {

// The load end of every stream-socket row: one thread, epoll over all connections, one read and one
// write per connection and turn. Answers that arrive together are answered by requests that leave
// together, so a deep loop batches by itself. Blocking writes are safe: no first hop of these rows
// waits for its client to read before it reads on.
//
// `Wire` speaks the protocol of one connection:
//   std::expected<void, std::string> open(int fd, std::uint32_t connection);    dial-in exchange
//   void request(std::uint32_t slot, Batch& out);              appends a request
//   std::expected<std::size_t, std::string> answers(std::span<std::byte> in,    calls
//   on_answer(slot)
//       Batch& out, OnAnswer on_answer);                       bytes taken
// A slot names one of the `depth` requests in flight. `answers` takes whole messages only.
template <typename Wire>
class ClosedLoop {
 public:
  explicit ClosedLoop(LoadOptions options) : options_(std::move(options)) {}

  // Runs warm-up and measurement and returns the JSON result; the error is one line for the user.
  [[nodiscard]] std::expected<std::string, std::string> run(std::string_view program) {
    if (auto opened = open_all(); !opened) return std::unexpected(opened.error());
    Measurement measurement(options_, now_ns());
    for (Connection& connection : connections_) {
      const std::uint64_t now = now_ns();
      for (std::uint32_t slot = 0; slot < options_.depth; ++slot) {
        connection.sent_ns[slot] = now;
        connection.wire.request(slot, connection.out);
      }
      if (!flush(connection)) return std::unexpected("the first hop closed the connection");
    }
    while (!measurement.over(now_ns())) {
      if (auto turned = turn(measurement); !turned) return std::unexpected(turned.error());
    }
    return measurement.to_json(program);
  }

 private:
  static constexpr std::size_t kInputBytes = std::size_t{256} << 10;  // One read at most.
  static constexpr int kStallMs = 5000;  // No answer for this long ends the run with an error.

  struct Connection {
    explicit Connection(const LoadOptions& options)
        : wire(options), sent_ns(options.depth), in(kInputBytes) {}
    Descriptor socket;
    Wire wire;
    std::vector<std::uint64_t> sent_ns;  // By slot.
    std::vector<std::byte> in;
    std::size_t in_used = 0;
    Batch out;
  };

  std::expected<void, std::string> open_all() {
    epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
    connections_.reserve(options_.connections);
    for (std::uint32_t index = 0; index < options_.connections; ++index) {
      auto socket = connect_to(options_.url);
      if (!socket) return std::unexpected(socket.error());
      Connection& connection = connections_.emplace_back(options_);
      connection.socket = std::move(*socket);
      auto opened = connection.wire.open(connection.socket.get(), index);
      if (!opened) return opened;
      epoll_event event{.events = EPOLLIN, .data = {.u32 = index}};
      if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.socket.get(), &event) != 0) {
        return std::unexpected("epoll refuses the socket");
      }
    }
    return {};
  }

  std::expected<void, std::string> turn(Measurement& measurement) {
    std::array<epoll_event, 128> events;
    const int ready =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), kStallMs);
    if (ready == 0) return std::unexpected(fmt::format("no answer for {} ms", kStallMs));
    for (int at = 0; at < ready; ++at) {
      Connection& connection = connections_[events[static_cast<std::size_t>(at)].data.u32];
      auto served = serve(connection, measurement);
      if (!served) return served;
    }
    return {};
  }

  std::expected<void, std::string> serve(Connection& connection, Measurement& measurement) {
    const std::span<std::byte> room = std::span(connection.in).subspan(connection.in_used);
    const ssize_t got = read_some(connection.socket.get(), room);
    if (got <= 0) return std::unexpected("the first hop closed the connection");
    connection.in_used += static_cast<std::size_t>(got);
    const std::uint64_t now = now_ns();
    auto taken = connection.wire.answers(std::span(connection.in).first(connection.in_used),
                                         connection.out, [&](std::uint32_t slot) {
                                           measurement.answered(connection.sent_ns[slot], now);
                                           connection.sent_ns[slot] = now;
                                           connection.wire.request(slot, connection.out);
                                         });
    if (!taken) return std::unexpected(taken.error());
    connection.in_used -= *taken;
    std::memmove(connection.in.data(), connection.in.data() + *taken, connection.in_used);
    if (!flush(connection)) return std::unexpected("the first hop closed the connection");
    return {};
  }

  static bool flush(Connection& connection) {
    const bool written = write_all(connection.socket.get(), connection.out.pending());
    connection.out.clear();
    return written;
  }

  LoadOptions options_;
  Descriptor epoll_;
  std::vector<Connection> connections_;
};

}  // namespace valkyrie::bench
