// A subscriber that stands still while a publisher floods: nobody else waits for it, the node keeps
// no more than its bound, and what was lost is counted on both sides.
#include <charconv>
#include <csignal>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/json.h"
#include "tests/e2e/subjects.h"

namespace valkyrie::tests {
namespace {

constexpr int kResourceExhausted = 64 + 8;
constexpr std::size_t kMessages = 1024;
constexpr std::size_t kMessageBytes = 64u << 10;
constexpr std::string_view kLast = "the last";

// What a subscriber has printed of the numbered messages.
struct Printed {
  std::vector<std::size_t> numbers;
  std::uint64_t missed = 0;         // Before any of them,
  std::uint64_t missed_at_end = 0;  // and before the last message.

  // True until the last message.
  bool add(std::string_view line) {
    const json::value document = parse_json(line);
    const std::string_view payload = document.at("payload").as_string();
    const auto lost = document.at("missed").to_number<std::uint64_t>();
    if (payload == kLast) {
      missed_at_end = lost;
      return false;
    }
    missed += lost;
    if (is_probe(payload)) return true;
    std::size_t number = 0;
    std::from_chars(payload.data(), payload.data() + payload.size(), number);
    numbers.push_back(number);
    return true;
  }
};

class SlowSubscriber : public ::testing::TestWithParam<int> {
 protected:
  SlowSubscriber() { probe(*publisher, "flood", quick); }

  // Starts a subscriber and stops it once it gets messages.
  void start(const std::string& overflow) {
    slow.emplace(node,
                 std::vector<std::string>{"-o", "jsonl", "sub", "flood", "--overflow", overflow});
    probe(*publisher, "flood", slow->out);
    slow->signal(SIGSTOP);
  }
  // Publishes, each message when the quick subscriber has the one before.
  void flood() {
    const std::size_t before = resident_bytes(node.process.pid());
    for (std::size_t i = 0; i < kMessages; ++i) {
      std::string message = fmt::format("{} ", i);
      message.resize(kMessageBytes, 'x');
      const auto receipt = publisher->publish_acked("flood", message).wait();
      ASSERT_TRUE(receipt.has_value()) << i << ": " << receipt.error().to_string();
      ASSERT_TRUE(quick.wait_count(i + 1));
    }
    const std::size_t after = resident_bytes(node.process.pid());
    if (!server::testing::is_sanitized()) {
      EXPECT_LT(after, before + (24u << 20));
    }
  }
  // Lets the subscriber go on. When it has read what waited for it, a last message follows.
  Printed wake() {
    wait_node_has(*publisher, "events_queued");
    EXPECT_LE(node_count(*publisher, "event_bytes_queued"), 1u << 20);
    slow->signal(SIGCONT);
    const std::jthread closer([this] {
      wait_node_count(*publisher, "events_queued", 0);
      EXPECT_TRUE(publisher->publish_acked("flood", kLast).wait().has_value());
    });
    Printed printed;
    while (const auto line = slow->out.next()) {
      if (!printed.add(*line)) return printed;
    }
    ADD_FAILURE() << "the last message is missing";
    return printed;
  }
  void expect_others_untouched() {
    for (const Received& message : quick.finish()) EXPECT_EQ(message.missed, 0u);
  }

  RunningNode node{{"--shards", std::to_string(GetParam()), "--set", "qos.slow_peer.stall=10m",
                    "--set", "qos.slow_peer.queue_max=1MiB"}};
  Result<Client> publisher = Client::connect(node.tcp_url);
  Listener quick{node.unix_url, "flood"};
  std::optional<Cli> slow;
};

INSTANTIATE_TEST_SUITE_P(Shards, SlowSubscriber, ::testing::Values(1, 2));

// The numbers from `first` to `last`.
std::vector<std::size_t> numbers(std::size_t first, std::size_t last) {
  std::vector<std::size_t> all;
  for (std::size_t i = first; i <= last; ++i) all.push_back(i);
  return all;
}

TEST_P(SlowSubscriber, loses_the_oldest_and_sees_how_many) {
  start("drop_oldest");
  flood();
  const Printed printed = wake();
  EXPECT_GT(printed.missed, 0u);
  EXPECT_EQ(printed.missed_at_end, 0u);
  EXPECT_EQ(printed.numbers.size() + printed.missed, kMessages);
  wait_node_count(*publisher, "events_dropped", printed.missed);
  ASSERT_FALSE(printed.numbers.empty());
  EXPECT_EQ(printed.numbers.back(), kMessages - 1);
  expect_others_untouched();
}

TEST_P(SlowSubscriber, loses_the_newest_and_sees_how_many) {
  start("drop_newest");
  flood();
  const Printed printed = wake();
  EXPECT_EQ(printed.missed, 0u);
  EXPECT_GT(printed.missed_at_end, 0u);
  EXPECT_EQ(printed.numbers, numbers(0, kMessages - printed.missed_at_end - 1));
  wait_node_count(*publisher, "events_dropped", printed.missed_at_end);
  expect_others_untouched();
}

TEST_P(SlowSubscriber, is_reset_where_it_asked_for_that) {
  start("reset");
  flood();
  wait_node_count(*publisher, "subscriptions_reset", 1);
  wait_node_count(*publisher, "subscriptions", 1);
  wait_node_count(*publisher, "event_bytes_queued", 0);
  slow->signal(SIGCONT);
  const Ran ran = finish(*slow);
  EXPECT_EQ(ran.exit, kResourceExhausted);
  EXPECT_TRUE(says(ran.err, "the subscriber is slower than its subjects"));
  expect_others_untouched();
}

TEST_P(SlowSubscriber, that_is_killed_while_it_stands_still_leaves_nothing) {
  start("drop_oldest");
  flood();
  slow->signal(SIGKILL);
  EXPECT_EQ(slow->wait(), 128 + SIGKILL);
  wait_node_count(*publisher, "subscriptions", 1);
  wait_node_count(*publisher, "event_bytes_queued", 0);
  ASSERT_TRUE(publisher->publish_acked("flood", kLast).wait().has_value());
  EXPECT_TRUE(quick.wait_count(kMessages + 1));
  expect_others_untouched();
}

}  // namespace
}  // namespace valkyrie::tests
