// The end of a client: whenever it comes, every callback runs exactly once.
#include <csignal>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include "sdk/cpp/test/box.h"
#include "sdk/cpp/test/fake_node.h"
#include "sdk/cpp/test/quiet.h"
#include "valkyrie/valkyrie.h"

namespace valkyrie {
namespace {

using namespace std::chrono_literals;
using test::quiet;

TEST(Lifecycle, destroying_a_client_runs_every_callback_once_before_it_returns) {
  test::FakeNode node;
  std::optional<Client> client(Client::connect(node.url(), quiet()).value());
  constexpr int kCalls = 500;
  std::vector<int> runs(kCalls, 0);
  for (int i = 0; i < kCalls; ++i) {
    int* ran = &runs[static_cast<std::size_t>(i)];
    const char* target = i % 2 == 0 ? "fake.Node/Silent" : "fake.Node/Echo";
    client->call(target, "x").then([ran](Result<BytesView>) { ++*ran; });
  }
  client.reset();
  EXPECT_EQ(runs, std::vector<int>(kCalls, 1));
}

TEST(Lifecycle, a_call_in_flight_at_the_end_is_cancelled_with_its_outcome) {
  test::FakeNode node;
  std::optional<Client> client(Client::connect(node.url(), quiet()).value());
  Call<Bytes> call = client->call("fake.Node/Silent", "x");
  ASSERT_TRUE(client->flush().wait().has_value());
  client.reset();
  const Status status = std::move(call).wait().error();
  EXPECT_EQ(status.code(), StatusCode::cancelled);
  EXPECT_EQ(status.outcome(), Outcome::maybe_executed);
}

TEST(Lifecycle, handles_outlive_their_client_and_answer_cancelled) {
  test::FakeNode node;
  std::optional<Client> client(Client::connect(node.url(), quiet()).value());
  const Method method = client->method("fake.Node/Echo");
  Instance instance = client->serve(Service("t.Service")).wait().value();
  auto stream = client->stream("fake.Node/Chat");
  client.reset();
  const Status status = method.call("x").wait().error();
  EXPECT_EQ(status.code(), StatusCode::cancelled);
  EXPECT_TRUE(status.retry_is_safe());
  EXPECT_EQ(method.notify("x").error().code(), StatusCode::cancelled);
  EXPECT_EQ(stream.read().wait().error().code(), StatusCode::cancelled);
  EXPECT_EQ(stream.write(Bytes::copy("x")).wait().error().code(), StatusCode::cancelled);
  EXPECT_FALSE(stream.try_write(Bytes::copy("x")));
  EXPECT_FALSE(instance.name().empty());
  EXPECT_FALSE(instance.drain().wait().has_value());
  int runs = 0;
  method.call("x").then([&runs](Result<Bytes>) { ++runs; });
  EXPECT_EQ(runs, 1);
  method.call("x").detach();
  {
    const auto dropped = method.call("x");
  }
}

TEST(Lifecycle, later_use_of_a_closed_client_answers_cancelled) {
  test::FakeNode node;
  Client client = Client::connect(node.url(), quiet()).value();
  client.close(0s);
  client.close(0s);
  EXPECT_EQ(client.call("fake.Node/Echo", "x").wait().error().code(), StatusCode::cancelled);
  EXPECT_EQ(client.notify("fake.Node/Echo", "x").error().code(), StatusCode::cancelled);
  EXPECT_EQ(client.flush().wait().error().code(), StatusCode::cancelled);
  EXPECT_EQ(client.serve(Service("t.Service")).wait().error().code(), StatusCode::cancelled);
  EXPECT_EQ(client.stream("fake.Node/Chat").read().wait().error().code(), StatusCode::cancelled);
}

TEST(Lifecycle, a_client_may_be_destroyed_by_its_own_callback) {
  test::FakeNode node;
  auto client = std::make_unique<Client>(Client::connect(node.url(), quiet()).value());
  test::Box<void> other;
  Client* raw = client.get();
  raw->call("fake.Node/Silent", "x").then([&other](Result<Bytes> reply) {
    EXPECT_EQ(reply.error().code(), StatusCode::cancelled);
    other.set_value();
  });
  raw->call("fake.Node/Echo", "x").then([owned = std::move(client)](Result<Bytes>) mutable {
    owned.reset();
  });
  other.get();
}

TEST(Lifecycle, a_client_may_be_destroyed_by_its_own_blocking_handler) {
  test::FakeNode node;
  auto client = std::make_unique<Client>(Client::connect(node.url(), quiet()).value());
  Client* raw = client.get();
  test::Box<void> destroyed;
  Service service("t.Service");
  service.unary("Suicide", [&](IncomingCall&, BytesView) -> Result<Bytes> {
    client.reset();
    destroyed.set_value();
    return Bytes();
  });
  ASSERT_TRUE(raw->serve(std::move(service)).wait().has_value());
  Client caller = Client::connect(node.url(), quiet()).value();
  const Call<Bytes> call = caller.call("t.Service/Suicide", {});
  destroyed.get();
}

TEST(Lifecycle, close_lets_calls_in_both_directions_finish) {
  test::FakeNode node;
  Client server = Client::connect(node.url(), quiet()).value();
  Client caller = Client::connect(node.url(), quiet()).value();
  test::Box<Reply> held;
  Service service("t.Service");
  service.unary(
      "Held", [&held](IncomingCall&, BytesView, Reply reply) { held.set_value(std::move(reply)); });
  ASSERT_TRUE(server.serve(std::move(service)).wait().has_value());
  Call<Bytes> call = caller.call("t.Service/Held", {});
  Reply reply = held.get();
  std::thread closing_server([&server] { server.close(30s); });
  std::thread closing_caller([&caller] { caller.close(30s); });
  reply.send("done");
  EXPECT_EQ(std::move(call).wait().value().text(), "done");
  closing_server.join();
  closing_caller.join();
}

TEST(Lifecycle, a_coroutine_that_waits_is_resumed_at_the_end) {
  test::FakeNode node;
  std::optional<Client> client(Client::connect(node.url(), quiet()).value());
  const auto work = [](Client* its_client, test::Box<StatusCode>* code) -> Task<Result<void>> {
    const Result<Bytes> reply = co_await its_client->call("fake.Node/Silent", "x");
    code->set_value(reply.error().code());
    co_return std::unexpected(reply.error());
  };
  test::Box<StatusCode> code;
  client->spawn(work(&*client, &code));
  ASSERT_TRUE(client->flush().wait().has_value());
  client.reset();
  EXPECT_EQ(code.get(), StatusCode::cancelled);
}

TEST(Lifecycle, a_call_in_flight_when_the_node_is_cut_may_have_executed) {
  test::FakeNode node;
  Client client = Client::connect(node.url(), quiet()).value();
  Call<Bytes> call = client.call("fake.Node/Silent", "x");
  ASSERT_TRUE(client.flush().wait().has_value());
  node.cut();
  const Status status = std::move(call).wait().error();
  EXPECT_EQ(status.code(), StatusCode::unavailable);
  EXPECT_EQ(status.outcome(), Outcome::maybe_executed);
  EXPECT_TRUE(client.call("fake.Node/Echo", "x").wait().has_value());
}

TEST(Lifecycle, an_idempotent_call_survives_a_cut) {
  test::FakeNode node;
  Client client = Client::connect(node.url(), quiet()).value();
  Call<Bytes> call = client.call("fake.Node/Silent", "x", {.deadline = 200ms, .idempotent = true});
  ASSERT_TRUE(client.flush().wait().has_value());
  node.cut();
  // Made again on the new connection, where it is as silent: only the deadline ends it.
  EXPECT_EQ(std::move(call).wait().error().code(), StatusCode::deadline_exceeded);
}

TEST(Lifecycle, a_signal_closes_the_client) {
  test::FakeNode node;
  Client client = Client::connect(node.url(), quiet()).value();
  std::thread waiting([&client] { run_until_signal(client, 1s); });
  // Not before the handler is in place: the signal would end this process.
  struct sigaction now{};
  do {
    std::this_thread::yield();
    ::sigaction(SIGTERM, nullptr, &now);
  } while (now.sa_handler == SIG_DFL);
  ::kill(::getpid(), SIGTERM);
  waiting.join();
  EXPECT_EQ(client.call("fake.Node/Echo", "x").wait().error().code(), StatusCode::cancelled);
}

using LifecycleDeathTest = testing::Test;

TEST(LifecycleDeathTest, waiting_on_the_loop_aborts_and_names_the_handler) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        test::FakeNode node;
        Client client = Client::connect(node.url(), quiet()).value();
        Service service("t.Service");
        service.unary("Stuck", [&client](IncomingCall&, BytesView, Reply) {
          static_cast<void>(client.call("fake.Node/Echo", "x").wait());
        });
        static_cast<void>(client.serve(std::move(service)).wait());
        static_cast<void>(client.call("t.Service/Stuck", {}).wait());
      },
      "wait\\(\\) in t.Service/Stuck");
}

}  // namespace
}  // namespace valkyrie
