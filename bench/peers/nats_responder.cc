// The service end of the NATS rows: answers every request on bench.echo with its payload, one read
// and one write for whatever arrived together.

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <span>
#include <string>
#include <vector>

#include "bench/batch.h"
#include "bench/load.h"
#include "bench/peers/nats_wire.h"
#include "bench/socket.h"

namespace valkyrie::bench {
namespace {

constexpr std::size_t kInputBytes = std::size_t{256} << 10;

// Answers until the server goes away; the error is one line for the user.
std::expected<void, std::string> respond(int fd) {
  std::vector<std::byte> in(kInputBytes);
  std::size_t used = 0;
  Batch out;
  for (;;) {
    const ssize_t got = read_some(fd, std::span(in).subspan(used));
    if (got <= 0) return {};
    used += static_cast<std::size_t>(got);
    const auto taken =
        for_each_nats_message(std::span(in).first(used), out, [&](const NatsMessage& message) {
          append_nats_publish(out, message.reply, "", message.payload);
        });
    if (!taken) return std::unexpected(taken.error());
    used -= *taken;
    std::memmove(in.data(), in.data() + *taken, used);
    if (!write_all(fd, out.pending())) return {};
    out.clear();
  }
}

int responder_main(int argc, const char* const* argv) {
  const auto url = parse_url_option(argc, argv);
  if (!url) {
    fmt::print(stderr, "{}\n", url.error());
    return 2;
  }
  const auto socket = connect_to(*url);
  auto done = socket ? open_nats(socket->get(), "bench.echo") : std::unexpected(socket.error());
  if (done) {
    fmt::print("ready\n");
    std::fflush(stdout);
    done = respond(socket->get());
  }
  if (!done) fmt::print(stderr, "nats_responder: {}\n", done.error());
  return done ? 0 : 1;
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::responder_main(argc, argv); }
