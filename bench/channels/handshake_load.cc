// Opens sessions to a node at a steady rate, each with a whole handshake, and closes each when it
// has had its hello. One thread, one reactor.
//
//   handshake_load --url URL --channel noise:KEY|tls:FOLDER --rate N
//
// Says `ready` once the first has had its hello. At the end of its standard input it says
// `{"sessions": N, "failed": N, "seconds": S}` and ends. What cannot be begun in time, since too
// many are under way, is not made up for: the figures tell the rate there was.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fmt/format.h>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unistd.h>

#include "bench/channels/dialing.h"
#include "bench/load.h"
#include "bench/socket.h"
#include "protocol/buffer_pool.h"
#include "protocol/session.h"
#include "transport/connection.h"
#include "transport/reactor.h"

namespace valkyrie::bench {
namespace {

constexpr std::size_t kUnderWayMax = 256;

struct Counts {
  std::uint64_t sessions = 0;
  std::uint64_t failed = 0;
};

class Session final : public transport::ConnectionHandler {
 public:
  Session(transport::Reactor& reactor, protocol::BufferPool& pool, transport::Socket socket,
          std::unique_ptr<protocol::Channel> channel, Counts& counts)
      : counts_(counts),
        connection_(reactor, std::move(socket), protocol::Role::dialer, protocol::SessionConfig{},
                    pool, *this, {}, nullptr, std::move(channel)) {}

  [[nodiscard]] bool start() { return connection_.start().has_value(); }
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  void on_event(transport::Connection& connection, const protocol::Event& event) override {
    if (event.type != protocol::EventType::ready) return;
    ready_ = true;
    ++counts_.sessions;
    connection.session().close(protocol::CloseCode::none);
  }
  void on_closed(transport::Connection&, const transport::CloseReason&) override {
    if (!ready_) ++counts_.failed;
    closed_ = true;
  }

  Counts& counts_;
  bool ready_ = false;
  bool closed_ = false;
  transport::Connection connection_;
};

// The end of the standard input.
class Input final : public transport::ReadinessHandler {
 public:
  explicit Input(transport::Reactor& reactor) : reactor_(reactor) {
    watched_ = reactor.add(STDIN_FILENO, *this, transport::Interest::read).has_value();
  }
  ~Input() {
    if (watched_) reactor_.remove(STDIN_FILENO);
  }
  [[nodiscard]] bool ended() const { return ended_ || !watched_; }

 private:
  void on_ready(transport::Ready) override {
    char byte = 0;
    ended_ = ::read(STDIN_FILENO, &byte, 1) <= 0;
  }

  transport::Reactor& reactor_;
  bool watched_ = false;
  bool ended_ = false;
};

class Load {
 public:
  Load(std::string url, std::unique_ptr<ChannelDialer> dialer, double rate)
      : url_(std::move(url)),
        dialer_(std::move(dialer)),
        between_ns_(static_cast<std::uint64_t>(1e9 / rate)),
        reactor_(std::move(transport::Reactor::create().value())) {}

  // Until the input ends; false if the node cannot be reached.
  bool run() {
    const Input input(*reactor_);
    const std::uint64_t begin = now_ns();
    bool said = false;
    for (std::uint64_t due = begin; !input.ended();) {
      const std::uint64_t now = now_ns();
      if (now >= due) {
        if (sessions_.size() < kUnderWayMax && !open_one()) return false;
        due += between_ns_;
        continue;
      }
      reactor_->turn(protocol::Duration(static_cast<std::int64_t>(due - now)));
      sessions_.remove_if([](const Session& session) { return session.closed(); });
      if (!said && counts_.sessions > 0) say("ready");
      said = said || counts_.sessions > 0;
    }
    say(fmt::format(R"({{"sessions": {}, "failed": {}, "seconds": {:.3f}}})", counts_.sessions,
                    counts_.failed, static_cast<double>(now_ns() - begin) / 1e9));
    return true;
  }

 private:
  bool open_one() {
    auto socket = connect_to(url_);
    if (!socket) {
      fmt::print(stderr, "handshake_load: {}\n", socket.error());
      return false;
    }
    transport::Socket own(::dup(socket->get()));
    transport::tune_stream(own.fd(), {});
    sessions_.emplace_back(*reactor_, pool_, std::move(own), dialer_->dial(), counts_);
    return sessions_.back().start();
  }
  static void say(const std::string& line) {
    fmt::print("{}\n", line);
    static_cast<void>(std::fflush(stdout));
  }

  const std::string url_;
  const std::unique_ptr<ChannelDialer> dialer_;
  const std::uint64_t between_ns_;
  const std::unique_ptr<transport::Reactor> reactor_;
  protocol::BufferPool pool_;
  Counts counts_;
  std::list<Session> sessions_;
};

int run(int argc, char** argv) {
  std::string url;
  std::string channel = "none";
  double rate = 0;
  for (int at = 1; at + 1 < argc; at += 2) {
    const std::string_view name = argv[at];
    const std::string_view value = argv[at + 1];
    if (name == "--url") url = value;
    if (name == "--channel") channel = value;
    if (name == "--rate") std::from_chars(value.begin(), value.end(), rate);
  }
  if (url.empty() || !(rate > 0)) {
    fmt::print(stderr, "usage: {} --url URL --rate N [--channel none|noise:KEY|tls:FOLDER]\n",
               argv[0]);
    return 2;
  }
  auto dialer = ChannelDialer::make(channel);
  if (!dialer) {
    fmt::print(stderr, "handshake_load: {}\n", dialer.error());
    return 2;
  }
  Load load(std::move(url), std::move(*dialer), rate);
  return load.run() ? 0 : 1;
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::run(argc, argv); }
