// Serving over real sockets: one client offers, another calls, a node is between them.
#include <atomic>
#include <gtest/gtest.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "protocol/limit_constants.h"
#include "sdk/cpp/test/box.h"
#include "sdk/cpp/test/fake_node.h"
#include "sdk/cpp/test/quiet.h"
#include "valkyrie/valkyrie.h"

namespace valkyrie {
namespace {

using namespace std::chrono_literals;
using test::quiet;

Task<Result<Bytes>> greet(IncomingCall call, Bytes name) {
  if (name.empty()) co_return fail(StatusCode::invalid_argument, "who?");
  co_return "Hello, " + std::string(name.text()) + " of " + call.caller().tenant;
}

Task<Result<Bytes>> throw_late(IncomingCall, Bytes) {
  throw std::runtime_error("thrown by a coroutine");
  co_return Bytes();
}

class Serving : public testing::Test {
 protected:
  Serving()
      : server(Client::connect(node.url(), quiet()).value()),
        caller(Client::connect(node.url(), quiet()).value()) {}

  // What a call to t.Service/`method` ends with.
  Result<Bytes> call(std::string_view method, BytesView body = {},
                     const CallOptions& options = {}) {
    return caller.call("t.Service/" + std::string(method), body, options).wait();
  }
  Instance serve(Service service) { return server.serve(std::move(service)).wait().value(); }

