// Serves hello.Greeter until SIGTERM or Ctrl-C, then lets running calls finish.
//
//   greeter-service [ADDRESS]
#include <cstdio>
#include <string>

#include "valkyrie/valkyrie.h"

namespace {

using valkyrie::Bytes, valkyrie::BytesView, valkyrie::IncomingCall, valkyrie::Reply;
using valkyrie::Result, valkyrie::StatusCode, valkyrie::Task;

// A coroutine on the client's loop: it may await other calls, and must not block.
Task<Result<Bytes>> say_hello(IncomingCall, Bytes name) {
  if (name.empty()) co_return valkyrie::fail(StatusCode::invalid_argument, "who is to be greeted?");
  co_return "Hello, " + std::string(name.text());
}

// On a thread of its own: it may block.
Result<Bytes> shout(IncomingCall&, BytesView text) {
  std::string loud(text.text());
  for (char& letter : loud) {
    if (letter >= 'a' && letter <= 'z') letter = static_cast<char>(letter - 'a' + 'A');
  }
  return loud;
}

}  // namespace

int main(int argc, char** argv) {
  auto client = valkyrie::Client::connect(argc > 1 ? argv[1] : "");
  if (!client) {
    std::fprintf(stderr, "error: %s\n", client.error().to_string().c_str());
    return 3;
  }
  valkyrie::Service greeter("hello.Greeter", {.in_flight_max = 64});
  greeter.unary("SayHello", say_hello, {.idempotent = true})
      .unary("Shout", shout)
      .unary("Echo", [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
  auto instance = client->serve(std::move(greeter)).wait();
  if (!instance) {
    std::fprintf(stderr, "error: %s\n", instance.error().to_string().c_str());
    return 1;
  }
  std::printf("hello.Greeter is served as %s\n", instance->name().c_str());
  std::fflush(stdout);
  valkyrie::run_until_signal(*client);
}
