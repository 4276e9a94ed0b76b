// The loads of bench/priority, each a process of its own, against a running node whose ceiling for
// this user is critical: critical calls alone or beside bulk of their own connection, bulk,
// callers, and one that reads nothing. It prints JSON.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <string>
#include <string_view>
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
  std::string mode = "alone";
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

// Bulk is divided among streams, so that none stands behind its own window.
constexpr int kBulkStreams = 8;

void add_bulk(Client& client, const Wanted& wanted) {
  Calls each = wanted.bulk;
  each.depth = std::max(1, each.depth / kBulkStreams);
  for (int i = 0; i < kBulkStreams; ++i) client.add(each);
}

// Critical calls, one at a time; with bulk on the same connection, or without.
int run_critical(const Wanted& wanted, bool with_bulk) {
  Bench bench(wanted);
  Client caller(*bench.reactor, bench.pool, wanted);
  if (!caller.connected()) return 1;
  caller.add({.qos_class = QosClass::critical});
  if (with_bulk) add_bulk(caller, wanted);
  bench.turn_for(0.5);
  caller.counting = true;
  bench.turn_for(wanted.time_s);
  const auto bytes = static_cast<double>(caller.bulk_calls * wanted.bulk.bytes);
  fmt::print(
      "{{\"p50_us\": {:.1f}, \"p99_us\": {:.1f}, \"bulk_bytes_per_s\": {:.0f}, \"errors\": {}}}\n",
      us(caller.critical.value_at_ns(0.5)), us(caller.critical.value_at_ns(0.99)),
      bytes / wanted.time_s, caller.failed);
  return 0;
}

// Bulk until it is killed.
int run_bulk(const Wanted& wanted) {
  Bench bench(wanted);
  Client client(*bench.reactor, bench.pool, wanted);
  if (!client.connected()) return 1;
  add_bulk(client, wanted);
  bench.turn_for(0.5);
  fmt::print("ready\n");
  static_cast<void>(std::fflush(stdout));
  while (!client.closed) bench.turn_for(1.0);
  return 1;
}

// Ninety-nine callers in closed loops.
int run_callers(const Wanted& wanted) {
  Bench bench(wanted);
  std::vector<std::unique_ptr<Client>> callers;
  for (int i = 0; i < 99; ++i) {
    callers.push_back(std::make_unique<Client>(*bench.reactor, bench.pool, wanted));
    if (!callers.back()->connected()) return 1;
    callers.back()->add({.qos_class = QosClass::data, .bytes = 1024, .depth = 4});
  }
  bench.turn_for(0.5);
  for (const auto& caller : callers) caller->counting = true;
  bench.turn_for(wanted.time_s);
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;
  for (const auto& caller : callers) {
    calls += caller->bulk_calls;
    errors += caller->failed;
  }
  fmt::print("{{\"rate_per_s\": {:.0f}, \"errors\": {}}}\n",
             static_cast<double>(calls) / wanted.time_s, errors);
  return 0;
}

// Asks for 32 MiB, reads nothing, and waits to be killed.
int run_stalled(const Wanted& wanted) {
  Bench bench(wanted);
  Client stalled(*bench.reactor, bench.pool, wanted);
  if (!stalled.connected()) return 1;
  for (int i = 0; i < 32; ++i) stalled.add({.bytes = 16'384, .depth = 64});
  bench.turn_for(0.02);
  fmt::print("ready\n");
  static_cast<void>(std::fflush(stdout));
  ::pause();
  return 0;
}

int run_mode(const Wanted& wanted) {
  if (wanted.mode == "alone") return run_critical(wanted, /*with_bulk=*/false);
  if (wanted.mode == "beside") return run_critical(wanted, /*with_bulk=*/true);
  if (wanted.mode == "bulk") return run_bulk(wanted);
  if (wanted.mode == "callers") return run_callers(wanted);
  return run_stalled(wanted);
}

bool is_mode(std::string_view word) {
  constexpr std::string_view kModes[] = {"alone", "beside", "bulk", "callers", "stalled"};
  return std::ranges::find(kModes, word) != std::end(kModes);
}

bool take_option(Wanted& wanted, std::string_view name, const std::string& value) {
  const auto number = [&](auto& into) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), into);
    return error == std::errc() && end == value.data() + value.size() && into > 0;
  };
  if (name == "--url") return !(wanted.url = value).empty();
  if (name == "--mode") return is_mode(wanted.mode = value);
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
               "{}: bad option {}; usage: --url URL --mode alone|beside|bulk|callers|stalled "
               "[--target SERVICE/METHOD] [--time SECONDS] [--bulk-size BYTES] [--bulk-depth N]\n",
               argv[0], argv[at]);
    return 2;
  }
  if (wanted.url.empty()) {
    fmt::print(stderr, "{}: --url is missing\n", argv[0]);
    return 2;
  }
  return run_mode(wanted);
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::run(argc, argv); }
