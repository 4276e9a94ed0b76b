// One of a group that shares the orders: each goes to one worker. On SIGTERM or Ctrl-C it finishes
// those that are its own, and the others get the rest.
//
//   pubsub-worker NAME
#include <cstdio>

#include "valkyrie/valkyrie.h"

int main(int argc, char** argv) {
  const char* const name = argc > 1 ? argv[1] : "worker";
  auto client = valkyrie::Client::connect();
  if (!client) {
    std::fprintf(stderr, "error: %s\n", client.error().to_string().c_str());
    return 3;
  }
  int done = 0;
  // Runs on the client's loop, one message after another: it must not block. The next messages come
  // as this returns, so a slow handler slows down nobody but itself.
  const auto work = [&](const valkyrie::PublicationView& order) {
    ++done;
    const std::string_view text = order.payload.text();
    std::printf("%s: %.*s\n", name, static_cast<int>(text.size()), text.data());
    std::fflush(stdout);
  };
  const auto subscription = client->subscribe("orders.*", {.group = "workers"}, work);
  if (!subscription) {
    std::fprintf(stderr, "error: %s\n", subscription.error().to_string().c_str());
    return 1;
  }
  if (const auto known = client->flush().wait(); !known) return 1;
  std::printf("%s is ready\n", name);
  std::fflush(stdout);
  valkyrie::run_until_signal(*client);
  std::printf("%s did %d\n", name, done);
}
