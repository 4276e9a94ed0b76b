// Streams of many messages through a real node of several shards: each kind, every way they end,
// back-pressure, and what is left of a stream whose other side dies.
#include <atomic>
#include <chrono>
#include <csignal>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sdk/cpp/test/stream_handlers.h"
#include "tests/e2e/programs.h"
#include "valkyrie/client.h"

namespace valkyrie::tests {
namespace {

using namespace std::chrono_literals;
using test::count;
using test::echo;
using test::rest;

using Text = Stream<std::string, std::string>;

Task<Result<std::string>> sum(IncomingCall, Reader<std::string> numbers) {
  int total = 0;
  while (true) {
    const Result<std::optional<std::string>> number = co_await numbers.read();
    if (!number) co_return std::unexpected(number.error());
    if (!*number) co_return std::to_string(total);
    total += std::stoi(**number);
  }
}

// Writes for as long as anybody reads.
Task<Result<void>> flood(IncomingCall, Bytes, Writer<> out) {
  const Bytes block = Bytes::copy(std::string(64u << 10, 'x'));
  while (true) {
    const Result<void> written = co_await out.write(block);
    if (!written) co_return written;
  }
}

class Streams : public ::testing::Test {
 protected:
  Streams() {
    EXPECT_TRUE(server.has_value() && caller.has_value());
    EXPECT_TRUE(server->serve(service("test.Streams")).wait().has_value());
  }

  Service service(std::string_view name) {
    Service made(name);
    made.server_stream("Count", count)
        .client_stream("Sum", sum)
        .bidi("Echo", echo)
        .server_stream("Flood", flood)
        .bidi("Watch", [this](IncomingCall call, Reader<> in, Writer<>) -> Task<Result<void>> {
          const Result<std::optional<Bytes>> message = co_await in.read();
          if (!message) seen = message.error().code();
          stopped = call.cancel_token().stop_requested();
          co_return {};
        });
    return made;
  }
  Text open(std::string_view method, const CallOptions& options = {}) {
    return caller->stream<std::string, std::string>(fmt::format("test.Streams/{}", method),
                                                    options);
  }
  // Waits until Watch's handler has seen how its caller ended.
  StatusCode watched() {
    while (seen == StatusCode::ok) EXPECT_TRUE(server->flush().wait().has_value());
    return seen;
  }

  RunningNode node{{"--shards", "3"}};
  std::atomic<StatusCode> seen{StatusCode::ok};
  std::atomic<bool> stopped{false};
  Result<Client> caller = Client::connect(node.unix_url);
  Result<Client> server = Client::connect(node.tcp_url);
};

TEST_F(Streams, each_kind_passes_in_order_and_ends_clean) {
  Text ticks = open("Count");
  ASSERT_TRUE(ticks.write("1000").wait().has_value());
  const std::vector<std::string> all = rest(ticks);
  ASSERT_EQ(all.size(), 1000u);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], std::to_string(i + 1));
  Text numbers = open("Sum");
  for (int i = 1; i <= 100; ++i) ASSERT_TRUE(numbers.write(std::to_string(i)).wait().has_value());
  numbers.finish();
  EXPECT_EQ(rest(numbers), (std::vector<std::string>{"5050"}));
  Text both = open("Echo");
  for (const std::string word : {"a", "", "c"}) {
    ASSERT_TRUE(both.write(word).wait().has_value());
    EXPECT_EQ(both.read().wait().value(), word);
  }
  both.finish();
  EXPECT_TRUE(rest(both).empty());
}

TEST_F(Streams, after_the_callers_end_the_service_goes_on) {
  Text stream = open("Echo");
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(stream.write(std::to_string(i)).wait().has_value());
  stream.finish();
  EXPECT_EQ(rest(stream), (std::vector<std::string>{"0", "1", "2"}));
}

TEST_F(Streams, a_status_comes_after_the_messages_before_it) {
  Text stream = open("Echo");
  ASSERT_TRUE(stream.write("first").wait().has_value());
  ASSERT_TRUE(stream.write("fail").wait().has_value());
  EXPECT_EQ(stream.read().wait().value(), "first");
  const Status status = stream.read().wait().error();
  EXPECT_EQ(status.code(), StatusCode::aborted);
  EXPECT_EQ(status.message(), "as was asked");
  EXPECT_EQ(status.outcome(), Outcome::executed);
}

TEST_F(Streams, a_caller_that_cancels_is_known_to_the_service_with_its_reason) {
  Text stream = open("Watch");
  ASSERT_TRUE(caller->flush().wait().has_value());
  stream.cancel();
  EXPECT_EQ(watched(), StatusCode::cancelled);
  EXPECT_TRUE(stopped);
}

TEST_F(Streams, a_deadline_is_the_reason_on_both_sides) {
  Text stream = open("Watch", {.deadline = 100ms});
  EXPECT_EQ(stream.read().wait().error().code(), StatusCode::deadline_exceeded);
  EXPECT_EQ(watched(), StatusCode::deadline_exceeded);
}

