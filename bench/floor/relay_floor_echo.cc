// The service end of the floor: dials the relay and sends every request back where it lies in
// memory, one epoll_wait, one read and one write for whatever arrived together.

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <span>
#include <sys/epoll.h>
#include <vector>

#include "bench/floor/frame.h"
#include "bench/load.h"
#include "bench/socket.h"

namespace valkyrie::bench {
namespace {

constexpr std::size_t kInputBytes = std::size_t{256} << 10;

// Registers with the relay; false when it does not answer with kFloorServing.
bool register_with_relay(int fd) {
  std::array<std::byte, kFloorHeaderBytes> frame{};
  encode_floor_header(frame.data(),
                      {.type = kFloorServe, .stream_id = 0, .body_bytes = 0, .correlation_id = 0});
  if (!write_all(fd, frame)) return false;
  std::size_t used = 0;
  while (used < frame.size()) {
    const ssize_t got = read_some(fd, std::span(frame).subspan(used));
    if (got <= 0) return false;
    used += static_cast<std::size_t>(got);
  }
  FloorHeader header{};
  return decode_floor_header(frame.data(), header) && header.type == kFloorServing;
}

// Echoes until the relay goes away; false when it sends something else than frames.
bool echo(int fd) {
  const Descriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) return false;
  std::vector<std::byte> in(kInputBytes);
  std::size_t used = 0;
  for (;;) {
    if (::epoll_wait(epoll.get(), &event, 1, -1) < 0) continue;
    const ssize_t got = read_some(fd, std::span(in).subspan(used));
    if (got <= 0) return true;
    used += static_cast<std::size_t>(got);
    const std::ptrdiff_t taken = for_each_floor_frame(
        std::span(in).first(used),
        [](const FloorHeader&, std::byte* frame) { frame[3] = std::byte{kFloorResponse}; });
    if (taken < 0) return false;
    const auto whole = std::span(in).first(static_cast<std::size_t>(taken));
    if (!write_all(fd, whole)) return true;
    used -= whole.size();
    std::memmove(in.data(), in.data() + whole.size(), used);
  }
}

int echo_main(int argc, const char* const* argv) {
  const auto url = parse_url_option(argc, argv);
  if (!url) {
    fmt::print(stderr, "{}\n", url.error());
    return 2;
  }
  const auto socket = connect_to(*url);
  if (!socket || !register_with_relay(socket->get())) {
    fmt::print(stderr, "relay_floor_echo: {}\n",
               socket ? "the relay does not answer" : socket.error());
    return 1;
  }
  fmt::print("ready\n");
  std::fflush(stdout);
  return echo(socket->get()) ? 0 : 1;
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::echo_main(argc, argv); }
