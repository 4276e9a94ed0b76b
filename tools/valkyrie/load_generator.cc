#include "tools/valkyrie/load_generator.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "tools/valkyrie/load_clock.h"
#include "tools/valkyrie/loop_thread.h"

namespace valkyrie::tools {

namespace {

// The calls of one connection. Its members belong to the client's loop, but for what is atomic.
class Lane {
 public:
  Lane(Client client, const LoadOptions& options, const Window& window)
      : client_(std::move(client)),
        method_(client_.method(options.target, options.call)),
        body_(options.size, 'x'),
        closed_loop_(options.rate == 0),
        window_(window) {}

  // Starts a call that counts from `from_ns` on. Any thread.
  void start(std::uint64_t from_ns) {
    in_flight_.fetch_add(1, std::memory_order_relaxed);
    method_.call(body_).then(
        [this, from_ns](Result<BytesView> reply) { on_reply(from_ns, reply); });
  }

  // Calls not answered yet.
  [[nodiscard]] std::uint32_t in_flight() const {
    return in_flight_.load(std::memory_order_relaxed);
  }

  // Waits for the last answer and adds what was counted.
  void finish(LoadResult& result) {
    client_.close();
    result.latency.merge(latency_);
    result.calls += latency_.count();
    result.errors += errors_;
    if (!result.first_error) result.first_error = first_error_;
  }

 private:
  void on_reply(std::uint64_t from_ns, const Result<BytesView>& reply) {
    const std::uint64_t now = now_ns();
    if (reply) {
      if (from_ns >= window_.begin_ns && now < window_.end_ns) latency_.record(now - from_ns);
    } else {
      ++errors_;  // In the warm-up too: it lowers the depth for the rest.
      if (!first_error_) first_error_ = reply.error();
    }
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    // A refusal comes back at once: going on would only measure how fast it is.
    if (closed_loop_ && now < window_.end_ns && reply) start(now);
  }

  Client client_;
  Method method_;
  std::string body_;
  bool closed_loop_;
  const Window& window_;
  std::atomic<std::uint32_t> in_flight_{0};
  Histogram latency_;
  std::uint64_t errors_ = 0;
  std::optional<Status> first_error_;
};

using Lanes = std::vector<std::unique_ptr<Lane>>;

// Starts calls on schedule; those that found no place are counted, never quietly left out.
void pace(const LoadOptions& options, const Window& window, Lanes& lanes, LoadResult& result) {
  const double step_ns = 1e9 / options.rate;
  double due_ns = static_cast<double>(now_ns());
  for (std::size_t i = 0; due_ns < static_cast<double>(window.end_ns); ++i, due_ns += step_ns) {
    const auto due = static_cast<std::uint64_t>(due_ns);
    if (due > now_ns()) sleep_until_ns(due);
    Lane& lane = *lanes[i % lanes.size()];
    if (lane.in_flight() < options.depth) {
      lane.start(due);
    } else if (due >= window.begin_ns) {
      ++result.missed;
    }
  }
}

std::expected<Lanes, int> open_lanes(const Globals& globals, const LoadOptions& options,
                                     Loops& loops, const Window& window) {
  Lanes lanes;
  for (std::uint32_t i = 0; i < options.connections; ++i) {
    auto client = connect(globals, &loops[i % loops.size()]->loop());
    if (!client) return std::unexpected(client.error());
    // The first call binds, and tells at once what would fail a million times.
    const auto probe =
        client->call(options.target, std::string(options.size, 'x'), options.call).wait();
    if (!probe) return std::unexpected(report(probe.error()));
    lanes.push_back(std::make_unique<Lane>(std::move(*client), options, window));
  }
  return lanes;
}

}  // namespace

std::expected<LoadResult, int> generate_load(const Globals& globals, const LoadOptions& options) {
  Window window;
  auto loops = start_loops(std::min(options.loops, options.connections));
  if (!loops) return std::unexpected(loops.error());
  auto opened = open_lanes(globals, options, *loops, window);
  if (!opened) return std::unexpected(opened.error());
  Lanes& lanes = *opened;
  LoadResult result;
  const std::uint64_t start = now_ns();
  window.begin_ns = start + static_cast<std::uint64_t>(options.warmup.count());
  window.end_ns = window.begin_ns + static_cast<std::uint64_t>(options.time.count());
  if (options.rate > 0) {
    pace(options, window, lanes, result);
  } else {
    for (const auto& lane : lanes) {
      for (std::uint32_t i = 0; i < options.depth; ++i) lane->start(now_ns());
    }
    sleep_until_ns(window.end_ns);
  }
  for (const auto& lane : lanes) lane->finish(result);
  result.seconds = static_cast<double>(options.time.count()) / 1e9;
  return result;
}

}  // namespace valkyrie::tools
