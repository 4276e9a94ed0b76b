#include "transport/shard_links.h"

#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <vector>

namespace valkyrie::transport {
namespace {

using protocol::Duration;

struct Collected final : ShardReceiver<std::uint64_t> {
  std::vector<std::vector<std::uint64_t>> by_sender;
  explicit Collected(std::size_t shards) : by_sender(shards) {}
  void on_message(std::size_t from, std::uint64_t&& message) override {
    by_sender[from].push_back(message);
  }
};

// Shards turned by the test itself, one after the other.
struct Node {
  explicit Node(std::size_t shards, std::size_t ring_messages)
      : links(shards, ring_messages), received(shards, Collected(shards)) {
    for (std::size_t i = 0; i < shards; ++i) {
      reactors.push_back(std::move(Reactor::create().value()));
      links.attach(i, *reactors[i], received[i]);
    }
  }
  ~Node() {
    for (std::size_t i = 0; i < reactors.size(); ++i) links.detach(i);
  }
  std::vector<std::unique_ptr<Reactor>> reactors;
  ShardLinks<std::uint64_t> links;
  std::vector<Collected> received;
};

TEST(ShardLinks, a_message_arrives_after_the_senders_turn_ends) {
  Node node(2, 8);
  node.links.send(0, 1, 42);
  node.reactors[0]->turn(Duration{0});
  node.reactors[1]->turn(Duration{-1});
  EXPECT_EQ(node.received[1].by_sender[0], std::vector<std::uint64_t>{42});
  EXPECT_TRUE(node.received[1].by_sender[1].empty());
}

TEST(ShardLinks, a_shard_may_send_to_itself) {
  Node node(1, 8);
  node.links.send(0, 0, 7);
  node.reactors[0]->turn(Duration{-1});
  EXPECT_EQ(node.received[0].by_sender[0], std::vector<std::uint64_t>{7});
}

TEST(ShardLinks, overflow_waits_in_order_and_follows_when_there_is_room) {
  Node node(2, 4);
  for (std::uint64_t value = 0; value < 11; ++value) node.links.send(0, 1, value);
  EXPECT_EQ(node.links.overflow_count(0, 1), 7u);
  node.reactors[0]->turn(Duration{0});
  // Endless waits: a missing wake-up in either direction hangs here.
  std::vector<std::uint64_t> expected;
  for (const std::size_t arrived : {4u, 8u, 11u}) {
    node.reactors[1]->turn(Duration{-1});
    EXPECT_EQ(node.received[1].by_sender[0].size(), arrived);
    if (arrived < 11) node.reactors[0]->turn(Duration{-1});
  }
  for (std::uint64_t value = 0; value < 11; ++value) expected.push_back(value);
  EXPECT_EQ(node.received[1].by_sender[0], expected);
  EXPECT_EQ(node.links.overflow_count(0, 1), 0u);
}

// Three shards on threads of their own flood each other through tiny rings; each answers nothing
// and stops once it has everything.
struct Flooder final : ShardReceiver<std::uint64_t> {
  static constexpr std::uint64_t kMessages = 20'000;
  static constexpr std::uint64_t kBatch = 100;
  ShardLinks<std::uint64_t>* links = nullptr;
  Reactor* reactor = nullptr;
  std::size_t self = 0;
  std::uint64_t sent = 0;
  std::vector<std::uint64_t> next;
  bool in_order = true;
  std::uint64_t total = 0;

  void on_message(std::size_t from, std::uint64_t&& message) override {
    in_order = in_order && message == next[from]++;
    ++total;
  }
  bool done() const { return sent == kMessages && total == kMessages * links->shard_count(); }
  void run() {
    while (!done()) {
      for (std::uint64_t i = 0; i < kBatch && sent < kMessages; ++i, ++sent) {
        for (std::size_t to = 0; to < links->shard_count(); ++to) links->send(self, to, sent);
      }
      reactor->turn(Duration{sent < kMessages ? 0 : -1});
    }
    // Whoever is done must still make room for its own overflow.
    bool waiting = true;
    while (waiting) {
      waiting = false;
      for (std::size_t to = 0; to < links->shard_count(); ++to) {
        waiting = waiting || links->overflow_count(self, to) > 0;
      }
      if (waiting) reactor->turn(Duration{-1});
    }
  }
};

TEST(ShardLinks, threads_flooding_each_other_lose_and_reorder_nothing) {
  constexpr std::size_t kShards = 3;
  ShardLinks<std::uint64_t> links(kShards, 16);
  std::vector<std::unique_ptr<Reactor>> reactors;
  std::vector<Flooder> flooders(kShards);
  for (std::size_t i = 0; i < kShards; ++i) {
    reactors.push_back(std::move(Reactor::create().value()));
    flooders[i].links = &links;
    flooders[i].reactor = reactors[i].get();
    flooders[i].self = i;
    flooders[i].next.resize(kShards);
    links.attach(i, *reactors[i], flooders[i]);
  }
  std::vector<std::thread> threads;
  for (Flooder& flooder : flooders) threads.emplace_back([&] { flooder.run(); });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < kShards; ++i) {
    EXPECT_TRUE(flooders[i].in_order);
    EXPECT_EQ(flooders[i].total, Flooder::kMessages * kShards);
    links.detach(i);
  }
}

}  // namespace
}  // namespace valkyrie::transport
