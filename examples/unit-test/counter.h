// A service that counts, and a client of it that goes on when its connection is lost: what
// counter_test.cc tests.
#pragma once

#include <memory>
#include <string>

#include "valkyrie/valkyrie.h"

namespace example {

// Serves demo.Counter/Add: answers with the sum of all numbers so far.
inline valkyrie::Service counter() {
  valkyrie::Service service("demo.Counter");
  service.unary(
      "Add", [sum = std::make_shared<long>(0)](valkyrie::IncomingCall&, valkyrie::BytesView body,
                                               valkyrie::Reply reply) {
        try {
          *sum += std::stol(std::string(body.text()));
        } catch (const std::exception&) {
          return reply.fail(valkyrie::Status(valkyrie::StatusCode::invalid_argument, "no number"));
        }
        reply.send(std::to_string(*sum));
      });
  return service;
}

// Adds `number` exactly once, if it returns a value: what was not executed is tried again.
inline valkyrie::Result<std::string> add(valkyrie::Client& client, long number) {
  while (true) {
    auto sum = client.call("demo.Counter/Add", std::to_string(number)).wait();
    if (sum) return std::string(sum->text());
    if (!sum.error().retry_is_safe() || sum.error().code() != valkyrie::StatusCode::unavailable) {
      return std::unexpected(sum.error());
    }
  }
}

}  // namespace example
