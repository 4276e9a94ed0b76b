#include "tools/valkyrie/connect_load.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "tools/valkyrie/load_clock.h"
#include "tools/valkyrie/loop_thread.h"

namespace valkyrie::tools {

namespace {

constexpr Duration kTimeoutDefault = std::chrono::seconds(30);

// How many are there, as the loops tell it.
struct Arrivals {
  std::mutex mutex;
  std::condition_variable arrived;
  Histogram latency;  // Guarded by mutex, as all below.
  std::uint64_t count = 0;
  std::uint64_t last_ns = 0;
  bool over = false;

  void note(std::uint64_t from_ns) {
    const std::lock_guard lock(mutex);
    if (over) return;
    last_ns = now_ns();
    latency.record(last_ns - from_ns);
    ++count;
    arrived.notify_one();
  }
};

}  // namespace

std::expected<ConnectLoadResult, int> generate_connect_load(const Globals& globals,
                                                            const ConnectLoadOptions& options) {
  // One session first: a node that is not there is no matter of numbers.
  const auto probe = connect(globals);
  if (!probe) return std::unexpected(probe.error());
  auto loops = start_loops(std::min(options.loops, options.connections));
  if (!loops) return std::unexpected(loops.error());
  Arrivals arrivals;
  std::vector<Client> clients;
  clients.reserve(options.connections);
  const std::uint64_t start = now_ns();
  for (std::uint32_t i = 0; i < options.connections; ++i) {
    ClientOptions client_options;
    client_options.loop = &(*loops)[i % loops->size()]->loop();
    client_options.lazy = true;
    client_options.agent = "valkyrie-cli";
    client_options.token_file = globals.token_file;
    client_options.log = [](std::string_view) {};
    const std::uint64_t from = now_ns();
    auto client = Client::connect(Address(globals.node), std::move(client_options));
    if (!client) return std::unexpected(report(client.error()));
    clients.push_back(std::move(*client));
    clients.back().flush().then([&arrivals, from](Result<void> answered) {
      if (answered) arrivals.note(from);
    });
  }
  ConnectLoadResult result;
  {
    std::unique_lock lock(arrivals.mutex);
    const Duration patience =
        globals.timeout > Duration::zero() ? globals.timeout : kTimeoutDefault;
    arrivals.arrived.wait_for(lock, patience,
                              [&] { return arrivals.count == options.connections; });
    arrivals.over = true;
    result.latency.merge(arrivals.latency);
    result.established = arrivals.count;
    result.errors = options.connections - arrivals.count;
    result.seconds =
        static_cast<double>(arrivals.last_ns - std::min(start, arrivals.last_ns)) / 1e9;
  }
  clients.clear();
  return result;
}

}  // namespace valkyrie::tools
