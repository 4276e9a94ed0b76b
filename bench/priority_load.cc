// What critical calls take beside bulk, and what one reader that has stalled costs a hundred
// others; against a running node whose ceiling for this user is critical. bench/priority starts all
// of it.
#include <charconv>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include "bench/load.h"
#include "bench/socket.h"
#include "protocol/buffer_pool.h"
#include "protocol/frame.h"
#include "protocol/metadata.h"
#include "tools/histogram.h"
#include "transport/connection.h"
#include "transport/reactor.h"

namespace valkyrie::bench {
namespace {

using protocol::Event;
using protocol::EventType;
using protocol::QosClass;

// Calls of one kind that a client keeps under way.
struct Calls {
  QosClass qos_class = QosClass::data;
  std::size_t bytes = 64;
  int depth = 1;
};

struct Wanted {
  std::string url;
  std::string service = "valkyrie.Node";
  std::string method = "Echo";
  Calls bulk{.qos_class = QosClass::telemetry, .bytes = 16'384, .depth = 32};
  double time_s = 3.0;
  std::string mode = "critical";
};

// A client whose calls are closed loops, each on a stream of its own.
class Client final : public transport::ConnectionHandler {
 public:
  Client(transport::Reactor& reactor, protocol::BufferPool& pool, const Wanted& wanted)
      : wanted_(wanted) {
    auto socket = connect_to(wanted.url);
    if (!socket) {
      fmt::print(stderr, "{}\n", socket.error());
      return;
    }
    transport::Socket own(::dup(socket->get()));
    transport::tune_stream(own.fd(), {});
    connection_ = std::make_unique<transport::Connection>(
        reactor, std::move(own), protocol::Role::dialer, protocol::SessionConfig{}, pool, *this);
    if (!connection_->start()) connection_.reset();
  }

  [[nodiscard]] bool connected() const { return connection_ != nullptr; }
  // From the hello on it calls; latencies are counted while `counting`.
  void add(const Calls& calls) {
    loops_.push_back({.calls = calls});
    if (ready_) start(loops_.size() - 1);
  }
  // What is under way ends, and nothing follows.
  void stop() { stopped_ = true; }

  bool counting = false;
  tools::Histogram critical;
  std::uint64_t bulk_calls = 0;
  std::uint64_t failed = 0;
  bool closed = false;

 private:
  struct Loop {
    Calls calls;
    std::uint32_t stream = 0;
  };
  static constexpr std::uint64_t kLoopBits = 8;

  void start(std::size_t index) {
    Loop& loop = loops_[index];
    std::array<std::byte, 512> buffer;
    protocol::MetadataWriter writer(buffer);
    writer.service(wanted_.service);
    writer.method(wanted_.method);
    const auto qos = protocol::qos_byte(loop.calls.qos_class, protocol::kUrgencyDefault);
    const auto stream = connection_->session().open_stream(
        protocol::StreamKind::call, 0, {.metadata = *writer.finish(), .qos = qos}, 0);
    if (!stream) {
      ++failed;
      return;
    }
    loop.stream = *stream;
    for (int i = 0; i < loop.calls.depth; ++i) ask(index);
  }
  void ask(std::size_t index) {
    const Loop& loop = loops_[index];
    payload_.resize(std::max(payload_.size(), loop.calls.bytes));
    const auto qos = protocol::qos_byte(loop.calls.qos_class, protocol::kUrgencyDefault);
    if (!connection_->session().send_request(
            loop.stream, {.payload = std::span(payload_).first(loop.calls.bytes),
                          .qos = qos,
                          .cookie = now_ns() << kLoopBits | index})) {
      ++failed;
    }
  }

  void on_event(transport::Connection& connection, const Event& event) override {
    if (event.type == EventType::ready) {
      ready_ = true;
      for (std::size_t i = 0; i < loops_.size(); ++i) start(i);
    }
    if (event.type == EventType::request_failed) ++failed;
    if (event.type != EventType::response) return;
    connection.session().consume(event.stream, event.cost);
    const std::size_t index = event.cookie & ((1U << kLoopBits) - 1);
    if (event.metadata.status()) ++failed;
    if (counting) {
      if (loops_[index].calls.qos_class == QosClass::critical) {
        critical.record(now_ns() - (event.cookie >> kLoopBits));
      } else {
        ++bulk_calls;
      }
    }
    if (!stopped_) ask(index);
  }
  void on_closed(transport::Connection&, const transport::CloseReason&) override { closed = true; }

  const Wanted& wanted_;
  std::vector<Loop> loops_;
  std::vector<std::byte> payload_;
  std::unique_ptr<transport::Connection> connection_;
  bool ready_ = false;
  bool stopped_ = false;
};

struct Bench {
  explicit Bench(const Wanted& its_wanted) : wanted(its_wanted) {}

  const Wanted& wanted;
  std::unique_ptr<transport::Reactor> reactor = std::move(transport::Reactor::create().value());
  protocol::BufferPool pool;

