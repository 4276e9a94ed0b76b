// Handlers of streams over real sockets: one client serves, another calls, a node is between them.
#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <latch>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sdk/cpp/test/box.h"
#include "sdk/cpp/test/fake_node.h"
#include "sdk/cpp/test/quiet.h"
#include "sdk/cpp/test/stream_handlers.h"
#include "valkyrie/valkyrie.h"

namespace valkyrie {
namespace {

using namespace std::chrono_literals;
using test::count;
using test::echo;
using test::quiet;
using test::rest;

class ServedStreams : public testing::Test {
 protected:
  ServedStreams()
      : server(Client::connect(node.url(), quiet()).value()),
        caller(Client::connect(node.url(), quiet()).value()) {}

  Instance serve(Service service) { return server.serve(std::move(service)).wait().value(); }
  Stream<std::string, std::string> open(const char* method, const CallOptions& options = {}) {
    return caller.stream<std::string, std::string>("t.Service/" + std::string(method), options);
  }

  test::FakeNode node;
  Client server;
  Client caller;
};

Task<Result<std::string>> join(IncomingCall, Reader<std::string> words) {
  std::string all;
  while (true) {
    const Result<std::optional<std::string>> word = co_await words.read();
    if (!word) co_return std::unexpected(word.error());
    if (!*word) co_return all;
    all += **word + ".";
  }
}

TEST_F(ServedStreams, coroutines_serve_the_three_kinds) {
  Service service("t.Service");
  service.server_stream("Count", count).client_stream("Join", join).bidi("Echo", echo);
  const Instance instance = serve(std::move(service));
  auto ticks = open("Count");
  ASSERT_TRUE(ticks.write("3").wait().has_value());
  EXPECT_EQ(rest(ticks), (std::vector<std::string>{"1", "2", "3"}));
  auto words = open("Join");
  ASSERT_TRUE(words.write("a").wait().has_value());
  ASSERT_TRUE(words.write("b").wait().has_value());
  words.finish();
  EXPECT_EQ(rest(words), (std::vector<std::string>{"a.b."}));
  auto both = open("Echo");
  for (const std::string word : {"x", "", "z"}) {
    ASSERT_TRUE(both.write(word).wait().has_value());
    EXPECT_EQ(both.read().wait().value(), word);
  }
  both.finish();
  EXPECT_TRUE(rest(both).empty());
}

TEST_F(ServedStreams, blocking_handlers_serve_the_three_kinds) {
  Service service("t.Service");
  service
      .server_stream("Count",
                     [](IncomingCall&, BytesView to, Writer<std::string>& ticks) -> Result<void> {
                       for (int i = 0; i < std::stoi(std::string(to.text())); ++i) {
                         if (auto written = ticks.write("tick").wait(); !written) return written;
                       }
                       return {};
                     })
      .client_stream("Size",
                     [](IncomingCall&, Reader<Bytes> in) -> Result<std::string> {
                       std::size_t bytes = 0;
                       while (true) {
                         auto message = in.read().wait();
                         if (!message) return std::unexpected(message.error());
                         if (!*message) return std::to_string(bytes);
                         bytes += (*message)->size();
                       }
                     })
      .bidi("Echo",
            [](IncomingCall&, Reader<std::string> in, Writer<std::string> out) -> Result<void> {
              while (true) {
                auto message = in.read().wait();
                if (!message) return std::unexpected(message.error());
                if (!*message) return {};
                if (auto written = out.write(**message).wait(); !written) return written;
              }
            });
  const Instance instance = serve(std::move(service));
  auto ticks = open("Count");
  ASSERT_TRUE(ticks.write("2").wait().has_value());
  EXPECT_EQ(rest(ticks), (std::vector<std::string>{"tick", "tick"}));
  auto sized = open("Size");
  ASSERT_TRUE(sized.write("12345").wait().has_value());
  sized.finish();
  EXPECT_EQ(rest(sized), (std::vector<std::string>{"5"}));
  auto both = open("Echo");
  ASSERT_TRUE(both.write("x").wait().has_value());
  both.finish();
  EXPECT_EQ(rest(both), (std::vector<std::string>{"x"}));
}

TEST_F(ServedStreams, a_status_ends_the_stream_after_what_was_written) {
  Service service("t.Service");
  service.server_stream("Fail", [](IncomingCall, Bytes, Writer<> out) -> Task<Result<void>> {
    for (int i = 0; i < 100; ++i) out.write(Bytes::copy(std::string(4096, 'x'))).detach();
    co_return fail(StatusCode::aborted, "enough");
  });
  const Instance instance = serve(std::move(service));
  auto stream = open("Fail");
  ASSERT_TRUE(stream.write("").wait().has_value());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(stream.read().wait().value()->size(), 4096u);
  const Status status = stream.read().wait().error();
  EXPECT_EQ(status.code(), StatusCode::aborted);
  EXPECT_EQ(status.message(), "enough");
  EXPECT_EQ(status.outcome(), Outcome::executed);
}

TEST_F(ServedStreams, an_exception_becomes_internal_with_its_text) {
  Service service("t.Service");
  service
      .bidi("Coroutine",
            [](IncomingCall, Reader<>, Writer<>) -> Task<Result<void>> {
              throw std::runtime_error("from a coroutine");
              co_return {};
            })
      .bidi("Blocking", [](IncomingCall&, Reader<>, Writer<>) -> Result<void> {
        throw std::runtime_error("from a thread");
      });
  const Instance instance = serve(std::move(service));
  EXPECT_EQ(open("Coroutine").read().wait().error().message(), "from a coroutine");
  EXPECT_EQ(open("Blocking").read().wait().error().message(), "from a thread");
}

TEST_F(ServedStreams, what_does_not_fit_the_method_is_refused_unexecuted) {
  Service service("t.Service");
  service.bidi("Echo", echo).server_stream("Count", count);
  const Instance instance = serve(std::move(service));
  EXPECT_EQ(open("Nothing").read().wait().error().code(), StatusCode::unimplemented);
  const Status called = caller.call("t.Service/Echo", "x").wait().error();
  EXPECT_EQ(called.code(), StatusCode::unimplemented);
  EXPECT_TRUE(called.retry_is_safe());
  auto empty = open("Count");
  empty.finish();
  const Status without = empty.read().wait().error();
  EXPECT_EQ(without.code(), StatusCode::invalid_argument);
  EXPECT_TRUE(without.retry_is_safe());
}

TEST_F(ServedStreams, a_unary_method_takes_one_large_message_as_a_stream) {
  Service service("t.Service");
  service
      .unary("Twice",
             [](IncomingCall&, BytesView body) -> Result<Bytes> {
               return Bytes::take(std::string(body.text()) + std::string(body.text()));
             })
      .unary("Huge", [](IncomingCall&, BytesView) -> Result<Bytes> {
        return Bytes::take(std::string((16u << 20) + 1, 'x'));
      });
  const Instance instance = serve(std::move(service));
  auto large = open("Twice");
  const std::string body(5u << 20, 'x');
  auto written = large.write(body);
  EXPECT_EQ(rest(large), (std::vector<std::string>{body + body}));
  EXPECT_TRUE(std::move(written).wait().has_value());
  auto huge = open("Huge");
  ASSERT_TRUE(huge.write("").wait().has_value());
  EXPECT_EQ(huge.read().wait().error().code(), StatusCode::resource_exhausted);
}

TEST_F(ServedStreams, the_handler_sees_deadline_metadata_and_caller) {
  Service service("t.Service");
  service.server_stream(
      "See", [](IncomingCall call, Bytes, Writer<std::string> out) -> Task<Result<void>> {
        const bool right = call.remaining() > 0s && call.remaining() <= 5s &&
                           call.metadata().get("user") == "ada" &&
                           call.caller().subject == "tester" && call.method() == "t.Service/See";
        const std::string said = right ? "right" : "wrong";
        co_return co_await out.write(said);
      });
  const Instance instance = serve(std::move(service));
  Metadata metadata;
  ASSERT_TRUE(metadata.add("user", "ada"));
  auto stream = open("See", {.deadline = 5s, .metadata = &metadata});
  ASSERT_TRUE(stream.write("").wait().has_value());
  EXPECT_EQ(rest(stream), (std::vector<std::string>{"right"}));
}

TEST_F(ServedStreams, what_a_handler_sends_along_with_the_end_reaches_the_caller) {
  Service service("t.Service");
  service.server_stream(
      "Tell",
      [](IncomingCall call, std::string ends, Writer<std::string> out) -> Task<Result<void>> {
        const std::string row = "row";
        const Result<void> written = co_await out.write(row);
        if (!written) co_return written;
        EXPECT_TRUE(call.add_metadata("rows", "1"));
        if (ends == "badly") co_return fail(StatusCode::aborted, "no more");
        co_return {};
      });
  const Instance instance = serve(std::move(service));
  for (const std::string ends : {"well", "badly"}) {
    auto stream = open("Tell");
    ASSERT_TRUE(stream.write(ends).wait().has_value());
    EXPECT_EQ(stream.read().wait().value(), "row");
    EXPECT_EQ(stream.read().wait().has_value(), ends == "well");
    EXPECT_EQ(stream.metadata().get("rows"), "1") << ends;
  }
}

// A handler that says how its reading ended, and whether its token was stopped by then.
struct Watched {
  test::Box<void> begun;
  test::Box<std::pair<StatusCode, bool>> ended;

