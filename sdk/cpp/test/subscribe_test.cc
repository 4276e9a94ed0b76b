// Subscriptions, over a real socket.
#include <gtest/gtest.h>
#include <set>
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

class Subscribing : public testing::Test {
 protected:
  Subscribing() : client(Client::connect(node.url(), quiet()).value()) {}

  Subscription subscribed(Subject filter, const SubscribeOptions& options = {}) {
    auto subscription = client.subscribe(filter, options);
    EXPECT_TRUE(subscription.has_value()) << subscription.error().to_string();
    EXPECT_TRUE(client.flush().wait().has_value());
    return std::move(subscription.value());
  }
  void publish(Subject subject, BytesView payload) {
    ASSERT_TRUE(client.publish(subject, payload).has_value());
  }
  std::size_t at_node() {
    std::size_t count = 0;
    node.run([&] { count = node.subjects().subscriptions(); });
    return count;
  }

  // Waits until the node has seen so many.
  void await_subscriptions(std::uint64_t count) {
    std::uint64_t seen = 0;
    while (seen < count) {
      ASSERT_TRUE(client.flush().wait().has_value());
      node.run([&] { seen = node.subjects().subscribed(); });
    }
  }

  test::FakeNode node;
  Client client;
};

TEST_F(Subscribing, a_filter_that_breaks_the_grammar_is_refused_at_once) {
  for (const char* bad : {"", "a..b", "a*", "a.>.b", "a b"}) {
    const auto result = client.subscribe(bad);
    ASSERT_FALSE(result.has_value()) << bad;
    EXPECT_EQ(result.error().code(), StatusCode::invalid_argument);
  }
  EXPECT_EQ(client.subscribe("a*").error().message(),
            "\"a*\" cannot be subscribed to: a wildcard stands where it has no meaning");
  EXPECT_EQ(client.subscribe("valkyrie.>").error().code(), StatusCode::permission_denied);
  EXPECT_EQ(client.subscribe("a", {.group = "two words"}).error().code(),
            StatusCode::invalid_argument);
  EXPECT_EQ(client.subscribe("a", {.group = std::string(65, 'g')}).error().code(),
            StatusCode::invalid_argument);
  EXPECT_TRUE(client.subscribe("a", {.group = std::string(64, 'g')}).has_value());
}

TEST_F(Subscribing, what_the_node_refuses_comes_out_of_next) {
  auto subscription = subscribed("forbidden.x");
  const auto result = subscription.next().wait();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), StatusCode::permission_denied);
}

TEST_F(Subscribing, a_handler_gets_each_message_on_the_loop) {
  test::Box<std::string> seen;
  std::string all;
  auto subscription = client.subscribe("a.>", {}, [&](const PublicationView& publication) {
    all += std::string(publication.subject) + "=" + std::string(publication.payload.text()) + ";";
    if (publication.payload.text() == "3") seen.set_value(all);
  });
  ASSERT_TRUE(client.flush().wait().has_value());
  publish("a.x", "1");
  publish("a.y", "2");
  publish("a.x", "3");
  EXPECT_EQ(seen.get(), "a.x=1;a.y=2;a.x=3;");
}

TEST_F(Subscribing, a_coroutine_reads_publications) {
  const auto work = [](Client* its_client, test::Box<int>* total) -> Task<Result<void>> {
    auto subscription = its_client->subscribe("numbers").value();
    for (int i = 1; i <= 10; ++i) {
      const std::string number = std::to_string(i);
      static_cast<void>(its_client->publish("numbers", number));
    }
    int sum = 0;
    for (int i = 1; i <= 10; ++i) {
      auto publication = co_await subscription.next();
      if (!publication) co_return std::unexpected(publication.error());
      sum += std::stoi(std::string((*publication)->payload().text()));
    }
    total->set_value(sum);
    co_return {};
  };
  test::Box<int> total;
  client.spawn(work(&client, &total));
  EXPECT_EQ(total.get(), 55);
}

