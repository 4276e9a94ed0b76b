// Holds many live sessions to a node: opens them from one source address, keeps them answering
// keepalives, and calls over a sample of them when told to. One thread, one reactor.
//
//   connection_load --url URL --count N [--source IPV4] [--channel noise:KEY|tls:FOLDER]
//
// Says `{"opened": N, ...}` once all have had their hello. Then each line of standard input is a
// command, answered by one line of JSON: `calls K` makes one call on each of K sessions spread over
// all, `census` counts who is left. The end of the input ends the program.

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <expected>
#include <fmt/format.h>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "bench/channels/dialing.h"
#include "protocol/buffer_pool.h"
#include "protocol/metadata.h"
#include "protocol/session.h"
#include "tools/histogram.h"
#include "transport/address.h"
#include "transport/connection.h"
#include "transport/reactor.h"

namespace valkyrie::bench {
namespace {

using protocol::Duration;
using transport::Socket;

// Sessions that have not had their hello at any time: below what a node's listener queues.
constexpr std::size_t kHelloWindow = 64;
// No progress for this long ends the program with an error.
constexpr Duration kStall = std::chrono::seconds{30};
// More than one in so many refused: the node does not want them.
constexpr std::size_t kRefusedShareMax = 10;
constexpr std::string_view kPayload = "are you still there?";

struct Options {
  std::string url;
  std::string source;  // Empty: the system chooses.
  std::string channel;
  std::uint32_t count = 0;
};

// What all sessions share.
struct Sample {
  std::size_t ready = 0;
  std::size_t refused = 0;  // Closed before their hello.
  std::size_t closed = 0;   // After it.
  std::size_t answered = 0;
  std::size_t failed = 0;
  tools::Histogram latency;
};

class Session final : public transport::ConnectionHandler {
 public:
  Session(transport::Reactor& reactor, protocol::BufferPool& pool,
          const protocol::SharedSessionConfig& config, Sample& sample, Socket socket,
          std::unique_ptr<protocol::Channel> channel)
      : sample_(sample),
        connection_(reactor, std::move(socket), protocol::Role::dialer, config, pool, *this, {},
                    nullptr, std::move(channel)) {}

  [[nodiscard]] bool start() { return connection_.start().has_value(); }
  [[nodiscard]] bool open() const { return !closed_; }

  // One call, over a stream that ends with it. False: not sent.
  [[nodiscard]] bool call() {
    std::array<std::byte, 256> buffer;
    protocol::MetadataWriter writer(buffer);
    writer.service("valkyrie.Node");
    writer.method("Echo");
    const auto metadata = writer.finish();
    protocol::Session& session = connection_.session();
    const auto stream =
        session.open_stream(protocol::StreamKind::call, 0, {.metadata = *metadata}, 0);
    if (!stream) return false;
    called_at_ = transport::monotonic_now();
    const auto sent =
        session.send_request(*stream, {.payload = std::as_bytes(std::span(kPayload))});
    return sent.has_value() && session.send_end(*stream, {}).has_value();
  }

 private:
  void on_event(transport::Connection& connection, const protocol::Event& event) override {
    switch (event.type) {
      case protocol::EventType::ready:
        ++sample_.ready;
        ready_ = true;
        break;
      case protocol::EventType::response: {
        const bool echoed =
            event.payload.size() == kPayload.size() &&
            std::memcmp(event.payload.data(), kPayload.data(), kPayload.size()) == 0;
        ++(echoed ? sample_.answered : sample_.failed);
        const auto took = transport::monotonic_now() - called_at_;
        sample_.latency.record(static_cast<std::uint64_t>(took.count()));
        connection.session().consume(event.stream, event.cost);
        break;
      }
      case protocol::EventType::request_failed:
        ++sample_.failed;
        break;
      default:
        break;
    }
  }
  void on_closed(transport::Connection&, const transport::CloseReason& reason) override {
    if (sample_.closed + sample_.refused == 0) {
      fmt::print(stderr, "connection_load: the first session closed: {}\n", to_string(reason));
    }
    ++(ready_ ? sample_.closed : sample_.refused);
    closed_ = true;
  }

