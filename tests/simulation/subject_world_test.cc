// Hundreds of small worlds of publishers and subscribers: slow ones, groups, several shards,
// connections that break. The seed decides everything.
#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <set>

#include "protocol/subject.h"
#include "tests/simulation/pubsub_peer.h"

namespace valkyrie::simulation {
namespace {

constexpr std::uint64_t kQueueBytes = 20'000;
constexpr const char* kSubjects[] = {"a.b", "a.c", "a.b.c", "d", "d.e.f"};
constexpr const char* kFilters[] = {"a.b", "a.*", "a.>", ">", "*", "*.*.*", "d.>", "a.*.c"};

// A subscription of the world and what is known about it.
struct Member {
  PubSubPeer* peer = nullptr;
  std::uint32_t stream = 0;
  std::string filter;
  std::string group;
  bool whole = true;  // There from the first message to the last.
};

// A message that was published.
struct Published {
  std::size_t publisher = 0;
  std::size_t number = 0;
  std::string subject;
};

class SubjectWorld {
 public:
  explicit SubjectWorld(std::uint64_t seed)
      : slow_(seed / 3 % 2 == 0),
        network_(seed, 1 + static_cast<std::uint32_t>(seed % 3), {}, config(slow_)) {
    broken_ = pick(3) == 0;
    network_.faults.piece_bytes_max = pick(2) == 0 ? SIZE_MAX : 1 + pick(3000);
    network_.faults.delay_max = pick(2) == 0 ? Duration::zero() : 1ms * pick(10);
    network_.faults.uneven = pick(2) == 0;
    network_.shard_delay_max = 1ms * pick(5);
    for (std::size_t i = 0; i < 3 + pick(4); ++i) add_subscriber();
    for (std::size_t i = 0; i < 1 + pick(3); ++i) {
      auto& peer = *publishers_.emplace_back(std::make_unique<PubSubPeer>(network_, any_shard()));
      outlets_.push_back(peer.publisher());
    }
    network_.run();
  }

  void run() {
    for (int step = 0; step < 150; ++step) {
      publish();
      if (slow_ && pick(10) == 0) toggle(*subscribers_[pick(subscribers_.size())]);
      if (pick(15) == 0) come_and_go();
      if (broken_ && step == 75) break_one();
      if (pick(4) == 0) network_.run_for(1ms * pick(20));
      check_memory();
    }
    network_.run();
    for (const auto& peer : subscribers_) {
      if (!peer->closed) peer->catch_up();
    }
    network_.run();
    check_events();
    check_losses();
    check_groups();
    leave();
  }

  std::size_t events = 0;
  std::size_t lost = 0;

 private:
  static router::RouterConfig config(bool slow) {
    router::RouterConfig config;
    if (slow) config.subscription_bytes_max = kQueueBytes;
    return config;
  }
  std::size_t pick(std::size_t below) { return network_.random() % below; }
  std::uint32_t any_shard() { return static_cast<std::uint32_t>(pick(network_.shard_count())); }

  void add_subscriber() {
    auto& peer = *subscribers_.emplace_back(std::make_unique<PubSubPeer>(network_, any_shard()));
    for (std::size_t i = 0; i < 1 + pick(3); ++i) subscribe(peer);
  }
  Member& subscribe(PubSubPeer& peer) {
    Member member{.peer = &peer, .filter = kFilters[pick(std::size(kFilters))]};
    if (pick(3) == 0) member.group = pick(2) == 0 ? "g" : "h";
    member.stream = peer.subscribe(member.filter, member.group, static_cast<std::uint8_t>(pick(2)));
    return members_.emplace_back(member);
  }

