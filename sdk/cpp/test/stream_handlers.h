// Handlers of streams, and their other end, for tests with a node of any kind.
#pragma once

#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "valkyrie/service.h"
#include "valkyrie/stream.h"

namespace valkyrie::test {

// The numbers from 1 to the one that was sent.
inline Task<Result<void>> count(IncomingCall, std::string to, Writer<std::string> ticks) {
  for (int i = 1; i <= std::stoi(to); ++i) {
    const std::string tick = std::to_string(i);
    const Result<void> written = co_await ticks.write(tick);
    if (!written) co_return written;
  }
  co_return {};
}

// Each message back; "fail" ends the call as aborted instead.
inline Task<Result<void>> echo(IncomingCall, Reader<std::string> in, Writer<std::string> out) {
  while (true) {
    const Result<std::optional<std::string>> message = co_await in.read();
    if (!message) co_return std::unexpected(message.error());
    if (!*message) co_return {};
    if (**message == "fail") co_return fail(StatusCode::aborted, "as was asked");
    const Result<void> written = co_await out.write(**message);
    if (!written) co_return written;
  }
}

// All messages up to the end, which must be clean.
inline std::vector<std::string> rest(Stream<std::string, std::string>& stream) {
  std::vector<std::string> all;
  while (true) {
    auto message = stream.read().wait();
    EXPECT_TRUE(message.has_value()) << message.error().to_string();
    if (!message || !*message) return all;
    all.push_back(std::move(**message));
  }
}

}  // namespace valkyrie::test
