// Calls over a real socket, in the three forms.
#include <atomic>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "sdk/cpp/test/box.h"
#include "sdk/cpp/test/fake_node.h"
#include "sdk/cpp/test/quiet.h"
#include "valkyrie/valkyrie.h"

namespace valkyrie {
namespace {

using namespace std::chrono_literals;

using test::quiet;

class Calls : public testing::Test {
 protected:
  Calls() : client(Client::connect(node.url(), quiet()).value()) {}

  test::FakeNode node;
  Client client;
};

TEST_F(Calls, a_blocking_call_returns_the_reply) {
  const Result<Bytes> reply = client.call("fake.Node/Echo", "hello").wait();
  ASSERT_TRUE(reply.has_value()) << reply.error().to_string();
  EXPECT_EQ(reply->text(), "hello");
}

TEST_F(Calls, an_empty_body_comes_back_empty) {
  const Result<Bytes> reply = client.call("fake.Node/Echo", {}).wait();
  ASSERT_TRUE(reply.has_value());
  EXPECT_TRUE(reply->empty());
}

TEST_F(Calls, a_body_of_many_frames_comes_back_whole) {
  const std::string body(3u << 20, 'x');
  const Result<Bytes> reply = client.call("fake.Node/Echo", body).wait();
  ASSERT_TRUE(reply.has_value()) << reply.error().to_string();
  EXPECT_EQ(reply->text(), body);
}

TEST_F(Calls, a_body_at_the_message_limit_passes_and_one_byte_more_is_refused_unsent) {
  std::string body(4u << 20, 'x');
  EXPECT_TRUE(client.call("fake.Node/Echo", body).wait().has_value());
  body.push_back('x');
  const Result<Bytes> reply = client.call("fake.Node/Echo", body).wait();
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code(), StatusCode::resource_exhausted);
  EXPECT_TRUE(reply.error().retry_is_safe());
}

TEST_F(Calls, a_callback_runs_on_the_loop_and_borrows_the_reply) {
  test::Box<std::string> got;
  client.call("fake.Node/Echo", "hello").then([&got](Result<BytesView> reply) {
    got.set_value(std::string(reply.value().text()));
  });
  EXPECT_EQ(got.get(), "hello");
}

TEST_F(Calls, a_call_from_a_callback_needs_no_other_thread) {
  const Method echo = client.method("fake.Node/Echo");
  test::Box<std::string> got;
  echo.call("one").then([&](Result<BytesView> first) {
    const std::string more = std::string(first.value().text()) + " two";
    echo.call(more).then(
        [&](Result<Bytes> second) { got.set_value(std::string(second.value().text())); });
  });
  EXPECT_EQ(got.get(), "one two");
}

TEST_F(Calls, a_coroutine_resumes_with_the_reply) {
  const auto work = [](Client* its_client, test::Box<std::string>* got) -> Task<Result<void>> {
    Result<Bytes> first = co_await its_client->call("fake.Node/Echo", "a", {.deadline = 5s});
    if (!first) co_return std::unexpected(first.error());
    Result<Bytes> second = co_await its_client->call("fake.Node/Echo", *first);
    got->set_value(std::string(second.value().text()));
    co_return {};
  };
  test::Box<std::string> got;
  client.spawn(work(&client, &got));
  EXPECT_EQ(got.get(), "a");
}

TEST_F(Calls, a_failure_of_the_service_says_that_it_executed) {
  const Result<Bytes> reply = client.call("fake.Node/Fail", "x").wait();
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code(), StatusCode::not_found);
  EXPECT_EQ(reply.error().message(), "nothing here");
  EXPECT_EQ(reply.error().outcome(), Outcome::executed);
  EXPECT_FALSE(reply.error().retry_is_safe());
}

TEST_F(Calls, a_target_without_a_method_is_refused_unsent) {
  for (const char* target : {"", "fake.Node", "fake.Node/", "/Echo"}) {
    const Result<Bytes> reply = client.call(target, "x").wait();
    ASSERT_FALSE(reply.has_value()) << target;
    EXPECT_EQ(reply.error().code(), StatusCode::invalid_argument) << target;
    EXPECT_TRUE(reply.error().retry_is_safe()) << target;
    EXPECT_FALSE(client.notify(target, "x").has_value()) << target;
  }
}