  test::FakeNode node;
  Client server;
  Client caller;
};

TEST_F(Serving, the_three_forms_of_handlers_answer) {
  Service service("t.Service");
  service.unary("Coroutine", greet)
      .unary("Blocking",
             [](IncomingCall&, BytesView body) -> Result<Bytes> {
               return Bytes::take("blocking " + std::string(body.text()));
             })
      .unary("Callback", [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
  const Instance instance = serve(std::move(service));
  EXPECT_FALSE(instance.name().empty());
  EXPECT_EQ(call("Coroutine", "Ada").value().text(), "Hello, Ada of default");
  EXPECT_EQ(call("Blocking", "x").value().text(), "blocking x");
  EXPECT_EQ(call("Callback", "y").value().text(), "y");
}

TEST_F(Serving, answers_beyond_what_may_wait_for_the_node_are_sent_when_there_is_room) {
  Service service("t.Service");
  service.unary("Echo", [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
  const Instance instance = serve(std::move(service));
  const std::string body(100'000, 'x');
  std::vector<Pending<Bytes>> calls;
  for (int i = 0; i < 100; ++i) calls.push_back(caller.call("t.Service/Echo", body));
  for (auto& call : calls) {
    const Result<Bytes> answer = std::move(call).wait();
    ASSERT_TRUE(answer.has_value()) << answer.error().to_string();
    EXPECT_EQ(answer->size(), body.size());
  }
}

TEST_F(Serving, calls_that_were_given_up_leave_their_place_once_their_work_is_over) {
  constexpr std::size_t kAtOnce = 512;
  constexpr std::size_t kRounds = protocol::kRequestsInFlightDefault / kAtOnce + 1;
  std::vector<test::Box<Reply>> kept(kRounds * kAtOnce);
  Service service("t.Service");
  service.unary("Keep", [&kept, count = 0u](IncomingCall&, BytesView, Reply reply) mutable {
    kept[count++].set_value(std::move(reply));
  });
  service.unary("Echo", [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
  const Instance instance = serve(std::move(service));
  for (std::size_t round = 0; round < kRounds; ++round) {
    std::vector<Pending<Bytes>> calls;
    for (std::size_t i = 0; i < kAtOnce; ++i) calls.push_back(caller.call("t.Service/Keep", {}));
    std::vector<Reply> replies;
    for (std::size_t i = 0; i < kAtOnce; ++i) replies.push_back(kept[round * kAtOnce + i].get());
    node.reset_routes("t.Service");
    for (auto& call : calls) ASSERT_EQ(std::move(call).wait().error().message(), "lost");
    for (Reply& reply : replies) std::move(reply).send("late");
  }
  EXPECT_EQ(call("Echo", "x").value().text(), "x");
}

TEST_F(Serving, a_failure_carries_its_code_text_details_and_outcome) {
  Service service("t.Service");
  service.unary("Fail", [](IncomingCall&, BytesView, Reply reply) {
    reply.fail(Status(StatusCode::not_found, "no such door", Outcome::executed, "details"));
  });
  service.unary("Shed", [](IncomingCall&, BytesView) -> Result<Bytes> {
    return fail(StatusCode::resource_exhausted, "later", Outcome::not_executed);
  });
  const Instance instance = serve(std::move(service));
  const Status failed = call("Fail").error();
  EXPECT_EQ(failed.code(), StatusCode::not_found);
  EXPECT_EQ(failed.message(), "no such door");
  EXPECT_EQ(failed.details().text(), "details");
  EXPECT_EQ(failed.outcome(), Outcome::executed);
  EXPECT_TRUE(call("Shed").error().retry_is_safe());
}

TEST_F(Serving, a_handler_that_throws_answers_internal_with_the_text) {
  Service service("t.Service");
  service.unary("Coroutine", throw_late)
      .unary("Blocking",
             [](IncomingCall&, BytesView) -> Result<Bytes> {
               throw std::runtime_error("thrown by a thread");
             })
      .unary("Callback", [](IncomingCall&, BytesView, Reply) {
        throw std::runtime_error("thrown by a callback");
      });
  const Instance instance = serve(std::move(service));
  for (const auto& [method, text] : {std::pair{"Coroutine", "thrown by a coroutine"},
                                     std::pair{"Blocking", "thrown by a thread"},
                                     std::pair{"Callback", "thrown by a callback"}}) {
    const Status status = call(method).error();
    EXPECT_EQ(status.code(), StatusCode::internal) << method;
    EXPECT_EQ(status.message(), text);
    EXPECT_EQ(status.outcome(), Outcome::executed) << method;
  }
}

TEST_F(Serving, a_probe_of_the_node_is_answered_by_the_library_or_the_service) {
  Service plain("t.Service");
  plain.unary("Echo", [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
  const Instance instance = serve(std::move(plain));
  EXPECT_TRUE(call("valkyrie.Health").has_value());
  std::atomic<bool> is_well{true};
  Service careful("t.Careful");
  careful.health([&is_well](IncomingCall&, BytesView) -> Result<Bytes> {
    if (is_well) return Bytes();
    return fail(StatusCode::unavailable, "the disk is full");
  });
  const Instance other = serve(std::move(careful));
  EXPECT_TRUE(caller.call("t.Careful/valkyrie.Health", {}).wait().has_value());
  is_well = false;
  const Status status =
      caller.call("t.Careful/valkyrie.Health", {}, {.idempotent = true}).wait().error();
  EXPECT_EQ(status.message(), "the disk is full");
}

TEST_F(Serving, what_it_says_about_its_health_reaches_the_node_and_the_next_one) {
  Service service("t.Service");
  service.unary("Echo", [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
  Instance instance = serve(std::move(service));
  instance.report_health(false);
  ASSERT_TRUE(server.flush().wait().has_value());
  EXPECT_EQ(node.health(), "unhealthy");
  instance.report_health(true);
  ASSERT_TRUE(server.flush().wait().has_value());
  EXPECT_EQ(node.health(), "unhealthy healthy");
  instance.report_health(false);
  ASSERT_TRUE(server.flush().wait().has_value());
  const int before = node.registrations();
  node.cut();
  while (node.registrations() == before) {
  }
  ASSERT_TRUE(server.flush().wait().has_value());
  EXPECT_EQ(node.health(), "unhealthy healthy unhealthy unhealthy") << "said again";
}

TEST_F(Serving, a_reply_dropped_unanswered_is_an_internal_error) {
  Service service("t.Service");
  service.unary("Now", [](IncomingCall&, BytesView, Reply) {});
  std::thread later;
  service.unary("Later", [&later](IncomingCall&, BytesView, Reply reply) {
    later = std::thread([held = std::move(reply)] {});
  });
  const Instance instance = serve(std::move(service));
  EXPECT_EQ(call("Now").error().message(), "handler dropped its reply");
  EXPECT_EQ(call("Later").error().message(), "handler dropped its reply");
  later.join();
}

TEST_F(Serving, only_the_first_answer_counts) {
  Service service("t.Service");
  service.unary("Twice", [](IncomingCall&, BytesView, Reply reply) {
    reply.send("first");
    reply.send("second");
    reply.fail(Status(StatusCode::internal));
  });
  const Instance instance = serve(std::move(service));
  EXPECT_EQ(call("Twice").value().text(), "first");
}

TEST_F(Serving, an_answer_may_come_from_any_thread_after_the_handler) {
  Service service("t.Service");
  std::thread later;
  service.unary("Later", [&later](IncomingCall&, BytesView body, Reply reply) {
    later = std::thread(
        [held = std::move(reply), copy = Bytes::copy(body)]() mutable { held.send(copy); });
  });
  const Instance instance = serve(std::move(service));
  EXPECT_EQ(call("Later", "x").value().text(), "x");
  later.join();
}

TEST_F(Serving, what_a_handler_sends_along_with_its_answer_reaches_the_caller) {
  Service service("t.Service");
  service.unary("Tell", [](IncomingCall& call, BytesView body, Reply reply) {
    EXPECT_TRUE(call.add_metadata("cost", "3"));
    EXPECT_TRUE(call.add_metadata("cost", "4"));
    EXPECT_FALSE(call.add_metadata("valkyrie-cost", "5"));
    if (body.empty()) return reply.fail(Status(StatusCode::not_found, "nothing"));
    reply.send(body);
  });
  service.unary("Silent", [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
  const Instance instance = serve(std::move(service));
  Call<Bytes> told = caller.call("t.Service/Tell", "x");
  EXPECT_TRUE(told.metadata().empty());
  EXPECT_EQ(std::move(told).wait().value().text(), "x");
  EXPECT_EQ(told.metadata().get("cost"), "3");
  EXPECT_EQ(told.metadata().size(), 2U);
  Call<Bytes> failed = caller.call("t.Service/Tell", {});
  EXPECT_EQ(std::move(failed).wait().error().message(), "nothing");
  EXPECT_EQ(failed.metadata().get("cost"), "3");
  Call<Bytes> silent = caller.call("t.Service/Silent", "x");
  EXPECT_TRUE(std::move(silent).wait().has_value());
  EXPECT_TRUE(silent.metadata().empty()) << "nothing is left of earlier calls";
  test::Box<std::string> cost;
  caller.call("t.Service/Tell", "x").then([&cost](Result<Bytes> reply, const Metadata& metadata) {
    cost.set_value(std::string(reply ? metadata.get("cost").value_or("") : "failed"));
  });
  EXPECT_EQ(cost.get(), "3");
}

Task<Result<Bytes>> pass_on(Client& client) {
  Call<Bytes> call = client.call("t.Service/Tell", "x");
  const Result<Bytes> reply = co_await std::move(call);
  if (!reply) co_return reply;
  co_return Bytes::copy(call.metadata().get("cost").value_or("none"));
}

TEST_F(Serving, a_coroutine_sees_what_came_along_with_an_answer) {
  Service service("t.Service");
  service.unary("Tell", [](IncomingCall& call, BytesView) -> Result<Bytes> {
    EXPECT_TRUE(call.add_metadata("cost", "3"));
    return Bytes();
  });
  service.unary("Outer", [this](IncomingCall, Bytes) { return pass_on(caller); });
  const Instance instance = serve(std::move(service));
  EXPECT_EQ(call("Outer").value().text(), "3");
}

// Each client has a loop of its own, and the other one a node of its own, which is not cut.
TEST_F(Serving, a_call_for_a_call_of_another_client_is_given_up_with_it) {
  test::FakeNode far;
  Client other = Client::connect(far.url(), quiet()).value();
  constexpr int kCalls = 50;
  std::vector<test::Box<void>> begun(kCalls);
  std::vector<test::Box<StatusCode>> ended(kCalls);
  const auto begin = [&](IncomingCall& call, std::size_t i, Reply reply) {
    other.call("fake.Node/Silent", {}, {.parent = &call})
        .then([&done = ended[i], held = std::move(reply)](Result<Bytes> result) mutable {
          done.set_value(result.error().code());
          held.finish(result);
        });
    begun[i].set_value();
  };
  Service service("t.Service");
  service.unary("Outer", [&begin](IncomingCall& call, BytesView body, Reply reply) {
    begin(call, std::stoul(std::string(body.text())), std::move(reply));
  });
  const Instance instance = serve(std::move(service));
  std::vector<Call<Bytes>> calls;
  for (int i = 0; i < kCalls; ++i) {
    calls.push_back(caller.call("t.Service/Outer", std::to_string(i), {.deadline = 1h}));
  }
  for (test::Box<void>& box : begun) box.get();
  node.cut();
  for (test::Box<StatusCode>& box : ended) EXPECT_EQ(box.get(), StatusCode::cancelled);
  for (Call<Bytes>& call : calls) call.cancel();
}

TEST_F(Serving, a_call_may_be_cancelled_and_dropped_after_its_end) {
  for (int i = 0; i < 100; ++i) {
    Call<Bytes> call = caller.call("fake.Node/Silent", "x");
    call.cancel();
    call.cancel();
  }
  EXPECT_TRUE(caller.call("fake.Node/Echo", "x").wait().has_value());
}

TEST_F(Serving, a_call_for_a_call_of_another_client_has_no_more_time_than_that) {
  Client other = Client::connect(node.url(), quiet()).value();
  Service service("t.Service");
  service.unary("Outer", [&other](IncomingCall& call, BytesView) {
    return other.call("fake.Node/Remaining", {}, {.deadline = 1h, .parent = &call}).wait();
  });
  const Instance instance = serve(std::move(service));
  const Result<Bytes> left = call("Outer", {}, {.deadline = 5s});
  EXPECT_LE(std::stoll(std::string(left.value().text())), 5'000'000'000);
}

TEST_F(Serving, an_unknown_method_is_unimplemented_and_not_executed) {
  Service service("t.Service");
  service.unary("Known", greet);
  const Instance instance = serve(std::move(service));
  const Status status = call("Unknown").error();
  EXPECT_EQ(status.code(), StatusCode::unimplemented);
  EXPECT_TRUE(status.retry_is_safe());
}

TEST_F(Serving, an_answer_over_the_message_limit_is_resource_exhausted) {
  Service service("t.Service");
  service.unary("Large", [](IncomingCall&, BytesView) -> Result<Bytes> {
    return Bytes::take(std::string((4u << 20) + 1, 'x'));
  });
  const Instance instance = serve(std::move(service));
  const Status status = call("Large").error();
  EXPECT_EQ(status.code(), StatusCode::resource_exhausted);
  EXPECT_EQ(status.outcome(), Outcome::executed);
}

TEST_F(Serving, the_handler_sees_deadline_metadata_and_key) {
  Service service("t.Service");
  service.unary("See", [](IncomingCall& call, BytesView, Reply reply) {
    const bool right = call.remaining() > 0s && call.remaining() <= 5s &&
                       call.metadata().get("user") == "ada" && call.idempotency_key() == "k-1" &&
                       call.caller().subject == "tester" && call.method() == "t.Service/See";
    reply.send(right ? "right" : "wrong");
  });
  const Instance instance = serve(std::move(service));
  Metadata metadata;
  ASSERT_TRUE(metadata.add("user", "ada"));
  EXPECT_EQ(call("See", {}, {.deadline = 5s, .idempotency_key = "k-1", .metadata = &metadata})
                .value()
                .text(),
            "right");
}

TEST_F(Serving, a_handler_may_call_and_pass_its_deadline_on) {
  Service service("t.Service");
  const Method remaining = server.method("fake.Node/Remaining");
  service.unary("Outer", [remaining](IncomingCall call, Bytes) -> Task<Result<Bytes>> {
    co_return co_await remaining.call({}, {.parent = &call});
  });
  const Instance instance = serve(std::move(service));
  const Result<Bytes> inner = call("Outer", {}, {.deadline = 5s});
  ASSERT_TRUE(inner.has_value()) << inner.error().to_string();
  EXPECT_LE(std::stoll(std::string(inner->text())), 5'000'000'000);
}

TEST_F(Serving, a_lost_session_tells_its_handlers_that_nobody_waits) {
  Service service("t.Service");
  test::Box<void> begun;
  test::Box<void> stopped;
  service.unary("Slow", [&](IncomingCall& call, BytesView) -> Result<Bytes> {
    const std::stop_callback on_stop(call.cancel_token(), [&stopped] { stopped.set_value(); });
    begun.set_value();
    stopped.get();
    return call.cancelled() ? Result<Bytes>(Bytes()) : fail(StatusCode::internal);
  });
  const Instance instance = serve(std::move(service));
  Call<Bytes> slow = caller.call("t.Service/Slow", {});
  begun.get();
  node.cut();
  const Result<Bytes> reply = std::move(slow).wait();
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().code(), StatusCode::unavailable);
  EXPECT_EQ(reply.error().outcome(), Outcome::maybe_executed);
  server.close(0s);  // Waits for the handler, which uses what lives here.
}

TEST_F(Serving, drain_waits_for_running_calls_and_ends_the_registration) {
  Service service("t.Service");
  test::Box<Reply> held;
  service.unary(
      "Held", [&held](IncomingCall&, BytesView, Reply reply) { held.set_value(std::move(reply)); });
  Instance instance = serve(std::move(service));
  Call<Bytes> running = caller.call("t.Service/Held", {});
  Reply reply = held.get();
  Pending<void> drained = instance.drain(30s);
  reply.send("done");
  EXPECT_EQ(std::move(running).wait().value().text(), "done");
  const Result<void> result = std::move(drained).wait();
  EXPECT_TRUE(result.has_value()) << result.error().to_string();
  EXPECT_EQ(call("Held").error().code(), StatusCode::unavailable);
}

TEST_F(Serving, drain_gives_up_after_its_grace) {
  Service service("t.Service");
  test::Box<Reply> held;
  service.unary(
      "Held", [&held](IncomingCall&, BytesView, Reply reply) { held.set_value(std::move(reply)); });
  Instance instance = serve(std::move(service));
  const Call<Bytes> running = caller.call("t.Service/Held", {});
  const Reply reply = held.get();
  EXPECT_EQ(instance.drain(10ms).wait().error().code(), StatusCode::deadline_exceeded);
}

TEST_F(Serving, a_registration_the_node_refuses_fails) {
  node.refuse_registrations(true);
  const Status status = server.serve(Service("t.Service")).wait().error();
  EXPECT_EQ(status.code(), StatusCode::permission_denied);
  EXPECT_EQ(status.message(), "not yours");
}

TEST_F(Serving, a_client_serves_a_name_once) {
  const Instance instance = serve(Service("t.Service"));
  EXPECT_EQ(server.serve(Service("t.Service")).wait().error().code(), StatusCode::already_exists);
}

TEST_F(Serving, a_lost_connection_is_dialled_again_and_the_service_registered_again) {
  Service service("t.Service");
  service.unary("Greet", greet);
  const Instance instance = serve(std::move(service));
  EXPECT_EQ(node.registrations(), 1);
  node.cut();
  // A call waits for the connection; the service may need a moment longer, and says not executed.
  Result<Bytes> reply = call("Greet", "Ada");
  while (!reply && reply.error().retry_is_safe()) reply = call("Greet", "Ada");
  ASSERT_TRUE(reply.has_value()) << reply.error().to_string();
  EXPECT_EQ(node.registrations(), 2);
}

TEST_F(Serving, a_node_that_drains_is_left_while_running_calls_finish) {
  Service service("t.Service");
  test::Box<Reply> held;
  service.unary(
      "Held", [&held](IncomingCall&, BytesView, Reply reply) { held.set_value(std::move(reply)); });
  service.unary("Greet", greet);
  const Instance instance = serve(std::move(service));
  Call<Bytes> running = caller.call("t.Service/Held", {});
  Reply reply = held.get();
  node.drain(30s);
  Result<Bytes> fresh = call("Greet", "Ada");
  while (!fresh && fresh.error().retry_is_safe()) fresh = call("Greet", "Ada");
  ASSERT_TRUE(fresh.has_value()) << fresh.error().to_string();
  EXPECT_GE(node.connections(), 4);
  reply.send("done");
  const Result<Bytes> finished = std::move(running).wait();
  ASSERT_TRUE(finished.has_value()) << finished.error().to_string();
  EXPECT_EQ(finished->text(), "done");
}

}  // namespace
}  // namespace valkyrie
