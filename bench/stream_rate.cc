// How fast one stream goes through a node, in each direction: a service on one address of the node,
// its client on another, both in this process. Prints JSON.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <fmt/format.h>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "valkyrie/valkyrie.h"

namespace valkyrie::bench {
namespace {

using namespace std::chrono_literals;

constexpr const char* kService = "bench.Stream";

struct Settings {
  std::string service_url;
  std::string client_url;
  double warmup_s = 2;
  double time_s = 3;
  std::size_t size = 64 * 1024;
};

// Counts what arrives while a stream runs.
class Meter {
 public:
  void add(std::size_t bytes) { bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  // Bytes a second over the measured time.
  double measure(const Settings& settings) {
    std::this_thread::sleep_for(std::chrono::duration<double>(settings.warmup_s));
    const std::uint64_t before = bytes_.load();
    const auto start = std::chrono::steady_clock::now();
    std::this_thread::sleep_for(std::chrono::duration<double>(settings.time_s));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return static_cast<double>(bytes_.load() - before) / elapsed.count();
  }

 private:
  std::atomic<std::uint64_t> bytes_{0};
};

Service make_service(Meter& meter, std::size_t size) {
  Service service(kService);
  service.client_stream("Up", [&meter](IncomingCall&, Reader<Bytes> reader) -> Result<Bytes> {
    for (;;) {
      const auto message = reader.read().wait();
      if (!message) return std::unexpected(message.error());
      if (!*message) return Bytes::copy(std::string_view("done"));
      meter.add((*message)->size());
    }
  });
  service.server_stream("Down",
                        [size](IncomingCall&, BytesView, Writer<Bytes> writer) -> Result<void> {
                          const Bytes message = Bytes::copy(std::string(size, 'x'));
                          for (;;) {
                            if (const auto sent = writer.write(message).wait(); !sent) {
                              return std::unexpected(sent.error());
                            }
                          }
                        });
  return service;
}

double measure_up(Client& client, Meter& meter, const Settings& settings) {
  auto stream =
      client.stream<Bytes, Bytes>(std::string(kService) + "/Up", {.deadline = kNoDeadline});
  std::atomic<bool> over{false};
  std::thread writer([&] {
    const Bytes message = Bytes::copy(std::string(settings.size, 'x'));
    while (!over && stream.write(message).wait()) {
    }
  });
  const double rate = meter.measure(settings);
  over = true;
  stream.cancel();
  writer.join();
  return rate;
}

double measure_down(Client& client, Meter& meter, const Settings& settings) {
  auto stream =
      client.stream<Bytes, Bytes>(std::string(kService) + "/Down", {.deadline = kNoDeadline});
  (void)stream.write(Bytes::copy(std::string_view("go"))).wait();
  stream.finish();
  std::thread reader([&] {
    for (;;) {
      const auto message = stream.read().wait();
      if (!message || !*message) return;
      meter.add((*message)->size());
    }
  });
  const double rate = meter.measure(settings);
  stream.cancel();
  reader.join();
  return rate;
}

int run(int argc, char** argv) {
  CLI::App app{"Measures one stream through a node in each direction"};
  Settings settings;
  app.add_option("--service-url", settings.service_url, "address for the service")->required();
  app.add_option("--client-url", settings.client_url, "address for the client")->required();
  app.add_option("--warmup", settings.warmup_s, "seconds before the measured ones");
  app.add_option("--time", settings.time_s, "measured seconds");
  app.add_option("--size", settings.size, "bytes of a message");
  CLI11_PARSE(app, argc, argv);

  Meter up;
  Meter down;
  auto server = Client::connect(Address(settings.service_url));
  auto client = Client::connect(Address(settings.client_url));
  if (!server || !client) {
    const Status& status = server ? client.error() : server.error();
    fmt::print(stderr, "stream_rate: {}\n", status.message());
    return 1;
  }
  const auto instance = server->serve(make_service(up, settings.size)).wait();
  if (!instance) {
    fmt::print(stderr, "stream_rate: {}\n", instance.error().message());
    return 1;
  }
  const double up_rate = measure_up(*client, up, settings);
  const double down_rate = measure_down(*client, down, settings);
  fmt::print("{{\"up_bytes_per_s\": {:.0f}, \"down_bytes_per_s\": {:.0f}}}\n", up_rate, down_rate);
  return 0;
}

}  // namespace
}  // namespace valkyrie::bench

int main(int argc, char** argv) { return valkyrie::bench::run(argc, argv); }