TEST_F(Calls, the_deadline_ends_a_call_that_left_as_maybe_executed) {
  const Result<Bytes> reply = client.call("fake.Node/Silent", "x", {.deadline = 20ms}).wait();
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code(), StatusCode::deadline_exceeded);
  EXPECT_EQ(reply.error().outcome(), Outcome::maybe_executed);
  EXPECT_EQ(reply.error().message(),
            "no answer from fake.Node/Silent in 20ms; it may have executed");
}

TEST_F(Calls, a_passed_deadline_cancels_at_the_service) {
  static_cast<void>(client.call("fake.Node/Silent", "x", {.deadline = 10ms}).wait());
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(client.call("fake.Node/Cancels", {}).wait().value().text(), "1");
}

TEST_F(Calls, dropping_the_result_cancels_at_the_service) {
  {
    const auto dropped = client.call("fake.Node/Silent", "x");
    ASSERT_TRUE(client.flush().wait().has_value());
  }
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(client.call("fake.Node/Cancels", {}).wait().value().text(), "1");
}

TEST_F(Calls, a_detached_call_goes_on) {
  client.call("fake.Node/Silent", "x").detach();
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(client.call("fake.Node/Cancels", {}).wait().value().text(), "0");
}

TEST_F(Calls, cancel_ends_the_call_and_tells_what_is_known) {
  Call<Bytes> call = client.call("fake.Node/Silent", "x");
  ASSERT_TRUE(client.flush().wait().has_value());
  call.cancel();
  call.cancel();
  const Result<Bytes> reply = std::move(call).wait();
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code(), StatusCode::cancelled);
  EXPECT_EQ(reply.error().outcome(), Outcome::maybe_executed);
}

TEST_F(Calls, a_stop_token_cancels_the_call) {
  std::stop_source source;
  const std::stop_token token = source.get_token();
  Call<Bytes> call = client.call("fake.Node/Silent", "x", {.cancel = &token});
  source.request_stop();
  EXPECT_EQ(std::move(call).wait().error().code(), StatusCode::cancelled);
}

TEST_F(Calls, a_default_deadline_is_said_once_by_the_stream) {
  const Method method = client.method("fake.Node/Remaining", {.deadline = 3s});
  EXPECT_EQ(method.call({}).wait().value().text(), "stream");
  const std::string own(method.call({}, {.deadline = 1s}).wait().value().text());
  EXPECT_GT(std::stoll(own), 0);
  EXPECT_LE(std::stoll(own), 1'000'000'000);
}

TEST_F(Calls, metadata_reaches_the_service_in_order) {
  Metadata metadata;
  ASSERT_TRUE(metadata.add("user", "ada"));
  ASSERT_TRUE(metadata.add("key-bin", std::string("\0\x01", 2)));
  ASSERT_TRUE(metadata.add("user", "bob"));
  const Result<Bytes> reply = client.call("fake.Node/Pairs", {}, {.metadata = &metadata}).wait();
  EXPECT_EQ(reply.value().text(), std::string_view("user=ada;key-bin=\0\x01;user=bob;", 29));
}

TEST_F(Calls, what_was_not_executed_is_tried_again) {
  EXPECT_EQ(client.call("fake.Node/RefuseOnce", "x").wait().value().text(), "x");
}

TEST_F(Calls, retries_end_after_three_attempts) {
  const Result<Bytes> reply = client.call("fake.Node/Refuse", "x").wait();
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code(), StatusCode::unavailable);
  EXPECT_TRUE(reply.error().retry_is_safe());
}

// The budget: ten retries at first, and one more for each ten calls.
TEST_F(Calls, retries_against_a_dead_service_add_a_tenth_to_its_load_and_no_more) {
  constexpr int kCalls = 1000;
  for (int i = 0; i < kCalls; ++i) {
    EXPECT_FALSE(client.call("fake.Node/Refuse", "x").wait().has_value());
  }
  const int attempts =
      std::stoi(std::string(client.call("fake.Node/Refusals", "").wait().value().text()));
  EXPECT_GE(attempts, kCalls + 10);
  EXPECT_LE(attempts, kCalls + 10 + kCalls / 10);
}

