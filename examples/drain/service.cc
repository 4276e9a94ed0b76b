// Serves demo.Work, whose calls take 20 ms each. On SIGTERM it drains: the node sends new calls to
// other instances, those that run are answered, then it exits. Start two, end them one by one while
// drain-client runs: no call fails.
//
//   drain-service NAME [ADDRESS]
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "valkyrie/valkyrie.h"

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "one";
  auto client = valkyrie::Client::connect(argc > 2 ? argv[2] : "");
  if (!client) {
    std::fprintf(stderr, "error: %s\n", client.error().to_string().c_str());
    return 3;
  }
  valkyrie::Service work("demo.Work", {.in_flight_max = 8, .instance = name});
  work.unary(
      "Do",
      [name](valkyrie::IncomingCall&, valkyrie::BytesView) -> valkyrie::Result<valkyrie::Bytes> {
        std::this_thread::sleep_for(20ms);  // What takes time: a disk, another service.
        return valkyrie::Bytes::copy(name);
      });
  auto instance = client->serve(std::move(work)).wait();
  if (!instance) {
    std::fprintf(stderr, "error: %s\n", instance.error().to_string().c_str());
    return 1;
  }
  std::printf("demo.Work is served as %s\n", instance->name().c_str());
  std::fflush(stdout);
  // Drains on the signal, for at most 10 s. Instance::drain() does it for one service alone.
  valkyrie::run_until_signal(*client, 10s);
  std::printf("%s has left\n", name.c_str());
}