TEST_F(Streams, a_caller_that_is_gone_cancels_its_streams) {
  Text stream = open("Watch");
  ASSERT_TRUE(caller->flush().wait().has_value());
  caller = std::unexpected(Status(StatusCode::cancelled));
  EXPECT_EQ(watched(), StatusCode::cancelled);
}

TEST_F(Streams, the_largest_message_passes_both_ways) {
  Text stream = open("Echo");
  const std::string body(16u << 20, 'x');
  auto written = stream.write(body);
  const auto back = stream.read().wait();
  ASSERT_TRUE(back.has_value()) << back.error().to_string();
  EXPECT_TRUE(*back == body);
  EXPECT_TRUE(std::move(written).wait().has_value());
  EXPECT_EQ(stream.write(body + "x").wait().error().code(), StatusCode::resource_exhausted);
}

TEST_F(Streams, a_reader_that_stops_costs_windows_and_nothing_else) {
  Text slow = open("Flood");
  ASSERT_TRUE(slow.write("").wait().has_value());
  ASSERT_TRUE(slow.read().wait().has_value());
  const std::size_t before = resident_bytes(node.process.pid());
  // Meanwhile another stream of the same connection passes 187 MiB; windows may grow by some of it.
  Text quick = open("Flood");
  ASSERT_TRUE(quick.write("").wait().has_value());
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(quick.read().wait().has_value());
  const std::size_t after = resident_bytes(node.process.pid());
  EXPECT_LT(after, before + (64u << 20));
  ASSERT_TRUE(slow.read().wait().has_value());
}

TEST_F(Streams, a_service_that_does_not_read_holds_its_caller_back) {
  Stream<> stream = caller->stream("test.Streams/Count");  // It reads one message only.
  const Bytes block = Bytes::copy(std::string(64u << 10, 'x'));
  std::size_t sent = 0;
  while (stream.try_write(block)) {
    sent += block.size();
    ASSERT_LT(sent, 16u << 20) << "nothing holds the caller back";
    ASSERT_TRUE(caller->flush().wait().has_value());
  }
}

TEST_F(Streams, an_instance_that_is_killed_ends_its_streams_as_unavailable) {
  Cli serve(node, {"serve", "test.Mortal", "--echo", "--stream"});
  ASSERT_TRUE(serve.log.find("serving").has_value());
  auto stream = caller->stream<std::string, std::string>("test.Mortal/Run");
  ASSERT_TRUE(stream.write("x").wait().has_value());
  ASSERT_EQ(stream.read().wait().value(), "x");
  serve.signal(SIGKILL);
  const Status status = stream.read().wait().error();
  EXPECT_EQ(status.code(), StatusCode::unavailable);
  EXPECT_EQ(status.outcome(), Outcome::maybe_executed);
  EXPECT_FALSE(stream.write("y").wait().has_value());
}

TEST_F(Streams, a_drained_service_finishes_its_streams_and_gets_no_new_ones) {
  Result<Client> leaving = Client::connect(node.tcp_url);
  ASSERT_TRUE(leaving.has_value());
  Result<Instance> instance = leaving->serve(service("test.Leaving")).wait();
  ASSERT_TRUE(instance.has_value());
  auto stream = caller->stream<std::string, std::string>("test.Leaving/Echo");
  ASSERT_TRUE(stream.write("before").wait().has_value());
  ASSERT_EQ(stream.read().wait().value(), "before");
  Pending<void> drained = instance->drain(30s);
  // The node has heard of it once a new stream is refused.
  while (true) {
    auto fresh = caller->stream<std::string, std::string>("test.Leaving/Echo");
    fresh.finish();
    if (const auto end = fresh.read().wait(); !end) {
      EXPECT_TRUE(end.error().retry_is_safe()) << end.error().to_string();
      break;
    }
  }
  ASSERT_TRUE(stream.write("after").wait().has_value());
  EXPECT_EQ(stream.read().wait().value(), "after");
  stream.finish();
  EXPECT_TRUE(rest(stream).empty());
  const Result<void> result = std::move(drained).wait();
  EXPECT_TRUE(result.has_value()) << result.error().to_string();
}

TEST_F(Streams, many_streams_of_one_connection_stay_apart) {
  std::vector<Text> streams;
  for (int i = 0; i < 200; ++i) streams.push_back(open("Echo"));
  for (int round = 0; round < 5; ++round) {
    for (std::size_t i = 0; i < streams.size(); ++i) {
      ASSERT_TRUE(streams[i].write(fmt::format("{}.{}", i, round)).wait().has_value());
    }
    for (std::size_t i = 0; i < streams.size(); ++i) {
      ASSERT_EQ(streams[i].read().wait().value(), fmt::format("{}.{}", i, round));
    }
  }
  for (Text& stream : streams) stream.finish();
  for (Text& stream : streams) EXPECT_TRUE(rest(stream).empty());
}

}  // namespace
}  // namespace valkyrie::tests
