// Clients that share a loop, and who turns it.
#include <gtest/gtest.h>
#include <optional>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

#include "sdk/cpp/test/box.h"
#include "sdk/cpp/test/fake_node.h"
#include "sdk/cpp/test/quiet.h"
#include "valkyrie/valkyrie.h"

namespace valkyrie {
namespace {

using namespace std::chrono_literals;

ClientOptions on(Loop& loop) {
  ClientOptions options = test::quiet();
  options.loop = &loop;
  return options;
}

// Runs a loop on a thread until its end.
class Running {
 public:
  explicit Running(Loop& loop) : loop_(loop), thread_([&loop] { loop.run(); }) {}
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() { stop(); }

  void stop() {
    if (!thread_.joinable()) return;
    loop_.stop();
    thread_.join();
  }
  [[nodiscard]] std::thread::id id() const { return thread_.get_id(); }

 private:
  Loop& loop_;
  std::thread thread_;
};

TEST(Loop, many_clients_run_on_the_one_thread_that_turns_it) {
  test::FakeNode node;
  Loop loop = Loop::create().value();
  const Running running(loop);
  constexpr std::size_t kClients = 20;
  std::vector<Client> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(Client::connect(node.url(), on(loop)).value());
  }
  EXPECT_EQ(node.connections(), static_cast<int>(kClients));
  std::vector<test::Box<std::thread::id>> threads(kClients);
  for (std::size_t i = 0; i < kClients; ++i) {
    clients[i].call("fake.Node/Echo", "x").then([box = &threads[i]](Result<Bytes> reply) {
      EXPECT_TRUE(reply.has_value());
      box->set_value(std::this_thread::get_id());
    });
  }
  for (auto& thread : threads) EXPECT_EQ(thread.get(), running.id());
}

TEST(Loop, a_program_of_one_thread_turns_it_while_it_blocks) {
  test::FakeNode node;
  Loop loop = Loop::create().value();
  Client client = Client::connect(node.url(), on(loop)).value();
  Client service_client = Client::connect(node.url(), on(loop)).value();
  Service service("t.Service");
  service.unary("Upper", [](IncomingCall&, BytesView, Reply reply) { reply.send("X"); });
  ASSERT_TRUE(service_client.serve(std::move(service)).wait().has_value());
  EXPECT_EQ(client.call("t.Service/Upper", "x").wait().value().text(), "X");
  client.close(1s);
  EXPECT_EQ(client.call("t.Service/Upper", "x").wait().error().code(), StatusCode::cancelled);
}

TEST(Loop, a_foreign_loop_polls_its_descriptor_and_turns_it) {
  test::FakeNode node;
  Loop loop = Loop::create().value();
  Client client = Client::connect(node.url(), on(loop)).value();
  std::optional<std::string> answer;
  client.call("fake.Node/Echo", "x").then([&answer](Result<Bytes> reply) {
    answer = std::string(reply.value().text());
  });
  while (!answer) {
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(loop.prepare_wait()).count();
    pollfd ready{.fd = loop.fd(), .events = POLLIN, .revents = 0};
    ASSERT_GE(::poll(&ready, 1, static_cast<int>(wait)), 0);
    loop.turn();
  }
  EXPECT_EQ(*answer, "x");
}

TEST(Loop, the_end_of_one_client_leaves_the_others) {
  test::FakeNode node;
  Loop loop = Loop::create().value();
  const Running running(loop);
  std::optional<Client> ends(Client::connect(node.url(), on(loop)).value());
  Client stays = Client::connect(node.url(), on(loop)).value();
  const Call<Bytes> silent = stays.call("fake.Node/Silent", "x");
  ends.reset();
  EXPECT_TRUE(stays.call("fake.Node/Echo", "x").wait().has_value());
}

TEST(Loop, a_client_may_be_destroyed_by_a_callback_of_another) {
  test::FakeNode node;
  Loop loop = Loop::create().value();
  const Running running(loop);
  std::optional<Client> ends(Client::connect(node.url(), on(loop)).value());
  Client stays = Client::connect(node.url(), on(loop)).value();
  test::Box<StatusCode> ended;
  ends->call("fake.Node/Silent", "x").then([&ended](Result<Bytes> reply) {
    ended.set_value(reply.error().code());
  });
  stays.call("fake.Node/Echo", "x").then([&ends](Result<Bytes>) { ends.reset(); });
  EXPECT_EQ(ended.get(), StatusCode::cancelled);
  EXPECT_TRUE(stays.call("fake.Node/Echo", "x").wait().has_value());
}

TEST(Loop, a_call_of_a_client_that_has_ended_ends_at_once_in_a_turn_too) {
  test::FakeNode node;
  Loop loop = Loop::create().value();
  const Running running(loop);
  std::optional<Client> ends(Client::connect(node.url(), on(loop)).value());
  const Method method = ends->method("fake.Node/Echo");
  ends.reset();
  Client stays = Client::connect(node.url(), on(loop)).value();
  test::Box<StatusCode> ended;
  stays.call("fake.Node/Echo", "x").then([&method, &ended](Result<Bytes>) {
    method.call("x").detach();
    const Call<Bytes> dropped = method.call("x");
    ended.set_value(method.call("x").wait().error().code());
  });
  EXPECT_EQ(ended.get(), StatusCode::cancelled);
}

TEST(Loop, a_blocking_handler_of_a_client_that_ends_keeps_nobody_else_waiting) {
  test::FakeNode node;
  Loop loop = Loop::create().value();
  const Running running(loop);
  std::optional<Client> ends(Client::connect(node.url(), on(loop)).value());
  Client stays = Client::connect(node.url(), on(loop)).value();
  test::Box<void> entered;
  test::Box<void> leave;
  Service service("t.Service");
  service.unary("Block", [&](IncomingCall&, BytesView) -> Result<Bytes> {
    entered.set_value();
    leave.get();
    return Bytes();
  });
  ASSERT_TRUE(ends->serve(std::move(service)).wait().has_value());
  const Call<Bytes> call = stays.call("t.Service/Block", {});
  entered.get();
  std::thread ending([&ends] { ends.reset(); });
  EXPECT_TRUE(stays.call("fake.Node/Echo", "x").wait().has_value());
  leave.set_value();
  ending.join();
}

TEST(Loop, after_run_the_thread_that_blocks_turns_it) {
  test::FakeNode node;
  Loop loop = Loop::create().value();
  std::optional<Client> client;
  {
    Running running(loop);
    client = Client::connect(node.url(), on(loop)).value();
    running.stop();
  }
  EXPECT_TRUE(client->call("fake.Node/Echo", "x").wait().has_value());
  client.reset();
}

TEST(Loop, connect_in_a_turn_is_refused_unless_it_is_lazy) {
  test::FakeNode node;
  Loop loop = Loop::create().value();
  const Running running(loop);
  Client client = Client::connect(node.url(), on(loop)).value();
  std::optional<Client> lazy;
  test::Box<StatusCode> refused;
  client.call("fake.Node/Echo", "x").then([&](Result<Bytes>) {
    ClientOptions options = on(loop);
    options.lazy = true;
    lazy = Client::connect(node.url(), options).value();
    refused.set_value(Client::connect(node.url(), on(loop)).error().code());
  });
  EXPECT_EQ(refused.get(), StatusCode::failed_precondition);
  EXPECT_TRUE(lazy->call("fake.Node/Echo", "x").wait().has_value());
}

TEST(Loop, a_node_that_is_away_fails_connect_and_leaves_the_loop_usable) {
  test::FakeNode node;
  Loop loop = Loop::create().value();
  const auto failed = Client::connect("unix:///nowhere/node.sock", on(loop));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code(), StatusCode::unavailable);
  Client client = Client::connect(node.url(), on(loop)).value();
  EXPECT_TRUE(client.flush().wait().has_value());
}

using LoopDeathTest = testing::Test;

TEST(LoopDeathTest, waiting_in_a_turn_for_another_client_of_the_loop_aborts) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        test::FakeNode node;
        Loop loop = Loop::create().value();
        Client one = Client::connect(node.url(), on(loop)).value();
        Client other = Client::connect(node.url(), on(loop)).value();
        one.call("fake.Node/Echo", "x").then([&other](Result<Bytes>) {
          static_cast<void>(other.call("fake.Node/Echo", "x").wait());
        });
        while (true) loop.turn(-1s);
      },
      "wait\\(\\) in a callback");
}

}  // namespace
}  // namespace valkyrie
