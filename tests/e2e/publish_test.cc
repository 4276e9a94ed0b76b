// Publish/subscribe through a real node, of one shard and of two: who gets what, receipts, and
// subscribers that die.
#include <csignal>
#include <deque>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/e2e/subjects.h"

namespace valkyrie::tests {
namespace {

constexpr int kInvalidArgument = 64 + 3;
constexpr int kFailedPrecondition = 64 + 9;

class Publish : public ::testing::TestWithParam<int> {
 protected:
  // Publishes and waits for the receipt.
  void send(Client& from, std::string_view subject, std::string_view payload) {
    const auto receipt = from.publish_acked(subject, payload).wait();
    ASSERT_TRUE(receipt.has_value()) << receipt.error().to_string();
    EXPECT_EQ(receipt->level, AckLevel::received);
  }
  // Publishes the numbers from 0.
  void send_numbers(std::string_view subject, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(publisher->publish(subject, std::to_string(i)).has_value());
    }
    ASSERT_TRUE(publisher->flush().wait().has_value());
  }

  RunningNode node{{"--shards", std::to_string(GetParam())}};
  Result<Client> publisher = Client::connect(node.tcp_url);
  std::deque<Listener> listeners;
};

INSTANTIATE_TEST_SUITE_P(Shards, Publish, ::testing::Values(1, 2));

TEST_P(Publish, a_filter_gets_the_subjects_that_it_matches) {
  const std::map<std::string, std::vector<std::string>> cases = {
      {"a.b", {"a.b"}},
      {"a.*", {"a.b"}},
      {"a.>", {"a.b", "a.b.c", "a.b.c.d"}},
      {"*.b.*", {"a.b.c", "x.b.c"}},
      {"*", {"a"}},
      {">", {"a", "a.b", "a.b.c", "A.b", "x.b.c", "a.b.c.d"}},
  };
  std::vector<std::string> filters;
  for (const auto& [filter, subjects] : cases) {
    filters.push_back(filter);
    Listener& listener =
        listeners.emplace_back(filters.size() % 2 == 0 ? node.tcp_url : node.unix_url, filter);
    probe(*publisher, subjects.front(), listener);
  }
  for (const std::string& subject : cases.at(">")) send(*publisher, subject, "");
  for (std::size_t i = 0; i < filters.size(); ++i) {
    const std::vector<std::string>& expected = cases.at(filters[i]);
    EXPECT_TRUE(listeners[i].wait_count(expected.size())) << filters[i];
    std::vector<std::string> subjects;
    for (const Received& message : listeners[i].finish()) subjects.push_back(message.subject);
    EXPECT_EQ(subjects, expected) << filters[i];
  }
}

TEST_P(Publish, every_subscriber_gets_every_message_in_order) {
  constexpr std::size_t kMessages = 5000;
  for (int i = 0; i < 4; ++i) {
    listeners.emplace_back(i % 2 == 0 ? node.unix_url : node.tcp_url, "numbers.>");
  }
  probe(*publisher, "numbers.all", listeners);
  send_numbers("numbers.all", kMessages);
  for (Listener& listener : listeners) {
    ASSERT_TRUE(listener.wait_count(kMessages));
    const std::vector<Received> all = listener.finish();
    ASSERT_EQ(all.size(), kMessages);
    for (std::size_t i = 0; i < kMessages; ++i) {
      ASSERT_EQ(all[i].payload, std::to_string(i));
      ASSERT_EQ(all[i].missed, 0u);
    }
  }
  EXPECT_EQ(node_count(*publisher, "events_dropped"), 0u);
}

TEST_P(Publish, a_group_shares_and_each_message_goes_to_one_member) {
  constexpr std::size_t kMessages = 2000;
  const std::string groups[] = {"workers", "workers", "workers", "auditors", "auditors", ""};
  for (std::size_t i = 0; i < std::size(groups); ++i) {
    listeners.emplace_back(i % 2 == 0 ? node.unix_url : node.tcp_url, "work.*",
                           SubscribeOptions{.group = groups[i]});
  }
  probe(*publisher, "work.item", listeners);
  send_numbers("work.item", kMessages);
  const auto count_of = [&](const std::string& group) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < listeners.size(); ++i) {
      if (groups[i] == group) count += listeners[i].count();
    }
    return count;
  };
  for (const std::string group : {"workers", "auditors", ""}) {
    while (count_of(group) < kMessages) ASSERT_TRUE(publisher->flush().wait().has_value());
  }
  std::map<std::string, std::multiset<std::string>> got;
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    const std::vector<Received> all = listeners[i].finish();
    EXPECT_GT(all.size(), 0u) << "the members take turns";
    for (const Received& message : all) got[groups[i]].insert(message.payload);
  }
  for (const auto& [group, payloads] : got) {
    EXPECT_EQ(payloads.size(), kMessages) << group;
    EXPECT_EQ(std::set<std::string>(payloads.begin(), payloads.end()).size(), kMessages) << group;
  }
}