  void turn_for(double seconds) {
    const std::uint64_t end = now_ns() + static_cast<std::uint64_t>(seconds * 1e9);
    for (std::uint64_t now = now_ns(); now < end; now = now_ns()) {
      reactor->turn(protocol::Duration(static_cast<std::int64_t>(end - now)));
    }
  }
};

double us(std::uint64_t ns) { return static_cast<double>(ns) / 1000.0; }

// One setting: critical calls on a connection, and bulk there, elsewhere, or nowhere.
struct Figures {
  double p50 = 0;
  double p99 = 0;
  double bulk_bytes_per_s = 0;
  std::uint64_t failed = 0;
};

Figures measure(Bench& bench, bool with_bulk, bool same) {
  const Wanted& wanted = bench.wanted;
  Client caller(*bench.reactor, bench.pool, wanted);
  Client other(*bench.reactor, bench.pool, wanted);
  if (!caller.connected() || !other.connected()) std::exit(1);
  caller.add({.qos_class = QosClass::critical});
  Client& loaded = same ? caller : other;
  constexpr int kStreams = 8;
  if (with_bulk) {
    Calls each = wanted.bulk;
    each.depth = std::max(1, each.depth / kStreams);
    for (int i = 0; i < kStreams; ++i) loaded.add(each);
  }
  bench.turn_for(0.5);
  caller.counting = other.counting = true;
  bench.turn_for(wanted.time_s);
  const auto bytes = static_cast<double>(loaded.bulk_calls * wanted.bulk.bytes);
  return {.p50 = us(caller.critical.value_at_ns(0.5)),
          .p99 = us(caller.critical.value_at_ns(0.99)),
          .bulk_bytes_per_s = bytes / wanted.time_s,
          .failed = caller.failed + other.failed};
}

int run_critical(const Wanted& wanted) {
  Bench bench(wanted);
  const Figures idle = measure(bench, false, true);
  fmt::print("{:<18} p50 {:8.1f} us  p99 {:8.1f} us\n", "alone", idle.p50, idle.p99);
  std::uint64_t failed = idle.failed;
  for (const bool same : {true, false}) {
    const Figures beside = measure(bench, true, same);
    failed += beside.failed;
    fmt::print(
        "{:<18} p50 {:8.1f} us  p99 {:8.1f} us  {:.2f} of the idle p99, beside {:.0f} MB/s\n",
        same ? "same connection" : "other connection", beside.p50, beside.p99,
        beside.p99 / idle.p99, beside.bulk_bytes_per_s / 1e6);
  }
  if (failed > 0) fmt::print(stderr, "{} calls failed\n", failed);
  return failed == 0 ? 0 : 1;
}

// A hundred callers; then one of them asks for much and reads nothing.
int run_stalled(const Wanted& wanted) {
  Bench bench(wanted);
  std::vector<std::unique_ptr<Client>> callers;
  for (int i = 0; i < 99; ++i) {
    callers.push_back(std::make_unique<Client>(*bench.reactor, bench.pool, wanted));
    if (!callers.back()->connected()) return 1;
    callers.back()->add({.qos_class = QosClass::data, .bytes = 1024, .depth = 4});
  }
  const auto rate = [&] {
    for (auto& caller : callers) {
      caller->counting = true;
      caller->bulk_calls = 0;
    }
    bench.turn_for(wanted.time_s);
    std::uint64_t calls = 0;
    for (const auto& caller : callers) calls += caller->bulk_calls;
    return static_cast<double>(calls) / wanted.time_s;
  };
  bench.turn_for(1.0);
  const double before = rate();
  // It has a reactor of its own, which turns for a moment and then never again.
  Bench frozen(wanted);
  Client stalled(*frozen.reactor, frozen.pool, wanted);
  if (!stalled.connected()) return 1;
  for (int i = 0; i < 32; ++i) stalled.add({.bytes = 16'384, .depth = 64});
  frozen.turn_for(0.02);
  const double beside = rate();
  fmt::print("99 callers: {:.0f} calls/s alone, {:.0f} beside one that does not read: {:.3f}\n",
             before, beside, beside / before);
  return 0;
}

bool take_option(Wanted& wanted, std::string_view name, const std::string& value) {
  const auto number = [&](auto& into) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), into);
    return error == std::errc() && end == value.data() + value.size() && into > 0;
  };
  if (name == "--url") return !(wanted.url = value).empty();
  if (name == "--mode") return (wanted.mode = value) == "critical" || value == "stalled";
  if (name == "--time") return number(wanted.time_s);
  if (name == "--bulk-size") return number(wanted.bulk.bytes);
  if (name == "--bulk-depth") return number(wanted.bulk.depth);
  if (name == "--target") {
    const std::size_t slash = value.find('/');
    if (slash == std::string::npos) return false;
    wanted.service = value.substr(0, slash);
    wanted.method = value.substr(slash + 1);
    return true;
  }
  return false;
}

int run(int argc, char** argv) {
  Wanted wanted;
  for (int at = 1; at < argc; at += 2) {
    if (at + 1 < argc && take_option(wanted, argv[at], argv[at + 1])) continue;
    fmt::print(stderr,
               "{}: bad option {}; usage: --url URL [--mode critical|stalled] [--target "
               "SERVICE/METHOD] [--time SECONDS] [--bulk-size BYTES] [--bulk-depth N]\n",
               argv[0], argv[at]);
    return 2;
  }
  if (wanted.url.empty()) {
    fmt::print(stderr, "{}: --url is missing\n", argv[0]);
    return 2;
  }
  return wanted.mode == "critical" ? run_critical(wanted) : run_stalled(wanted);
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::run(argc, argv); }
