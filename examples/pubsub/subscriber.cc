// Prints what is published to the subjects of a filter, one message after another, until it has
// seen so many.
//
//   pubsub-subscriber FILTER COUNT
#include <cstdio>
#include <cstdlib>

#include "valkyrie/valkyrie.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: pubsub-subscriber FILTER COUNT\n");
    return 2;
  }
  auto client = valkyrie::Client::connect();
  if (!client) {
    std::fprintf(stderr, "error: %s\n", client.error().to_string().c_str());
    return 3;
  }
  // Too slow, and the oldest messages that wait are lost. The default, written out.
  auto subscription = client->subscribe(argv[1], {.overflow = valkyrie::Overflow::drop_oldest});
  if (!subscription) {
    std::fprintf(stderr, "error: %s\n", subscription.error().to_string().c_str());
    return 1;
  }
  // From here on the node knows of it.
  if (const auto known = client->flush().wait(); !known) return 1;
  std::printf("subscribed to %s\n", argv[1]);
  std::fflush(stdout);

  for (int left = std::atoi(argv[2]); left > 0; --left) {
    const auto message = subscription->next().wait();
    if (!message) {
      std::fprintf(stderr, "error: %s\n", message.error().to_string().c_str());
      return 1;
    }
    if (!*message) break;
    if ((*message)->missed() > 0) {
      std::printf("(%llu were lost)\n", static_cast<unsigned long long>((*message)->missed()));
    }
    const std::string_view text = (*message)->payload().text();
    std::printf("%.*s: %.*s\n", static_cast<int>((*message)->subject().size()),
                (*message)->subject().data(), static_cast<int>(text.size()), text.data());
    std::fflush(stdout);
  }
}
