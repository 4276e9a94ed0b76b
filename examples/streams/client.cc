// Uses each method of demo.Numbers, blocking.
//
//   streams-client
#include <cstdio>
#include <optional>
#include <string>

#include "valkyrie/valkyrie.h"

namespace {

using Numbers = valkyrie::Stream<std::string, std::string>;

// Prints what comes until the end; false if that is not clean.
bool print_rest(const char* what, Numbers& stream) {
  std::printf("%s:", what);
  while (true) {
    const auto message = stream.read().wait();
    if (!message) {
      std::printf(" (%s)\n", message.error().to_string().c_str());
      return false;
    }
    if (!*message) break;
    std::printf(" %s", (*message)->c_str());
  }
  std::printf("\n");
  return true;
}

}  // namespace

int main() {
  auto client = valkyrie::Client::connect();
  if (!client) {
    std::fprintf(stderr, "error: %s\n", client.error().to_string().c_str());
    return 3;
  }

  // Errors of a write come with the next read too, so that one place looks at them.
  Numbers count = client->stream<std::string, std::string>("demo.Numbers/Count");
  count.write("5").detach();
  bool good = print_rest("count", count);

  Numbers sum = client->stream<std::string, std::string>("demo.Numbers/Sum");
  for (int i = 1; i <= 100; ++i) {
    // Done when the service has room: waiting for it keeps memory bounded.
    if (!sum.write(std::to_string(i)).wait()) break;
  }
  sum.finish();
  good = print_rest("sum", sum) && good;

  Numbers square = client->stream<std::string, std::string>("demo.Numbers/Square");
  for (const int number : {2, 3, 4}) {
    if (!square.write(std::to_string(number)).wait()) break;
    const auto answer = square.read().wait();
    if (answer && *answer) std::printf("square of %d: %s\n", number, (*answer)->c_str());
  }
  square.finish();
  good = print_rest("square", square) && good;

  // A stream may be given up at any time; the service is told.
  Numbers endless = client->stream<std::string, std::string>("demo.Numbers/Count");
  endless.write("1000000000").detach();
  const auto first = endless.read().wait();
  endless.cancel();
  if (first && *first) std::printf("cancelled after %s\n", (*first)->c_str());
  return good && first ? 0 : 1;
}
