// Publishing, over a real socket.
#include <future>
#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

#include "sdk/cpp/test/fake_node.h"
#include "sdk/cpp/test/quiet.h"
#include "valkyrie/valkyrie.h"

namespace valkyrie {
namespace {

using namespace std::chrono_literals;
using test::quiet;

Task<Result<void>> fulfil(std::promise<void>& promise) {
  promise.set_value();
  co_return {};
}

// Until the client's loop has run what it was given before.
void await_turn(Client& client) {
  std::promise<void> turned;
  client.spawn(fulfil(turned));
  turned.get_future().wait();
}

class Publishing : public testing::Test {
 protected:
  Publishing() : client(Client::connect(node.url(), quiet()).value()) {}

  Subscription subscribed(Subject filter) {
    auto subscription = client.subscribe(filter);
    EXPECT_TRUE(client.flush().wait().has_value());
    return std::move(subscription.value());
  }
  std::uint64_t published() {
    std::uint64_t count = 0;
    node.run([&] { count = node.subjects().published(); });
    return count;
  }

  test::FakeNode node;
  Client client;
};

TEST_F(Publishing, a_message_comes_to_its_subscriber_with_subject_and_payload) {
  auto subscription = subscribed("sensors.*");
  ASSERT_TRUE(client.publish("sensors.a", "21.5").has_value());
  const auto publication = subscription.next().wait().value();
  ASSERT_TRUE(publication.has_value());
  EXPECT_EQ(publication->subject(), "sensors.a");
  EXPECT_EQ(publication->payload().text(), "21.5");
  EXPECT_EQ(publication->missed(), 0u);
  EXPECT_FALSE(publication->interrupted());
}

TEST_F(Publishing, an_empty_message_is_a_message) {
  auto subscription = subscribed("a");
  ASSERT_TRUE(client.publish("a", {}).has_value());
  EXPECT_TRUE(subscription.next().wait().value()->payload().empty());
}

TEST_F(Publishing, messages_of_one_thread_keep_their_order_whatever_way_they_take) {
  auto subscription = subscribed(">");
  for (int i = 0; i < 1000; ++i) {
    const std::string subject = "t." + std::to_string(i % 3);
    if (i % 7 == 0) {
      client.publish_acked(subject, std::to_string(i)).detach();
    } else {
      ASSERT_TRUE(client.publish(subject, std::to_string(i)).has_value());
    }
  }
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(subscription.next().wait().value()->payload().text(), std::to_string(i));
  }
}

TEST_F(Publishing, the_subject_of_the_stream_is_not_repeated) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client.publish("always.the.same", "x").has_value());
  ASSERT_TRUE(client.publish("another", "x").has_value());
  ASSERT_TRUE(client.flush().wait().has_value());
  node.run([this] {
    EXPECT_EQ(node.subjects().published(), 11u);
    EXPECT_EQ(node.subjects().subjects_named(), 1u);
  });
}

TEST_F(Publishing, metadata_travels_along) {
  auto subscription = subscribed("a");
  Metadata metadata;
  ASSERT_TRUE(metadata.add("colour", "blue"));
  ASSERT_TRUE(client.publish("a", "x", {.metadata = &metadata}).has_value());
  const auto publication = subscription.next().wait().value();
  ASSERT_TRUE(publication.has_value());
  EXPECT_EQ(publication->metadata().get("colour"), "blue");
  EXPECT_EQ(publication->payload().text(), "x");
}

TEST_F(Publishing, a_receipt_says_what_was_reached) {
  const auto receipt = client.publish_acked("a", "x").wait();
  ASSERT_TRUE(receipt.has_value()) << receipt.error().to_string();
  EXPECT_EQ(receipt->level, AckLevel::received);
}

TEST_F(Publishing, a_level_that_the_node_lacks_fails_with_its_words) {
  const auto receipt = client.publish_acked("a", "x", AckLevel::persisted).wait();
  ASSERT_FALSE(receipt.has_value());
  EXPECT_EQ(receipt.error().code(), StatusCode::failed_precondition);
  EXPECT_EQ(receipt.error().message(), "no store here");
  EXPECT_TRUE(receipt.error().retry_is_safe());
}

TEST_F(Publishing, a_subject_that_breaks_the_grammar_is_not_sent) {
  for (const char* bad : {"", "a..b", "a.*", ">", "a b", ".a"}) {
    const auto result = client.publish(bad, "x");
    ASSERT_FALSE(result.has_value()) << bad;
    EXPECT_EQ(result.error().code(), StatusCode::invalid_argument);
    EXPECT_TRUE(result.error().retry_is_safe());
    EXPECT_EQ(client.publish_acked(bad, "x").wait().error().code(), StatusCode::invalid_argument);
  }
  EXPECT_EQ(client.publish("a..b", "x").error().message(),
            "\"a..b\" cannot be published to: the subject has an empty token");
  EXPECT_EQ(client.publish("valkyrie.x", "x").error().code(), StatusCode::permission_denied);
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(published(), 0u);
}