TEST_F(Subscribing, a_jump_of_the_sequence_is_counted_as_missed) {
  auto subscription = subscribed("a");
  publish("a", "1");
  EXPECT_EQ(subscription.next().wait().value()->missed(), 0u);
  node.run([this] { node.subjects().lose(3); });
  for (const char* body : {"2", "3", "4", "5", "6"}) publish("a", body);
  const auto after = subscription.next().wait().value();
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->payload().text(), "5");
  EXPECT_EQ(after->missed(), 3u);
  EXPECT_EQ(subscription.next().wait().value()->missed(), 0u);
}

TEST_F(Subscribing, a_loss_before_the_first_message_is_counted_too) {
  auto subscription = subscribed("a");
  node.run([this] { node.subjects().lose(2); });
  for (const char* body : {"1", "2", "3"}) publish("a", body);
  EXPECT_EQ(subscription.next().wait().value()->missed(), 2u);
}

TEST_F(Subscribing, members_of_a_group_share_the_messages) {
  auto first = subscribed("work", {.group = "g"});
  auto second = subscribed("work", {.group = "g"});
  auto other = subscribed("work");
  for (int i = 0; i < 10; ++i) publish("work", std::to_string(i));
  first.drain();
  second.drain();
  std::set<std::string> seen;
  for (Subscription* member : {&first, &second}) {
    while (auto publication = member->next().wait().value()) {
      EXPECT_TRUE(seen.insert(std::string(publication->payload().text())).second);
    }
  }
  EXPECT_EQ(seen.size(), 10u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(other.next().wait().value()->payload().text(), std::to_string(i));
  }
}

TEST_F(Subscribing, without_echo_the_clients_own_messages_stay_away) {
  auto silent = subscribed("a", {.no_echo = true});
  Client other = Client::connect(node.url(), quiet()).value();
  publish("a", "own");
  ASSERT_TRUE(client.flush().wait().has_value());
  ASSERT_TRUE(other.publish("a", "other's").has_value());
  EXPECT_EQ(silent.next().wait().value()->payload().text(), "other's");
}

TEST_F(Subscribing, what_is_not_read_gives_no_credit) {
  auto subscription = subscribed("a");
  const std::string body(1000, 'x');
  for (int i = 0; i < 200; ++i) publish("a", body);
  ASSERT_TRUE(client.flush().wait().has_value());
  std::uint64_t waiting = 0;
  node.run([&] { waiting = node.subjects().waited(); });
  EXPECT_GT(waiting, 200u - 2 * protocol::kStreamCreditBytesDefault / 1000);
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(subscription.next().wait().value()->payload().size(), 1000u);
  }
}

TEST_F(Subscribing, drain_gives_what_waits_and_then_the_end) {
  auto subscription = subscribed("a");
  for (int i = 0; i < 200; ++i) publish("a", std::string(1000, 'x'));
  ASSERT_TRUE(client.flush().wait().has_value());
  subscription.drain();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(subscription.next().wait().value().has_value());
  EXPECT_EQ(subscription.next().wait().value(), std::nullopt);
  EXPECT_EQ(subscription.next().wait().value(), std::nullopt);
  EXPECT_EQ(at_node(), 0u);
}

TEST_F(Subscribing, unsubscribe_ends_at_once) {
  auto subscription = subscribed("a");
  publish("a", "x");
  ASSERT_TRUE(client.flush().wait().has_value());
  Pending<std::optional<Publication>> first = subscription.next();
  EXPECT_TRUE(std::move(first).wait().value().has_value());
  Pending<std::optional<Publication>> second = subscription.next();
  subscription.unsubscribe();
  EXPECT_EQ(std::move(second).wait().value(), std::nullopt);
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(at_node(), 0u);
}

TEST_F(Subscribing, dropping_it_unsubscribes) {
  {
    auto subscription = subscribed("a");
    EXPECT_EQ(at_node(), 1u);
  }
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(at_node(), 0u);
}

TEST_F(Subscribing, a_handler_may_drop_its_subscription) {
  std::optional<Subscription> subscription;
  test::Box<void> dropped;
  subscription = client
                     .subscribe("a", {},
                                [&](const PublicationView&) {
                                  subscription.reset();
                                  dropped.set_value();
                                })
                     .value();
  publish("a", "1");
  publish("a", "2");
  dropped.get();
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(at_node(), 0u);
}

