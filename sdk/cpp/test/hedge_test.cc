// Calls that are made once more while the first answer is awaited.
#include <atomic>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "sdk/cpp/src/retry_policy.h"
#include "sdk/cpp/test/box.h"
#include "sdk/cpp/test/fake_node.h"
#include "sdk/cpp/test/quiet.h"
#include "valkyrie/valkyrie.h"

namespace valkyrie {
namespace {

using namespace std::chrono_literals;
using test::quiet;

constexpr CallOptions kHedged{.idempotent = true, .hedging = {.delay = 2ms}};

class Hedge : public testing::Test {
 protected:
  Hedge() : client(Client::connect(node.url(), quiet()).value()) {}

  // A number that the node counts.
  int count(const std::string& method) {
    return std::stoi(std::string(client.call("fake.Node/" + method, {}).wait().value().text()));
  }

  test::FakeNode node;
  Client client;
};

TEST_F(Hedge, a_second_attempt_overtakes_a_slow_first_one_which_is_told_to_give_up) {
  EXPECT_EQ(client.call("fake.Node/SilentOnce", "x", kHedged).wait().value().text(), "x");
  EXPECT_EQ(count("Repeats"), 1);
  EXPECT_EQ(count("Cancels"), 1);
}

TEST_F(Hedge, a_method_may_say_it_for_all_its_calls) {
  const Method method = client.method("fake.Node/SilentOnce", kHedged);
  EXPECT_EQ(method.call("x").wait().value().text(), "x");
  EXPECT_EQ(method.call("y").wait().value().text(), "y");
  EXPECT_EQ(count("Repeats"), 2);
}

TEST_F(Hedge, an_answer_in_time_is_not_hedged) {
  const CallOptions patient{.idempotent = true, .hedging = {.delay = 20s}};
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(client.call("fake.Node/Echo", "x", patient).wait().has_value());
  }
  EXPECT_EQ(count("Repeats"), 0);
}

TEST_F(Hedge, what_is_not_declared_idempotent_is_never_hedged) {
  for (const CallOptions& options :
       {CallOptions{.hedging = {.delay = 1ms}},
        CallOptions{.hedging = {.delay = 1ms}, .idempotency_key = "k"},
        CallOptions{.idempotent = true, .hedging = {.delay = 1ms, .attempts = 1}},
        CallOptions{.idempotent = true, .hedging = {.delay = 1ms, .attempts = 4}}}) {
    const Result<Bytes> reply = client.call("fake.Node/Echo", "x", options).wait();
    ASSERT_FALSE(reply.has_value());
    EXPECT_EQ(reply.error().code(), StatusCode::invalid_argument);
    EXPECT_EQ(reply.error().outcome(), Outcome::not_executed);
  }
  EXPECT_EQ(count("Repeats"), 0);
}

TEST_F(Hedge, there_are_no_more_attempts_than_were_asked_for) {
  for (const std::uint8_t attempts : {std::uint8_t{2}, std::uint8_t{3}}) {
    const int before = count("Repeats");
    const int cancels = count("Cancels");
    const Status status = client
                              .call("fake.Node/Silent", "x",
                                    {.deadline = 100ms,
                                     .idempotent = true,
                                     .hedging = {.delay = 1ms, .attempts = attempts}})
                              .wait()
                              .error();
    EXPECT_EQ(status.code(), StatusCode::deadline_exceeded);
    EXPECT_EQ(status.outcome(), Outcome::maybe_executed);
    EXPECT_EQ(count("Repeats") - before, attempts - 1);
    EXPECT_EQ(count("Cancels") - cancels, attempts) << "all are told";
  }
}

TEST_F(Hedge, one_answer_is_given_where_two_come) {
  constexpr int kCalls = 8;
  std::atomic<int> answers{0};
  std::vector<test::Box<void>> ended(kCalls);
  for (int i = 0; i < kCalls; ++i) {
    client.call("fake.Node/AnswerBoth", std::to_string(i), kHedged)
        .then([&answers, &done = ended[static_cast<std::size_t>(i)], i](Result<Bytes> reply) {
          if (reply && reply->text() == std::to_string(i)) ++answers;
          done.set_value();
        });
  }
  for (test::Box<void>& box : ended) box.get();
  EXPECT_EQ(count("Repeats"), kCalls);
  EXPECT_EQ(answers, kCalls);
}

TEST_F(Hedge, a_refused_second_attempt_leaves_the_first_one_its_time) {
  EXPECT_EQ(client.call("fake.Node/RefuseSecond", "x", kHedged).wait().value().text(), "x");
  EXPECT_EQ(count("Repeats"), 1);
}

TEST_F(Hedge, the_budget_of_retries_bounds_it) {
  constexpr int kCalls = 200;
  std::vector<Call<Bytes>> calls;
  for (int i = 0; i < kCalls; ++i) {
    calls.push_back(client.call(
        "fake.Node/Silent", "x",
        {.deadline = 200ms, .idempotent = true, .hedging = {.delay = 1ms, .attempts = 3}}));
  }
  for (Call<Bytes>& call : calls) EXPECT_FALSE(std::move(call).wait().has_value());
  EXPECT_LE(count("Repeats"), 10 + kCalls / 10);
  EXPECT_GE(count("Repeats"), 10);
}

TEST_F(Hedge, a_caller_that_gives_up_gives_all_attempts_up) {
  std::stop_source source;
  const std::stop_token token = source.get_token();
  CallOptions options = kHedged;
  options.cancel = &token;
  Call<Bytes> call = client.call("fake.Node/Silent", "x", options);
  while (count("Repeats") == 0) {
  }
  source.request_stop();
  EXPECT_EQ(std::move(call).wait().error().code(), StatusCode::cancelled);
  EXPECT_EQ(count("Cancels"), 2);
}

TEST_F(Hedge, a_lost_connection_loses_all_attempts_and_the_call_goes_on_with_the_next) {
  Call<Bytes> call = client.call("fake.Node/Silent", "x", kHedged);
  Call<Bytes> other =
      client.call("fake.Node/SilentOnce", "y", {.idempotent = true, .hedging = {.delay = 20s}});
  while (count("Repeats") == 0) {
  }
  node.cut();
  EXPECT_EQ(std::move(other).wait().value().text(), "y");
  call.cancel();
  EXPECT_EQ(std::move(call).wait().error().code(), StatusCode::cancelled);
}

TEST_F(Hedge, a_client_that_closes_ends_hedged_calls_once) {
  Call<Bytes> call = client.call("fake.Node/Silent", "x", kHedged);
  while (count("Repeats") == 0) {
  }
  client.close(0s);
  EXPECT_EQ(std::move(call).wait().error().code(), StatusCode::cancelled);
}

TEST_F(Hedge, what_may_have_executed_is_tried_again_only_with_leave) {
  const Status status = client.call("fake.Node/MaybeOnce", "x").wait().error();
  EXPECT_EQ(status.code(), StatusCode::unavailable);
  EXPECT_EQ(status.outcome(), Outcome::maybe_executed);
  EXPECT_TRUE(client.call("fake.Node/MaybeOnce", "x", {.idempotent = true}).wait().has_value());
  EXPECT_TRUE(
      client.call("fake.Node/MaybeOnce", "x", {.idempotency_key = "once"}).wait().has_value());
}

TEST(RetryBudget, ten_are_saved_and_ten_calls_earn_one) {
  detail::RetryBudget budget;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.spend());
  EXPECT_FALSE(budget.spend());
  for (int i = 0; i < 9; ++i) budget.earn();
  EXPECT_FALSE(budget.spend());
  budget.earn();
  EXPECT_TRUE(budget.spend());
  EXPECT_FALSE(budget.spend());
  for (int i = 0; i < 1000; ++i) budget.earn();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.spend());
  EXPECT_FALSE(budget.spend()) << "no more than ten are saved";
}

TEST(RetryPolicy, only_what_nobody_may_have_executed_or_what_may_run_twice_is_tried_again) {
  using protocol::Outcome;
  using protocol::StatusCode;
  EXPECT_TRUE(detail::may_retry(StatusCode::unavailable, Outcome::not_executed, false));
  EXPECT_FALSE(detail::may_retry(StatusCode::unavailable, Outcome::maybe_executed, false));
  EXPECT_TRUE(detail::may_retry(StatusCode::unavailable, Outcome::maybe_executed, true));
  EXPECT_FALSE(detail::may_retry(StatusCode::internal, Outcome::not_executed, true));
}

}  // namespace
}  // namespace valkyrie