TEST_F(Calls, a_notify_is_taken_and_answered_by_nobody) {
  EXPECT_TRUE(client.notify("fake.Node/Echo", "x").has_value());
  EXPECT_TRUE(client.method("fake.Node/Echo").notify("y").has_value());
  EXPECT_TRUE(client.flush().wait().has_value());
}

TEST_F(Calls, many_threads_may_call_at_once) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 500;
  const Method echo = client.method("fake.Node/Echo");
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kCalls; ++i) {
        const std::string body = std::to_string(thread * kCalls + i);
        if (echo.call(body).wait().value().text() == body) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, kThreads * kCalls);
}

TEST(CallLimits, more_calls_than_the_node_takes_wait_for_their_turn) {
  test::FakeNode node({}, 8);
  Client client = Client::connect(node.url(), quiet()).value();
  const Method echo = client.method("fake.Node/Echo");
  std::vector<Call<Bytes>> calls;
  for (int i = 0; i < 1000; ++i) calls.push_back(echo.call(std::to_string(i)));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(std::move(calls[static_cast<std::size_t>(i)]).wait().value().text(),
              std::to_string(i));
  }
}

TEST(CallLimits, more_targets_than_streams_take_turns) {
  test::FakeNode node;
  Client client = Client::connect(node.url(), quiet()).value();
  for (int i = 0; i < 600; ++i) {
    const Result<Bytes> reply = client.call("fake.Node/M" + std::to_string(i), "x").wait();
    ASSERT_FALSE(reply.has_value());
    EXPECT_EQ(reply.error().code(), StatusCode::unimplemented) << reply.error().to_string();
  }
}

TEST(Connect, the_error_names_every_address_and_the_next_step) {
  const Result<Client> client = Client::connect("unix:@valkyrie-nobody,valkyrie://127.0.0.1:1");
  ASSERT_FALSE(client.has_value());
  EXPECT_EQ(client.error().code(), StatusCode::unavailable);
  EXPECT_EQ(client.error().message(),
            "no node at unix:@valkyrie-nobody (refused), valkyrie://127.0.0.1:1 (refused); start "
            "valkyrie-server or set VALKYRIE_NODE");
}

TEST(Connect, an_address_that_makes_no_sense_is_an_argument_error) {
  for (const char* address : {"ftp://x", "valkyrie://", "a,,b"}) {
    const Result<Client> client = Client::connect(address);
    ASSERT_FALSE(client.has_value()) << address;
    EXPECT_EQ(client.error().code(), StatusCode::invalid_argument) << address;
  }
}

TEST(Connect, a_dead_address_is_passed_over) {
  test::FakeNode node;
  Client client = Client::connect("valkyrie://127.0.0.1:1," + node.url(), quiet()).value();
  EXPECT_EQ(client.node_url(), node.url());
  EXPECT_TRUE(client.call("fake.Node/Echo", "x").wait().has_value());
}

TEST(Connect, a_lazy_client_waits_with_its_calls_until_the_node_is_there) {
  const std::string url = "unix:@valkyrie-sdk-lazy-" + std::to_string(::getpid());
  ClientOptions options = quiet();
  options.lazy = true;
  Client client = Client::connect(url, options).value();
  Call<Bytes> call = client.call("fake.Node/Echo", "x");
  const test::FakeNode node(url);
  EXPECT_EQ(std::move(call).wait().value().text(), "x");
}

TEST(Connect, a_call_that_never_left_ends_not_executed) {
  ClientOptions options = quiet();
  options.lazy = true;
  Client client = Client::connect("unix:@valkyrie-nobody", options).value();
  const Result<Bytes> reply = client.call("fake.Node/Echo", "x", {.deadline = 20ms}).wait();
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code(), StatusCode::deadline_exceeded);
  EXPECT_TRUE(reply.error().retry_is_safe());
}

TEST(Connect, what_waits_for_a_node_is_bounded) {
  ClientOptions options = quiet();
  options.lazy = true;
  options.waiting_bytes_max = 1000;
  Client client = Client::connect("unix:@valkyrie-nobody", options).value();
  const std::string body(900, 'x');
  Call<Bytes> waits = client.call("fake.Node/Echo", body);
  const Result<Bytes> refused = client.call("fake.Node/Echo", body).wait();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), StatusCode::resource_exhausted);
  EXPECT_TRUE(refused.error().retry_is_safe());
}

}  // namespace
}  // namespace valkyrie