TEST_F(Subscribing, a_new_connection_restores_it_and_the_first_message_says_so) {
  auto subscription = subscribed("a");
  publish("a", "1");
  EXPECT_FALSE(subscription.next().wait().value()->interrupted());
  node.cut();
  await_subscriptions(2);
  publish("a", "2");
  publish("a", "3");
  const auto restored = subscription.next().wait().value();
  ASSERT_TRUE(restored.has_value());
  EXPECT_EQ(restored->payload().text(), "2");
  EXPECT_TRUE(restored->interrupted());
  EXPECT_EQ(restored->missed(), 0u);
  EXPECT_FALSE(subscription.next().wait().value()->interrupted());
}

TEST_F(Subscribing, what_came_before_the_connection_was_lost_is_still_read) {
  auto subscription = subscribed("a");
  publish("a", "1");
  ASSERT_TRUE(client.flush().wait().has_value());
  node.cut();
  while (node.connections() < 2) ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(subscription.next().wait().value()->payload().text(), "1");
}

TEST_F(Subscribing, a_node_that_leaves_hands_it_to_the_next) {
  auto subscription = subscribed("a");
  node.drain(10s);
  await_subscriptions(2);
  publish("a", "1");
  EXPECT_TRUE(subscription.next().wait().value()->interrupted());
}

TEST_F(Subscribing, a_slow_one_that_asked_for_it_ends_with_resource_exhausted) {
  auto subscription = subscribed("a", {.overflow = Overflow::reset});
  node.run([this] {
    node.subjects().reset(protocol::StreamKind::subscribe, protocol::CloseCode::slow_peer);
  });
  const auto result = subscription.next().wait();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), StatusCode::resource_exhausted);
}

TEST_F(Subscribing, a_slow_one_comes_back_once_it_has_read_everything) {
  auto subscription = subscribed("a");
  publish("a", "1");
  ASSERT_TRUE(client.flush().wait().has_value());
  node.run([this] {
    node.subjects().reset(protocol::StreamKind::subscribe, protocol::CloseCode::slow_peer);
  });
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(at_node(), 0u);
  EXPECT_EQ(subscription.next().wait().value()->payload().text(), "1");
  ASSERT_TRUE(client.flush().wait().has_value());
  EXPECT_EQ(at_node(), 1u);
  publish("a", "2");
  EXPECT_TRUE(subscription.next().wait().value()->interrupted());
}

TEST_F(Subscribing, two_reads_at_a_time_are_refused) {
  auto subscription = subscribed("a");
  Pending<std::optional<Publication>> first = subscription.next();
  EXPECT_EQ(subscription.next().wait().error().code(), StatusCode::failed_precondition);
  publish("a", "x");
  EXPECT_TRUE(std::move(first).wait().value().has_value());
}

TEST_F(Subscribing, a_dropped_read_leaves_the_message_for_the_next) {
  auto subscription = subscribed("a");
  {
    const auto dropped = subscription.next();
  }
  publish("a", "x");
  EXPECT_EQ(subscription.next().wait().value()->payload().text(), "x");
}

TEST_F(Subscribing, close_ends_it_as_cancelled) {
  auto subscription = subscribed("a");
  client.close(30s);
  EXPECT_EQ(subscription.next().wait().error().code(), StatusCode::cancelled);
  EXPECT_EQ(client.subscribe("a").error().code(), StatusCode::cancelled);
}

TEST_F(Subscribing, close_gives_a_handler_what_was_on_its_way) {
  int seen = 0;
  auto subscription = client.subscribe("a", {}, [&seen](const PublicationView&) { ++seen; });
  ASSERT_TRUE(client.flush().wait().has_value());
  for (int i = 0; i < 100; ++i) publish("a", "x");
  ASSERT_TRUE(client.flush().wait().has_value());
  client.close(30s);
  EXPECT_EQ(seen, 100);
}

}  // namespace
}  // namespace valkyrie