  void publish() {
    for (std::size_t i = 0; i < pick(8); ++i) {
      const std::size_t at = pick(publishers_.size());
      const Published message{.publisher = at,
                              .number = ++numbers_[at],
                              .subject = kSubjects[pick(std::size(kSubjects))]};
      std::string payload = fmt::format("{} {} ", message.publisher, message.number);
      payload.resize(payload.size() + (pick(20) == 0 ? pick(90'000) : pick(2000)), 'x');
      if (pick(3) == 0) {
        publishers_[at]->publish_acked(outlets_[at], message.subject, payload);
      } else {
        ASSERT_TRUE(publishers_[at]->publish(outlets_[at], message.subject, payload));
      }
      published_.push_back(message);
    }
  }
  void toggle(PubSubPeer& peer) {
    if (peer.closed) return;
    if (peer.consume) {
      peer.consume = false;
    } else {
      peer.catch_up();
    }
  }
  // A subscription that is there for a while.
  void come_and_go() {
    PubSubPeer& peer = *subscribers_[pick(subscribers_.size())];
    if (peer.closed) return;
    if (transient_ == 0) {
      subscribe(peer).whole = false;
      transient_ = members_.size();
    } else if (Member& member = members_[transient_ - 1]; !member.peer->closed) {
      static_cast<void>(member.peer->wire.near.send_end(member.stream));
      transient_ = 0;
    }
  }
  void break_one() {
    PubSubPeer& peer = *subscribers_[pick(subscribers_.size())];
    network_.cut(peer.wire);
    for (Member& member : members_) {
      if (member.peer == &peer) member.whole = false;
    }
    transient_ = 0;
  }

  void check_memory() {
    for (std::uint32_t shard = 0; shard < network_.shard_count(); ++shard) {
      const auto census = network_.router_of(shard).census();
      // One event longer than the bound may wait alone.
      const std::uint64_t bound = config(slow_).subscription_bytes_max + 100'000;
      EXPECT_LE(census.event_bytes_queued, census.subscriptions * bound);
    }
  }
  static std::pair<std::size_t, std::size_t> origin_of(const Received& event) {
    std::size_t used = 0;
    const std::size_t publisher = std::stoul(event.payload, &used);
    return {publisher, std::stoul(event.payload.substr(used))};
  }

  // What came is what was asked for, in the order of its publisher, each once.
  void check_events() {
    for (const Member& member : members_) {
      std::map<std::size_t, std::size_t> last_number;
      std::uint32_t last = 0;
      for (const Received& event : member.peer->subscriptions[member.stream].events) {
        ++events;
        EXPECT_TRUE(protocol::filter_matches(member.filter, event.subject));
        EXPECT_GT(event.sequence, last);
        last = event.sequence;
        const auto [publisher, number] = origin_of(event);
        const std::size_t before = std::exchange(last_number[publisher], number);
        // What is passed on, as its shard has no member any more, comes late.
        if (member.group.empty() || network_.shard_count() == 1) {
          EXPECT_GT(number, before);
        }
      }
    }
  }
  // Whoever was there all the time got all, or what is missing was counted.
  void check_losses() {
    std::size_t missing = 0;
    for (const Member& member : members_) {
      if (!member.whole || !member.group.empty()) continue;
      const auto matched = std::ranges::count_if(published_, [&](const Published& message) {
        return protocol::filter_matches(member.filter, message.subject);
      });
      const std::size_t got = member.peer->subscriptions[member.stream].events.size();
      EXPECT_LE(got, static_cast<std::size_t>(matched));
      missing += static_cast<std::size_t>(matched) - got;
    }
    std::size_t dropped = 0;
    for (std::uint32_t shard = 0; shard < network_.shard_count(); ++shard) {
      dropped += network_.router_of(shard).stats().events_dropped;
    }
    lost = missing;
    EXPECT_LE(missing, dropped);
    if (!slow_ && !broken_) {
      EXPECT_EQ(missing, 0U);
    }
  }
  // A group gets each message at most once; all of them, if nobody was slow or lost.
  void check_groups() {
    std::map<std::string, std::multiset<std::pair<std::size_t, std::size_t>>> got;
    std::map<std::string, std::string> filters;  // Of those that always had a member.
    for (const Member& member : members_) {
      if (member.group.empty()) continue;
      const std::string name = member.filter + " " + member.group;
      if (member.whole) filters[name] = member.filter;
      for (const Received& event : member.peer->subscriptions[member.stream].events) {
        got[name].insert(origin_of(event));
      }
    }
    for (const auto& [name, all] : got) {
      for (const auto& origin : all) EXPECT_EQ(all.count(origin), 1U) << name;
    }
    for (const auto& [name, filter] : filters) {
      const auto& all = got[name];
      const auto matched = std::ranges::count_if(published_, [&](const Published& message) {
        return protocol::filter_matches(filter, message.subject);
      });
      if (!slow_ && !broken_) {
        EXPECT_EQ(all.size(), static_cast<std::size_t>(matched)) << name;
      }
    }
  }
  // All end in order, and nothing is left of them.
  void leave() {
    for (const auto& peer : publishers_) {
      for (const Ack& ack : peer->acks) EXPECT_EQ(ack.count, 1);
      EXPECT_EQ(peer->wire.far.held_bytes(), 0U) << "all credit has returned";
    }
    for (const Member& member : members_) {
      static_cast<void>(member.peer->wire.near.send_end(member.stream));
    }
    for (std::size_t i = 0; i < publishers_.size(); ++i) {
      static_cast<void>(publishers_[i]->wire.near.send_end(outlets_[i]));
    }
    network_.run();
    for (std::uint32_t shard = 0; shard < network_.shard_count(); ++shard) {
      const auto census = network_.router_of(shard).census();
      EXPECT_EQ(census.publishers + census.subscriptions + census.groups + census.interests, 0U);
      EXPECT_EQ(census.events_queued + census.event_bytes_queued, 0U);
    }
  }

  const bool slow_;  // Some readers stop for a while, and queues are short.
  VirtualNetwork network_;
  bool broken_ = false;
  std::vector<std::unique_ptr<PubSubPeer>> subscribers_;
  std::vector<std::unique_ptr<PubSubPeer>> publishers_;
  std::vector<std::uint32_t> outlets_;
  std::vector<Member> members_;
  std::size_t transient_ = 0;  // Index + 1 of the one that is there for a while.
  std::map<std::size_t, std::size_t> numbers_;
  std::vector<Published> published_;
};

TEST(SubjectWorld, keeps_order_loses_nothing_uncounted_and_delivers_once_to_a_group) {
  std::size_t events = 0;
  std::size_t lost = 0;
  for (std::uint64_t seed = 1; seed <= 300 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    SubjectWorld world(seed);
    world.run();
    events += world.events;
    lost += world.lost;
  }
  EXPECT_GT(events, 100'000U);
  EXPECT_GT(lost, 1000U) << "some were slow";
}

}  // namespace
}  // namespace valkyrie::simulation
