// Publishes readings, which may get lost on the way to a slow subscriber, and orders, of each of
// which it wants to know that the node has it.
//
//   pubsub-publisher [ORDERS]
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "valkyrie/valkyrie.h"

int main(int argc, char** argv) {
  const int orders = argc > 1 ? std::atoi(argv[1]) : 10;
  auto client = valkyrie::Client::connect();
  if (!client) {
    std::fprintf(stderr, "error: %s\n", client.error().to_string().c_str());
    return 3;
  }

  // Nothing comes back for these; flush() says that the node has read them.
  client->publish("sensors.kitchen.temperature", "21.5");
  client->publish("sensors.cellar.temperature", "12.0");
  client->publish("sensors.cellar.humidity", "61");

  // All are on their way before the first receipt is waited for.
  std::vector<valkyrie::Pending<valkyrie::Receipt>> receipts;
  for (int i = 1; i <= orders; ++i) {
    receipts.push_back(client->publish_acked("orders.new", "order " + std::to_string(i)));
  }
  int received = 0;
  for (auto& pending : receipts) {
    const auto receipt = std::move(pending).wait();
    if (receipt) {
      ++received;
    } else {
      std::fprintf(stderr, "error: %s\n", receipt.error().to_string().c_str());
    }
  }
  const auto flushed = client->flush().wait();
  std::printf("3 readings sent, %d of %d orders received by the node\n", received, orders);
  return flushed && received == orders ? 0 : 1;
}