  auto handler() {
    return [this](IncomingCall call, Reader<> in, Writer<>) -> Task<Result<void>> {
      begun.set_value();
      const Result<std::optional<Bytes>> message = co_await in.read();
      const StatusCode code = message ? StatusCode::ok : message.error().code();
      ended.set_value({code, call.cancel_token().stop_requested() && call.cancelled()});
      co_return {};
    };
  }
};

TEST_F(ServedStreams, a_caller_that_cancels_stops_the_token_and_ends_reads) {
  Watched watched;
  Service service("t.Service");
  service.bidi("Watch", watched.handler());
  const Instance instance = serve(std::move(service));
  auto stream = open("Watch");
  watched.begun.get();
  stream.cancel();
  EXPECT_EQ(watched.ended.get(), (std::pair{StatusCode::cancelled, true}));
}

TEST_F(ServedStreams, the_deadline_of_the_caller_reaches_the_handler) {
  Watched watched;
  Service service("t.Service");
  service.bidi("Watch", watched.handler());
  const Instance instance = serve(std::move(service));
  auto stream = open("Watch", {.deadline = 50ms});
  EXPECT_EQ(stream.read().wait().error().code(), StatusCode::deadline_exceeded);
  EXPECT_EQ(watched.ended.get(), (std::pair{StatusCode::deadline_exceeded, true}));
}

TEST_F(ServedStreams, a_lost_session_ends_both_sides_as_unavailable) {
  Watched watched;
  Service service("t.Service");
  service.bidi("Watch", watched.handler());
  const Instance instance = serve(std::move(service));
  auto stream = open("Watch");
  watched.begun.get();
  node.cut();
  EXPECT_EQ(watched.ended.get(), (std::pair{StatusCode::unavailable, true}));
  EXPECT_EQ(stream.read().wait().error().code(), StatusCode::unavailable);
}

TEST_F(ServedStreams, a_slow_handler_holds_its_caller_back) {
  test::Box<void> go;
  Service service("t.Service");
  service.client_stream("Held", [&](IncomingCall&, Reader<> in) -> Result<std::string> {
    go.get();
    std::size_t bytes = 0;
    while (true) {
      auto message = in.read().wait();
      if (!message) return std::unexpected(message.error());
      if (!*message) return std::to_string(bytes);
      bytes += (*message)->size();
    }
  });
  const Instance instance = serve(std::move(service));
  auto stream = open("Held");
  const std::string block(32u << 10, 'x');
  std::size_t sent = 0;
  // The windows of two hops and what is on its way take some, then no more.
  while (stream.try_write(block)) {
    sent += block.size();
    ASSERT_LE(sent, 4u << 20) << "nothing holds the caller back";
    ASSERT_TRUE(caller.flush().wait().has_value());
    ASSERT_TRUE(server.flush().wait().has_value());
  }
  go.set_value();
  stream.finish();
  EXPECT_EQ(rest(stream), (std::vector<std::string>{std::to_string(sent)}));
}

TEST_F(ServedStreams, a_slow_caller_holds_the_handler_back) {
  std::atomic<std::size_t> written{0};
  test::Box<void> stuck;
  Service service("t.Service");
  service.server_stream("Flood", [&](IncomingCall, Bytes, Writer<> out) -> Task<Result<void>> {
    const Bytes block = Bytes::copy(std::string(32u << 10, 'x'));
    while (out.try_write(block)) {
      ++written;
      if (written > 128) co_return fail(StatusCode::internal, "nothing holds the handler back");
    }
    Pending<void> waits = out.write(block);
    stuck.set_value();
    const Result<void> went = co_await std::move(waits);
    if (went) ++written;
    co_return went;
  });
  const Instance instance = serve(std::move(service));
  auto stream = open("Flood");
  ASSERT_TRUE(stream.write("").wait().has_value());
  stuck.get();
  const std::size_t before = written;
  ASSERT_TRUE(server.flush().wait().has_value());
  EXPECT_EQ(written, before);
  const std::size_t read = rest(stream).size();
  EXPECT_EQ(read, written.load());
}

TEST_F(ServedStreams, a_handler_may_return_before_it_has_read_all) {
  Service service("t.Service");
  service.client_stream("First",
                        [](IncomingCall, Reader<std::string> in) -> Task<Result<std::string>> {
                          const Result<std::optional<std::string>> first = co_await in.read();
                          co_return **first;
                        });
  const Instance instance = serve(std::move(service));
  auto stream = open("First");
  ASSERT_TRUE(stream.write("one").wait().has_value());
  std::vector<Pending<void>> later;
  for (int i = 0; i < 20; ++i) later.push_back(stream.write(std::string(64u << 10, 'x')));
  EXPECT_EQ(rest(stream), (std::vector<std::string>{"one"}));
  for (auto& write : later) {
    const Result<void> result = std::move(write).wait();
    EXPECT_TRUE(result || result.error().code() == StatusCode::failed_precondition);
  }
  EXPECT_FALSE(stream.try_write("more"));
}

TEST_F(ServedStreams, reader_and_writer_may_outlive_their_handler) {
  test::Box<Reader<>> reader;
  test::Box<Writer<>> writer;
  Service service("t.Service");
  service.bidi("Leave", [&](IncomingCall, Reader<> in, Writer<> out) -> Task<Result<void>> {
    reader.set_value(std::move(in));
    writer.set_value(std::move(out));
    co_return {};
  });
  const Instance instance = serve(std::move(service));
  auto stream = open("Leave");
  EXPECT_TRUE(rest(stream).empty());
  Reader<> left = reader.get();
  Writer<> right = writer.get();
  EXPECT_EQ(left.read().wait().error().code(), StatusCode::failed_precondition);
  EXPECT_EQ(right.write(Bytes()).wait().error().code(), StatusCode::failed_precondition);
  server.close(0s);
  EXPECT_FALSE(left.read().wait().has_value());
  EXPECT_FALSE(right.try_write(Bytes()));
}

TEST_F(ServedStreams, the_largest_message_passes_both_ways_and_one_byte_more_does_not) {
  Service service("t.Service");
  service.bidi("Echo", echo);
  const Instance instance = serve(std::move(service));
  auto stream = open("Echo");
  std::string body(16u << 20, 'x');
  auto written = stream.write(body);
  EXPECT_EQ(stream.read().wait().value(), body);
  EXPECT_TRUE(std::move(written).wait().has_value());
  body.push_back('x');
  const Status status = stream.write(body).wait().error();
  EXPECT_EQ(status.code(), StatusCode::resource_exhausted);
  EXPECT_TRUE(status.retry_is_safe());
  stream.finish();
  EXPECT_TRUE(rest(stream).empty());
}

TEST_F(ServedStreams, drain_lets_a_running_stream_finish) {
  Service service("t.Service");
  service.bidi("Echo", echo);
  Instance instance = serve(std::move(service));
  auto stream = open("Echo");
  ASSERT_TRUE(stream.write("before").wait().has_value());
  EXPECT_EQ(stream.read().wait().value(), "before");
  Pending<void> drained = instance.drain(30s);
  ASSERT_TRUE(stream.write("after").wait().has_value());
  EXPECT_EQ(stream.read().wait().value(), "after");
  stream.finish();
  EXPECT_TRUE(rest(stream).empty());
  const Result<void> result = std::move(drained).wait();
  EXPECT_TRUE(result.has_value()) << result.error().to_string();
  EXPECT_EQ(open("Echo").read().wait().error().code(), StatusCode::unavailable);
}

TEST_F(ServedStreams, handlers_of_streams_that_were_given_up_are_bounded) {
  std::latch let_go(1);
  test::Box<void> begun;
  test::Box<void> told;
  Service service("t.Service", {.in_flight_max = 1});
  service.bidi("Stubborn", [&](IncomingCall& call, Reader<>, Writer<>) -> Result<void> {
    const std::stop_callback on_stop(call.cancel_token(), [&told] { told.set_value(); });
    begun.set_value();
    let_go.wait();
    return {};
  });
  const Instance instance = serve(std::move(service));
  {
    const auto dropped = open("Stubborn");
    begun.get();
  }
  told.get();
  const Status status = open("Stubborn").read().wait().error();
  EXPECT_EQ(status.code(), StatusCode::resource_exhausted);
  EXPECT_TRUE(status.retry_is_safe());
  let_go.count_down();
  // The handler is on its way out: until it is, the answer is the same.
  auto result = open("Stubborn").read().wait();
  while (!result) result = open("Stubborn").read().wait();
  EXPECT_EQ(*result, std::nullopt);
  server.close(0s);
}

TEST_F(ServedStreams, a_blocking_handler_sees_the_end_of_its_client) {
  test::Box<void> begun;
  test::Box<StatusCode> read_end;
  test::Box<StatusCode> call_end;
  Client* client = &server;
  Service service("t.Service");
  service.bidi("Block", [&, client](IncomingCall&, Reader<> in, Writer<>) -> Result<void> {
    begun.set_value();
    const auto message = in.read().wait();
    read_end.set_value(message ? StatusCode::ok : message.error().code());
    // The loop still answers whoever asks late.
    const auto reply = client->call("fake.Node/Echo", "x").wait();
    call_end.set_value(reply ? StatusCode::ok : reply.error().code());
    return {};
  });
  const Instance instance = serve(std::move(service));
  auto stream = open("Block");
  begun.get();
  server.close(0s);
  EXPECT_NE(read_end.get(), StatusCode::ok);
  EXPECT_EQ(call_end.get(), StatusCode::cancelled);
  EXPECT_EQ(stream.read().wait().error().code(), StatusCode::unavailable);
}

}  // namespace
}  // namespace valkyrie
