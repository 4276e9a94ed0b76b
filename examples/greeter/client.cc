// Greets each NAME: blocking, then all at once with callbacks.
//
//   greeter-client NAME...
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>

#include "valkyrie/valkyrie.h"

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  auto client = valkyrie::Client::connect();
  if (!client) {
    std::fprintf(stderr, "error: %s\n", client.error().to_string().c_str());
    return 3;
  }
  for (int i = 1; i < argc; ++i) {
    auto reply = client->call("hello.Greeter/SayHello", argv[i], {.deadline = 1s}).wait();
    if (!reply) {
      std::fprintf(stderr, "error: %s\n", reply.error().to_string().c_str());
      return 64 + static_cast<int>(reply.error().code());
    }
    std::printf("%s\n", std::string(reply->text()).c_str());
  }

  // Bound once, a call sends a header and its payload alone. Callbacks run on the client's loop.
  const valkyrie::Method shout = client->method("hello.Greeter/Shout", {.deadline = 1s});
  std::atomic<int> failed{0};
  for (int i = 1; i < argc; ++i) {
    shout.call(argv[i]).then([&failed](valkyrie::Result<valkyrie::BytesView> reply) {
      if (!reply) ++failed;
      const std::string text(reply ? reply->text() : reply.error().message());
      std::printf("%s\n", text.c_str());
    });
  }
  client->close(5s);  // Waits for the callbacks.
  return failed == 0 ? 0 : 1;
}