  Sample& sample_;
  protocol::Instant called_at_{};
  bool ready_ = false;
  bool closed_ = false;
  transport::Connection connection_;
};

std::expected<Socket, std::string> failed(std::string_view what) {
  return std::unexpected(fmt::format("{}: {}", what, std::strerror(errno)));
}

// Binds a socket to an address of this machine. The port is chosen at connect(2): only the four
// numbers of a connection together have to be new.
bool bind_source(int fd, const std::string& source) {
  const int on = 1;
  sockaddr_in from{};
  from.sin_family = AF_INET;
  ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  return ::inet_pton(AF_INET, source.c_str(), &from.sin_addr) == 1 &&
         ::bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0;
}

std::expected<Socket, std::string> dial(const transport::SocketAddress& to,
                                        const std::string& source) {
  Socket socket(::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return failed("socket");
  if (!source.empty() && !bind_source(socket.fd(), source)) return failed("bind " + source);
  if (::connect(socket.fd(), to.get(), to.size) != 0) return failed("connect");
  transport::tune_stream(socket.fd(), {});
  return socket;
}

class Load {
 public:
  Load(Options options, const transport::SocketAddress& address,
       std::unique_ptr<transport::Reactor> reactor, std::unique_ptr<ChannelDialer> dialer)
      : options_(std::move(options)),
        address_(address),
        reactor_(std::move(reactor)),
        dialer_(std::move(dialer)) {}

  std::expected<void, std::string> open_all() {
    const protocol::Instant begin = transport::monotonic_now();
    sessions_.reserve(options_.count);
    while (sample_.ready < options_.count) {
      // One that was refused, on a machine that has no time to listen, is dialled again.
      std::erase_if(sessions_, [](const auto& session) { return !session->open(); });
      if (sample_.refused > options_.count / kRefusedShareMax) return stalled();
      while (sessions_.size() < options_.count) {
        if (auto opened = open_one(); !opened) {
          return std::unexpected(fmt::format("session {}: {}", sessions_.size(), opened.error()));
        }
        if (!wait_for_hello(kHelloWindow)) return stalled();
      }
      if (!wait_for_hello(1)) return stalled();
    }
    say(fmt::format(R"("opened": {}, "redialled": {}, "seconds": {:.3f})", sample_.ready,
                    sample_.refused, seconds_since(begin)));
    return {};
  }

  // Serves the sessions and the commands until the input ends.
  std::expected<void, std::string> serve() {
    std::array<char, 256> input;
    std::string line;
    transport::Reactor& reactor = *reactor_;
    Input waiting(reactor);
    if (!waiting.start()) return std::unexpected("cannot watch the standard input");
    while (true) {
      reactor.turn(Duration{-1});
      if (!std::exchange(waiting.readable, false)) continue;
      const ssize_t size = ::read(STDIN_FILENO, input.data(), input.size());
      if (size <= 0) return {};
      line.append(input.data(), static_cast<std::size_t>(size));
      for (std::size_t end = line.find('\n'); end != std::string::npos; end = line.find('\n')) {
        const std::string command = line.substr(0, end);
        line.erase(0, end + 1);
        if (auto done = obey(command); !done) return done;
      }
    }
  }

 private:
  struct Input final : transport::ReadinessHandler {
    explicit Input(transport::Reactor& its_reactor) : reactor(its_reactor) {}
    ~Input() {
      if (watched) reactor.remove(STDIN_FILENO);
    }
    bool start() {
      watched = reactor.add(STDIN_FILENO, *this, transport::Interest::read).has_value();
      return watched;
    }
    void on_ready(transport::Ready) override { readable = true; }

    transport::Reactor& reactor;
    bool watched = false;
    bool readable = false;
  };

  std::expected<void, std::string> open_one() {
    auto socket = dial(address_, options_.source);
    if (!socket) return std::unexpected(socket.error());
    auto session = std::make_unique<Session>(*reactor_, pool_, config_, sample_, std::move(*socket),
                                             dialer_->dial());
    if (!session->start()) return std::unexpected("cannot watch the socket");
    sessions_.push_back(std::move(session));
    ++dialled_;
    return {};
  }

  // Turns until fewer than `window` sessions wait for their hello.
  bool wait_for_hello(std::size_t window) {
    return turn_until(
        [this, window] { return dialled_ - sample_.ready - sample_.refused < window; });
  }

  template <class Done>
  bool turn_until(Done done) {
    const protocol::Instant end = transport::monotonic_now() + kStall;
    while (!done()) {
      const Duration left = end - transport::monotonic_now();
      if (left <= Duration::zero()) return false;
      reactor_->turn(left);
    }
    return true;
  }

  std::expected<void, std::string> obey(std::string_view command) {
    if (command == "census") {
      say(fmt::format(R"("open": {}, "closed": {})", sessions_.size() - sample_.closed,
                      sample_.closed));
      return {};
    }
    std::size_t count = 0;
    if (command.starts_with("calls ")) {
      const std::string_view number = command.substr(6);
      std::from_chars(number.data(), number.data() + number.size(), count);
    }
    if (count == 0 || count > sessions_.size()) {
      return std::unexpected(fmt::format("no such command: {}", command));
    }
    return call_over(count);
  }

  // A window of calls at a time: what is measured is that all answer, not how many at once.
  std::expected<void, std::string> call_over(std::size_t count) {
    const protocol::Instant begin = transport::monotonic_now();
    sample_.answered = sample_.failed = 0;
    sample_.latency = {};
    std::size_t sent = 0;
    const double step = static_cast<double>(sessions_.size()) / static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i) {
      Session& session = *sessions_[static_cast<std::size_t>(static_cast<double>(i) * step)];
      if (session.open() && session.call()) {
        ++sent;
      } else {
        ++sample_.failed;
      }
      const auto in_window = [&] {
        return sent < sample_.answered + sample_.failed + kHelloWindow;
      };
      if (!turn_until(in_window)) return stalled();
    }
    if (!turn_until([&] { return sample_.answered + sample_.failed >= count; })) return stalled();
    say(fmt::format(
        R"("calls": {}, "errors": {}, "p50_us": {:.1f}, "p99_us": {:.1f}, "seconds": {:.3f})",
        sample_.answered, sample_.failed, us(0.5), us(0.99), seconds_since(begin)));
    return {};
  }

  [[nodiscard]] double us(double quantile) const {
    return static_cast<double>(sample_.latency.value_at_ns(quantile)) / 1e3;
  }
  [[nodiscard]] static double seconds_since(protocol::Instant begin) {
    return std::chrono::duration<double>(transport::monotonic_now() - begin).count();
  }
  [[nodiscard]] std::unexpected<std::string> stalled() const {
    return std::unexpected(fmt::format(
        "no progress: {} of {} sessions ready, {} refused, {} closed, {} answers", sample_.ready,
        sessions_.size(), sample_.refused, sample_.closed, sample_.answered));
  }
  static void say(const std::string& fields) {
    fmt::print("{{{}}}\n", fields);
    std::fflush(stdout);
  }

  const Options options_;
  const transport::SocketAddress address_;
  const std::unique_ptr<transport::Reactor> reactor_;
  const std::unique_ptr<ChannelDialer> dialer_;
  protocol::BufferPool pool_;
  protocol::SharedSessionConfig config_;
  Sample sample_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::size_t dialled_ = 0;
};

std::expected<Options, std::string> parse(int argc, const char* const* argv) {
  Options options;
  for (int at = 1; at + 1 < argc; at += 2) {
    const std::string_view name = argv[at];
    const std::string_view value = argv[at + 1];
    if (name == "--url") options.url = value;
    if (name == "--source") options.source = value;
    if (name == "--channel") options.channel = value;
    if (name == "--count") {
      std::from_chars(value.data(), value.data() + value.size(), options.count);
    }
  }
  if (options.url.empty() || options.count == 0) {
    return std::unexpected(
        "usage: connection_load --url URL --count N [--source IPV4] "
        "[--channel noise:KEY|tls:FOLDER]");
  }
  return options;
}

int connection_load_main(int argc, const char* const* argv) {
  auto options = parse(argc, argv);
  if (!options) {
    fmt::print(stderr, "{}\n", options.error());
    return 2;
  }
  const auto address = transport::parse_address(options->url);
  const auto resolved = address ? transport::resolve(*address) : std::unexpected(address.error());
  auto reactor = transport::Reactor::create();
  if (!resolved || !reactor) {
    fmt::print(stderr, "connection_load: {}\n",
               resolved ? reactor.error().message() : resolved.error().message);
    return 2;
  }
  auto dialer = ChannelDialer::make(options->channel);
  if (!dialer) {
    fmt::print(stderr, "connection_load: {}\n", dialer.error());
    return 2;
  }
  Load load(std::move(*options), resolved->front(), std::move(*reactor), std::move(*dialer));
  auto done = load.open_all();
  if (done) done = load.serve();
  if (!done) fmt::print(stderr, "connection_load: {}\n", done.error());
  std::fflush(stderr);
  // Not one by one: the node sees all of them end at once, as when a machine goes away.
  ::_exit(done ? 0 : 1);
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::connection_load_main(argc, argv); }
