// Serves demo.Numbers, with a method of each kind of stream, until SIGTERM or Ctrl-C.
//
//   streams-service [ADDRESS]
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "valkyrie/valkyrie.h"

namespace {

using valkyrie::IncomingCall, valkyrie::Reader, valkyrie::Result, valkyrie::StatusCode;
using valkyrie::Task, valkyrie::Writer;

// One message in, many out: the numbers from 1 to `last`. Each write is done when the caller has
// room for it: a slow caller slows this down and costs no memory.
Task<Result<void>> count(IncomingCall, std::string last, Writer<std::string> numbers) {
  for (int i = 1; i <= std::atoi(last.c_str()); ++i) {
    const std::string number = std::to_string(i);
    const Result<void> written = co_await numbers.write(number);
    if (!written) co_return written;  // The caller is gone.
  }
  co_return {};
}

// Many in, one out: their sum.
Task<Result<std::string>> sum(IncomingCall, Reader<std::string> numbers) {
  long total = 0;
  while (true) {
    const Result<std::optional<std::string>> number = co_await numbers.read();
    if (!number) co_return std::unexpected(number.error());
    if (!*number) co_return std::to_string(total);  // The caller has said all.
    total += std::atol((*number)->c_str());
  }
}

// Many both ways, on a thread of its own, where it may block. What it returns ends the stream.
Result<void> square(IncomingCall&, Reader<std::string> numbers, Writer<std::string> squares) {
  while (true) {
    const Result<std::optional<std::string>> number = numbers.read().wait();
    if (!number) return std::unexpected(number.error());
    if (!*number) return {};
    const long value = std::atol((*number)->c_str());
    if (value < 0) return valkyrie::fail(StatusCode::invalid_argument, "no square of that here");
    const Result<void> written = squares.write(std::to_string(value * value)).wait();
    if (!written) return written;
  }
}

}  // namespace

int main(int argc, char** argv) {
  auto client = valkyrie::Client::connect(argc > 1 ? argv[1] : "");
  if (!client) {
    std::fprintf(stderr, "error: %s\n", client.error().to_string().c_str());
    return 3;
  }
  valkyrie::Service numbers("demo.Numbers");
  numbers.server_stream("Count", count).client_stream("Sum", sum).bidi("Square", square);
  const auto instance = client->serve(std::move(numbers)).wait();
  if (!instance) {
    std::fprintf(stderr, "error: %s\n", instance.error().to_string().c_str());
    return 1;
  }
  std::printf("demo.Numbers is served as %s\n", instance->name().c_str());
  std::fflush(stdout);
  valkyrie::run_until_signal(*client);
}