TEST_F(Publishing, a_message_over_the_limit_is_refused_at_once) {
  const std::string at_limit(4u << 20, 'x');
  EXPECT_TRUE(client.publish("a", at_limit).has_value());
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(published(), 1u);
  const auto result = client.publish("a", at_limit + "x");
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), StatusCode::resource_exhausted);
  EXPECT_EQ(client.publish_acked("a", at_limit + "x").wait().error().code(),
            StatusCode::resource_exhausted);
}

TEST_F(Publishing, flush_says_that_the_node_has_read_everything) {
  const std::string body(1000, 'x');
  for (std::uint64_t round = 1; round <= 20; ++round) {
    for (int i = 0; i < 2000; ++i) ASSERT_TRUE(client.publish("a", body).has_value());
    ASSERT_TRUE(client.flush().wait().has_value());
    ASSERT_EQ(published(), 2000 * round);
  }
}

TEST_F(Publishing, close_lets_what_was_published_leave) {
  const std::string body(1000, 'x');
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(client.publish("a", body).has_value());
  client.close(30s);
  EXPECT_EQ(published(), 2000u);
  EXPECT_EQ(client.publish("a", "x").error().code(), StatusCode::cancelled);
  EXPECT_EQ(client.publish_acked("a", "x").wait().error().code(), StatusCode::cancelled);
}

TEST_F(Publishing, a_node_that_takes_nothing_makes_the_publisher_wait_within_its_bound) {
  ClientOptions options = quiet();
  options.waiting_bytes_max = 100'000;
  Client small = Client::connect(node.url(), std::move(options)).value();
  node.run([this] { node.subjects().be_deaf(true); });
  const std::string body(1000, 'x');
  Result<void> result;
  int taken = 0;
  // What this thread has handed over makes room once more when the loop has taken it in.
  for (int before = -1; taken > before; await_turn(small)) {
    before = taken;
    while (taken < 1000 && (result = small.publish("a", body))) ++taken;
  }
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), StatusCode::resource_exhausted);
  EXPECT_TRUE(result.error().retry_is_safe());
  auto receipt = small.publish_acked("a", body).wait();
  EXPECT_EQ(receipt.error().code(), StatusCode::resource_exhausted);
}

TEST_F(Publishing, what_waits_is_sent_once_a_node_is_there) {
  std::string url = node.url() + "-later";
  ClientOptions options = quiet();
  options.lazy = true;
  Client lazy = Client::connect(url, std::move(options)).value();
  ASSERT_TRUE(lazy.publish("a", "1").has_value());
  Pending<Receipt> receipt = lazy.publish_acked("a", "2");
  test::FakeNode later(url);
  EXPECT_TRUE(std::move(receipt).wait().has_value());
  later.run([&later] { EXPECT_EQ(later.subjects().published(), 2u); });
}

TEST_F(Publishing, a_lost_connection_says_that_the_message_may_have_been_published) {
  node.run([this] { node.subjects().be_deaf(true); });
  Pending<Receipt> receipt = client.publish_acked("a", "x");
  ASSERT_TRUE(client.flush().wait().has_value());
  node.cut();
  const auto result = std::move(receipt).wait();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), StatusCode::unavailable);
  EXPECT_EQ(result.error().outcome(), Outcome::maybe_executed);
  node.run([this] { node.subjects().be_deaf(false); });
  EXPECT_TRUE(client.publish_acked("a", "y").wait().has_value());
}

TEST_F(Publishing, no_receipt_in_time_is_deadline_exceeded) {
  node.run([this] { node.subjects().be_deaf(true); });
  const auto result = client.publish_acked("a", "x", AckLevel::received, {.deadline = 10ms}).wait();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), StatusCode::deadline_exceeded);
  EXPECT_EQ(result.error().message(), "no receipt in 10ms; it may have been published");
}

TEST_F(Publishing, a_stream_that_the_node_resets_is_opened_again) {
  ASSERT_TRUE(client.publish("a", "1").has_value());
  ASSERT_TRUE(client.flush().wait().has_value());
  node.run([this] {
    node.subjects().reset(protocol::StreamKind::publish, protocol::CloseCode::forbidden);
  });
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_TRUE(client.publish_acked("a", "2").wait().has_value());
  EXPECT_EQ(published(), 2u);
}

TEST_F(Publishing, classes_have_streams_of_their_own) {
  auto subscription = subscribed("a");
  ASSERT_TRUE(client.publish("a", "x", {.qos = Qos::telemetry}).has_value());
  EXPECT_EQ(subscription.next().wait().value()->payload().text(), "x");
  ASSERT_TRUE(client.publish("a", "y", {.qos = Qos::data}).has_value());
  EXPECT_EQ(subscription.next().wait().value()->payload().text(), "y");
}

TEST_F(Publishing, a_class_above_the_ceiling_is_refused_unsent) {
  EXPECT_EQ(client.publish_acked("a", "x", AckLevel::received, {.qos = Qos::critical})
                .wait()
                .error()
                .code(),
            StatusCode::permission_denied);
}

TEST_F(Publishing, a_dropped_receipt_does_not_hold_the_client) {
  node.run([this] { node.subjects().be_deaf(true); });
  for (int i = 0; i < 100; ++i) static_cast<void>(client.publish_acked("a", "x"));
  client.close(0s);
}

}  // namespace
}  // namespace valkyrie