TEST_P(Publish, without_echo_a_subscriber_does_not_hear_itself) {
  Listener& deaf = listeners.emplace_back(node.unix_url, "chat", SubscribeOptions{.no_echo = true});
  Listener& plain = listeners.emplace_back(node.unix_url, "chat");
  probe(*publisher, "chat", listeners);
  send(deaf.client(), "chat", "mine");
  send(*publisher, "chat", "theirs");
  ASSERT_TRUE(deaf.wait_count(1) && plain.wait_count(2));
  const std::vector<Received> heard_by_deaf = deaf.finish();
  ASSERT_EQ(heard_by_deaf.size(), 1u);
  EXPECT_EQ(heard_by_deaf[0].payload, "theirs");
  EXPECT_EQ(heard_by_deaf[0].missed, 0u) << "what it said itself is no loss";
  EXPECT_EQ(plain.finish().size(), 2u);
}

TEST_P(Publish, a_receipt_says_received_and_what_no_store_holds_is_refused) {
  send(*publisher, "nobody.listens", "x");
  Listener& listener = listeners.emplace_back(node.unix_url, "stored");
  probe(*publisher, "stored", listener);
  for (const AckLevel level : {AckLevel::persisted, AckLevel::replicated}) {
    const auto receipt = publisher->publish_acked("stored", "x", level).wait();
    ASSERT_FALSE(receipt.has_value());
    EXPECT_EQ(receipt.error().code(), StatusCode::failed_precondition);
    EXPECT_TRUE(receipt.error().retry_is_safe());
    EXPECT_TRUE(says(receipt.error().message(), "not available here"));
    const Ran ran = cli(node, {"pub", "stored", "x", "--ack", std::string(to_string(level))});
    EXPECT_EQ(ran.exit, kFailedPrecondition);
    EXPECT_TRUE(says(ran.err, "not available here"));
  }
  EXPECT_EQ(cli(node, {"pub", "stored", "kept", "--ack", "received"}).exit, 0);
  ASSERT_TRUE(listener.wait_count(1));
  const std::vector<Received> all = listener.finish();
  ASSERT_EQ(all.size(), 1u) << "what was refused reached nobody";
  EXPECT_EQ(all[0].payload, "kept");
}

TEST_P(Publish, bad_subjects_are_named_by_the_command_line) {
  for (const char* const subject : {"a..b", ".a", "a b", "a.*", "a/b", "\xff"}) {
    const Ran ran = cli(node, {"pub", subject, "x"});
    EXPECT_EQ(ran.exit, kInvalidArgument) << subject;
    EXPECT_TRUE(says(ran.err, "error: "));
  }
  const Ran ran = cli(node, {"sub", "a.>.b"});
  EXPECT_EQ(ran.exit, kInvalidArgument);
  EXPECT_TRUE(says(ran.err, "a.>.b"));
}

TEST_P(Publish, a_subscriber_that_is_killed_is_gone_and_the_others_go_on) {
  Listener& left = listeners.emplace_back(node.unix_url, "news");
  Cli killed(node, {"sub", "news"});
  probe(*publisher, "news", killed.out);
  probe(*publisher, "news", left);
  killed.signal(SIGKILL);
  EXPECT_EQ(killed.wait(), 128 + SIGKILL);
  wait_node_count(*publisher, "subscriptions", 1);
  send_numbers("news", 1000);
  ASSERT_TRUE(left.wait_count(1000));
  EXPECT_EQ(left.finish().size(), 1000u);
  wait_node_count(*publisher, "subscriptions", 0);
  wait_node_count(*publisher, "event_bytes_queued", 0);
}

TEST_P(Publish, the_work_of_a_killed_member_goes_to_the_others_of_its_group) {
  Listener& left = listeners.emplace_back(node.tcp_url, "work", SubscribeOptions{.group = "g"});
  Cli killed(node, {"sub", "work", "--group", "g"});
  probe(*publisher, "work", killed.out);
  probe(*publisher, "work", left);
  killed.signal(SIGKILL);
  EXPECT_EQ(killed.wait(), 128 + SIGKILL);
  wait_node_count(*publisher, "subscriptions", 1);
  const std::uint64_t before = node_count(*publisher, "events_dropped");
  send_numbers("work", 1000);
  // Another shard may hear a moment later that the member is gone; what it sends there until then
  // is lost, and counted.
  while (left.count() + node_count(*publisher, "events_dropped") - before < 1000) {
  }
  EXPECT_GT(left.finish().size(), 0u);
}

}  // namespace
}  // namespace valkyrie::tests
