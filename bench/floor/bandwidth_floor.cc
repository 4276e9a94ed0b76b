// The floor of the bulk rows: blocks from one process to another over one stream socket, directly
// (`--connections 1`) or through one relay process (`--connections 2`, hops) that reads into a
// block and writes it. Each hop is one copy into the kernel and one out of it; no frames, no
// credit.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <fmt/format.h>
#include <poll.h>
#include <span>
#include <string>
#include <string_view>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "bench/load.h"
#include "bench/socket.h"

namespace valkyrie::bench {
namespace {

constexpr int kStallMs = 5000;

std::expected<Descriptor, std::string> accept_one(const Descriptor& listener) {
  pollfd ready{.fd = listener.get(), .events = POLLIN, .revents = 0};
  if (::poll(&ready, 1, kStallMs) != 1) return std::unexpected("nobody connects");
  Descriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (socket.get() < 0) return std::unexpected("accept failed");
  return socket;
}

// A process that ends with this one. `work` runs in it.
template <typename Work>
pid_t start(Work work) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  work();
  ::_exit(0);
}

// Writes blocks until the other end goes away.
void source(const std::string& url, std::size_t size) {
  const auto socket = connect_to(url);
  if (!socket) return;
  const std::vector<std::byte> block(size);
  while (write_all(socket->get(), block)) {
  }
}

// Copies what it reads to `url` until either end goes away.
void relay(const Descriptor& listener, const std::string& url, std::size_t size) {
  const auto from = accept_one(listener);
  const auto to = connect_to(url);
  if (!from || !to) return;
  std::vector<std::byte> block(size);
  for (ssize_t got = 1; got > 0;) {
    got = read_some(from->get(), block);
    if (got > 0 && !write_all(to->get(), std::span(block).first(static_cast<std::size_t>(got)))) {
      return;
    }
  }
}

// Takes blocks; the JSON result.
std::expected<std::string, std::string> sink(const Descriptor& listener, const LoadOptions& options,
                                             std::string_view program) {
  const auto socket = accept_one(listener);
  if (!socket) return std::unexpected(socket.error());
  std::vector<std::byte> block(options.size);
  const std::uint64_t begin = now_ns() + static_cast<std::uint64_t>(options.warmup_s * 1e9);
  const std::uint64_t end = begin + static_cast<std::uint64_t>(options.time_s * 1e9);
  std::uint64_t bytes = 0;
  for (std::uint64_t now = now_ns(); now < end; now = now_ns()) {
    const ssize_t got = read_some(socket->get(), block);
    if (got <= 0) return std::unexpected("the source has ended");
    if (now >= begin) bytes += static_cast<std::uint64_t>(got);
  }
  const double rate = static_cast<double>(bytes) / options.time_s;
  return fmt::format(R"({{"program": "{}", "hops": {}, "size": {}, "bytes_per_s": {:.0f}, )"
                     R"("messages_per_s": {:.1f}, "errors": 0}})",
                     program, options.connections, options.size, rate, rate / options.size);
}

// All of it, the children included.
class Bandwidth {
 public:
  explicit Bandwidth(LoadOptions options) : options_(std::move(options)) {}

  [[nodiscard]] std::expected<std::string, std::string> run(std::string_view program) {
    if (options_.connections > 2) return std::unexpected("--connections, the hops, are 1 or 2");
    const bool relayed = options_.connections == 2;
    const auto last = listen_on(options_.url);
    if (!last) return std::unexpected(last.error());
    std::string first_url = options_.url;
    std::vector<pid_t> children;
    if (relayed) {
      const bool tcp = options_.url.starts_with("tcp://");
      const auto first = listen_on(tcp ? "tcp://127.0.0.1:0" : options_.url + ".relay");
      if (!first) return std::unexpected(first.error());
      first_url = url_of(*first);
      children.push_back(start([&] { relay(*first, options_.url, options_.size); }));
    }
    children.push_back(start([&] { source(first_url, options_.size); }));
    auto result = sink(*last, options_, program);
    for (const pid_t child : children) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    return result;
  }

 private:
  const LoadOptions options_;
};

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) {
  using namespace valkyrie::bench;
  return load_main<Bandwidth>(argc, argv, "bandwidth_floor");
}
