// Handlers that misbehave, behind a real node: callers get one clear answer and the service lives.
#include <chrono>
#include <gtest/gtest.h>
#include <stdexcept>
#include <vector>

#include "tests/e2e/programs.h"
#include "valkyrie/client.h"

namespace valkyrie::tests {
namespace {

using namespace std::chrono_literals;

Task<Result<Bytes>> throw_in_coroutine(IncomingCall, Bytes) {
  throw std::runtime_error("coroutine's bad luck");
  co_return Bytes();
}

class Handlers : public ::testing::Test {
 protected:
  Handlers() {
    EXPECT_TRUE(server.has_value() && caller.has_value());
    Service service("test.Odd");
    service
        .unary("Throw",
               [](IncomingCall&, BytesView, Reply) { throw std::runtime_error("bad luck"); })
        .unary("ThrowOnPool",
               [](IncomingCall&, BytesView) -> Result<Bytes> {
                 throw std::runtime_error("pool's bad luck");
               })
        .unary("ThrowInCoroutine", throw_in_coroutine)
        .unary("Drop", [](IncomingCall&, BytesView, Reply) {})
        .unary("Keep",
               [this](IncomingCall&, BytesView, Reply reply) { kept.push_back(std::move(reply)); })
        .unary("Twice",
               [](IncomingCall&, BytesView, Reply reply) {
                 reply.send("first");
                 reply.send("second");
                 reply.fail(Status(StatusCode::internal, "third"));
               })
        .unary("Echo", [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
    const auto instance = server->serve(std::move(service)).wait();
    EXPECT_TRUE(instance.has_value());
  }

  Status failure(const char* target, Duration deadline = 30s) {
    const auto reply = caller->call(target, "x", {.deadline = deadline}).wait();
    EXPECT_FALSE(reply.has_value());
    return reply ? Status() : reply.error();
  }

  void expect_alive() {
    const auto reply = caller->call("test.Odd/Echo", "still here").wait();
    ASSERT_TRUE(reply.has_value()) << reply.error().to_string();
    EXPECT_EQ(BytesView(*reply).text(), "still here");
  }

  RunningNode node{{"--shards", "3"}};
  std::vector<Reply> kept;  // Touched by the server's loop; gone after its client.
  Result<Client> caller = Client::connect(node.unix_url);
  Result<Client> server = Client::connect(node.tcp_url);
};

TEST_F(Handlers, one_that_throws_answers_internal_with_its_words) {
  for (const char* const target :
       {"test.Odd/Throw", "test.Odd/ThrowOnPool", "test.Odd/ThrowInCoroutine"}) {
    const Status status = failure(target);
    EXPECT_EQ(status.code(), StatusCode::internal) << target;
    EXPECT_EQ(status.outcome(), Outcome::executed) << target;
    EXPECT_TRUE(says(status.message(), "bad luck"));
    expect_alive();
  }
}

TEST_F(Handlers, one_that_drops_its_reply_answers_internal) {
  const Status status = failure("test.Odd/Drop");
  EXPECT_EQ(status.code(), StatusCode::internal);
  EXPECT_TRUE(says(status.message(), "dropped"));
  expect_alive();
}

TEST_F(Handlers, one_that_never_answers_ends_at_the_deadline) {
  const Status status = failure("test.Odd/Keep", 200ms);
  EXPECT_EQ(status.code(), StatusCode::deadline_exceeded);
  EXPECT_EQ(status.outcome(), Outcome::maybe_executed);
  expect_alive();
}

TEST_F(Handlers, one_that_answers_twice_is_heard_once) {
  for (int i = 0; i < 10; ++i) {
    const auto reply = caller->call("test.Odd/Twice", "x").wait();
    ASSERT_TRUE(reply.has_value()) << reply.error().to_string();
    EXPECT_EQ(BytesView(*reply).text(), "first");
  }
  expect_alive();
}

TEST_F(Handlers, a_service_that_leaves_without_answering_ends_its_calls) {
  auto call = caller->call("test.Odd/Keep", "x");
  EXPECT_TRUE(caller->flush().wait().has_value());
  expect_alive();  // Of the same connection and service: the call before it is there.
  server = std::unexpected(Status(StatusCode::cancelled, "gone"));
  const auto reply = std::move(call).wait();
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().outcome(), Outcome::maybe_executed) << reply.error().to_string();
}

}  // namespace
}  // namespace valkyrie::tests
