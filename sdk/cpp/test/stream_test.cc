// Streams of many messages over a real socket.
#include <gtest/gtest.h>
#include <string>
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

class Streaming : public testing::Test {
 protected:
  Streaming() : client(Client::connect(node.url(), quiet()).value()) {}

  test::FakeNode node;
  Client client;
};

TEST_F(Streaming, messages_come_back_in_order_and_the_end_is_clean) {
  auto stream = client.stream<std::string, std::string>("fake.Node/Chat");
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(stream.write(std::to_string(i)).wait().has_value());
  }
  stream.finish();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(stream.read().wait().value(), std::to_string(i));
  }
  EXPECT_EQ(stream.read().wait().value(), std::nullopt);
  EXPECT_EQ(stream.read().wait().value(), std::nullopt);
}

TEST_F(Streaming, a_message_larger_than_the_credit_comes_back_whole) {
  auto stream = client.stream("fake.Node/Chat");
  const std::string body(1u << 20, 'x');
  Pending<void> written = stream.write(Bytes::copy(body));
  EXPECT_EQ(stream.read().wait().value()->text(), body);
  EXPECT_TRUE(std::move(written).wait().has_value());
}

TEST_F(Streaming, an_empty_message_is_a_message) {
  auto stream = client.stream("fake.Node/Chat");
  ASSERT_TRUE(stream.write(Bytes()).wait().has_value());
  const auto message = stream.read().wait().value();
  ASSERT_TRUE(message.has_value());
  EXPECT_TRUE(message->empty());
}

TEST_F(Streaming, a_coroutine_reads_and_writes) {
  const auto work = [](Client* its_client, test::Box<int>* total) -> Task<Result<void>> {
    auto stream = its_client->stream<std::string, std::string>("fake.Node/Chat");
    int sum = 0;
    for (int i = 1; i <= 10; ++i) {
      const std::string number = std::to_string(i);
      const Result<void> written = co_await stream.write(number);
      if (!written) co_return written;
      const Result<std::optional<std::string>> back = co_await stream.read();
      sum += std::stoi(**back);
    }
    total->set_value(sum);
    co_return {};
  };
  test::Box<int> total;
  client.spawn(work(&client, &total));
  EXPECT_EQ(total.get(), 55);
}

TEST_F(Streaming, a_status_at_the_end_is_what_reading_and_writing_fail_with) {
  auto stream = client.stream<std::string, std::string>("fake.Node/Broken");
  ASSERT_TRUE(stream.write("x").wait().has_value());
  const Status status = stream.read().wait().error();
  EXPECT_EQ(status.code(), StatusCode::aborted);
  EXPECT_EQ(status.message(), "broken on purpose");
  EXPECT_EQ(stream.write("y").wait().error().code(), StatusCode::aborted);
  EXPECT_FALSE(stream.try_write("z"));
}

TEST_F(Streaming, writing_waits_for_credit_and_try_write_says_so) {
  auto stream = client.stream("fake.Node/Deaf");
  const Bytes block = Bytes::copy(std::string(40u << 10, 'x'));
  EXPECT_TRUE(stream.write(block).wait().has_value());
  Pending<void> waits = stream.write(block);
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_TRUE(stream.try_write(block));
  EXPECT_FALSE(stream.try_write(block));
  stream.cancel();
  EXPECT_EQ(std::move(waits).wait().error().code(), StatusCode::cancelled);
}

TEST_F(Streaming, finish_takes_no_more_writes) {
  auto stream = client.stream<std::string>("fake.Node/Chat");
  stream.finish();
  stream.finish();
  EXPECT_EQ(stream.write("x").wait().error().code(), StatusCode::failed_precondition);
}

TEST_F(Streaming, cancel_ends_a_read_that_waits) {
  auto stream = client.stream("fake.Node/Chat");
  auto reading = stream.read();
  stream.cancel();
  EXPECT_EQ(std::move(reading).wait().error().code(), StatusCode::cancelled);
  EXPECT_EQ(stream.read().wait().error().code(), StatusCode::cancelled);
}

TEST_F(Streaming, dropping_a_stream_cancels_its_read) {
  std::optional<Stream<>> stream(client.stream("fake.Node/Chat"));
  auto reading = stream->read();
  stream.reset();
  EXPECT_EQ(std::move(reading).wait().error().code(), StatusCode::cancelled);
}

TEST_F(Streaming, a_second_read_at_once_is_a_precondition_that_failed) {
  auto stream = client.stream("fake.Node/Chat");
  const auto first = stream.read();
  EXPECT_EQ(stream.read().wait().error().code(), StatusCode::failed_precondition);
}

TEST_F(Streaming, a_dropped_read_leaves_the_message_for_the_next) {
  auto stream = client.stream<std::string, std::string>("fake.Node/Chat");
  {
    const auto dropped = stream.read();
  }
  ASSERT_TRUE(stream.write("x").wait().has_value());
  EXPECT_EQ(stream.read().wait().value(), "x");
}

TEST_F(Streaming, the_deadline_ends_the_stream) {
  auto stream = client.stream("fake.Node/Chat", {.deadline = 10ms});
  EXPECT_EQ(stream.read().wait().error().code(), StatusCode::deadline_exceeded);
}

TEST_F(Streaming, a_stop_token_ends_the_stream) {
  std::stop_source source;
  const std::stop_token token = source.get_token();
  auto stream = client.stream("fake.Node/Chat", {.cancel = &token});
  auto reading = stream.read();
  source.request_stop();
  EXPECT_EQ(std::move(reading).wait().error().code(), StatusCode::cancelled);
}

TEST_F(Streaming, a_lost_connection_ends_the_stream_as_unavailable) {
  auto stream = client.stream<std::string, std::string>("fake.Node/Chat");
  ASSERT_TRUE(stream.write("x").wait().has_value());
  EXPECT_EQ(stream.read().wait().value(), "x");
  node.cut();
  EXPECT_EQ(stream.read().wait().error().code(), StatusCode::unavailable);
}

TEST_F(Streaming, a_target_without_a_method_is_an_argument_error) {
  EXPECT_EQ(client.stream("nothing").read().wait().error().code(), StatusCode::invalid_argument);
}

}  // namespace
}  // namespace valkyrie
