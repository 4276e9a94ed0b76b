// Measures calls on a connection that is idle, then on the same one while streams fill it: calls of
// their class, and calls of a class and urgency that go first. The program is caller and service;
// in between is the node of VALKYRIE_NODE, or the default one.
//
//   priority [CALLS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "valkyrie/valkyrie.h"

namespace {

using valkyrie::Bytes, valkyrie::Client, valkyrie::IncomingCall, valkyrie::Qos, valkyrie::Reader;
using valkyrie::Result, valkyrie::Task, valkyrie::Writer;

Task<Result<Bytes>> take_all(IncomingCall, Reader<> blocks) {
  while (true) {
    const Result<std::optional<Bytes>> block = co_await blocks.read();
    if (!block) co_return std::unexpected(block.error());
    if (!*block) co_return Bytes();
  }
}

// Writes for as long as the stream goes on.
Task<Result<void>> upload(Client* client) {
  const Bytes block = Bytes::copy(std::string(64u << 10, 'x'));
  auto stream = client->stream("demo.Store/Upload", {.qos = Qos::telemetry});
  while (true) {
    const Result<void> written = co_await stream.write(block);
    if (!written) co_return {};
  }
}

// Latencies of `count` calls one after another.
bool measure(const char* what, const valkyrie::Method& method, int count) {
  std::vector<double> us;
  for (int i = 0; i < count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    if (const auto reply = method.call("key").wait(); !reply) {
      std::fprintf(stderr, "error: %s\n", reply.error().to_string().c_str());
      return false;
    }
    us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
                     .count());
  }
  std::ranges::sort(us);
  std::printf("%-28s p50 %8.1f us  p99 %8.1f us\n", what, us[us.size() / 2],
              us[us.size() * 99 / 100]);
  std::fflush(stdout);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const int calls = std::max(1, argc > 1 ? std::atoi(argv[1]) : 2000);
  auto server = Client::connect();
  auto caller = Client::connect();
  if (!server || !caller) {
    std::fprintf(stderr, "error: %s\n", (server ? caller : server).error().to_string().c_str());
    return 3;
  }
  valkyrie::Service store("demo.Store");
  store.client_stream("Upload", take_all)
      .unary("Get", [](IncomingCall&, valkyrie::BytesView key, valkyrie::Reply reply) {
        reply.send(key);
      });
  if (const auto instance = server->serve(std::move(store)).wait(); !instance) {
    std::fprintf(stderr, "error: %s\n", instance.error().to_string().c_str());
    return 1;
  }
  // The highest class that a node grants to anyone; higher ones are for whom its rules name.
  const auto urgent = caller->method("demo.Store/Get", {.qos = Qos::job, .urgency = 0});
  const auto bulk = caller->method("demo.Store/Get", {.qos = Qos::telemetry});
  bool good = measure("idle", urgent, calls);
  for (int i = 0; i < 4; ++i) caller->spawn(upload(&*caller));
  good = good && measure("beside bulk, same class", bulk, calls);
  good = good && measure("beside bulk, urgent", urgent, calls);
  return good ? 0 : 1;
}
