#include "server/policy/door_limits.h"

#include <gtest/gtest.h>
#include <vector>

namespace valkyrie::policy {
namespace {

using namespace std::chrono_literals;
using protocol::Instant;

constexpr Instant kStart = Instant(1h);

std::vector<std::byte> bytes(std::initializer_list<unsigned> values) {
  std::vector<std::byte> result;
  for (const unsigned value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

TEST(AddressPrefix, is_the_address_of_ipv4_and_the_network_of_ipv6) {
  EXPECT_EQ(address_prefix(bytes({203, 0, 113, 7})), "203.0.113.7");
  EXPECT_EQ(address_prefix(bytes({0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 9, 9, 9, 9, 9, 9, 9, 9})),
            "2001:db8:1:2::/64");
  EXPECT_EQ(address_prefix(bytes({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 203, 0, 113, 7})),
            "203.0.113.7");
  EXPECT_EQ(address_prefix({}), "");
  EXPECT_EQ(address_prefix(bytes({1, 2, 3})), "");
}

TEST(AddressPrefix, knows_this_machine) {
  EXPECT_TRUE(is_loopback(bytes({127, 0, 0, 1})));
  EXPECT_TRUE(is_loopback(bytes({127, 9, 9, 9})));
  EXPECT_TRUE(is_loopback(bytes({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})));
  EXPECT_TRUE(is_loopback(bytes({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1})));
  EXPECT_FALSE(is_loopback(bytes({126, 255, 255, 255})));
  EXPECT_FALSE(is_loopback(bytes({128, 0, 0, 1})));
  EXPECT_FALSE(is_loopback(bytes({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2})));
  EXPECT_FALSE(is_loopback(bytes({0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1})));
  EXPECT_FALSE(is_loopback({}));
}

TEST(TokenBuckets, a_burst_is_taken_at_once_and_then_as_many_as_flow_in) {
  TokenBuckets buckets({.per_second = 10, .burst = 3}, 8);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(buckets.take("a", kStart));
  EXPECT_FALSE(buckets.take("a", kStart));
  EXPECT_TRUE(buckets.take("b", kStart)) << "of another key";
  EXPECT_FALSE(buckets.take("a", kStart + 99ms));
  EXPECT_TRUE(buckets.take("a", kStart + 100ms));
  EXPECT_FALSE(buckets.take("a", kStart + 100ms));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(buckets.take("a", kStart + 1h)) << "no more than full";
  EXPECT_FALSE(buckets.take("a", kStart + 1h));
}

TEST(TokenBuckets, without_a_rate_there_is_no_limit_and_no_memory) {
  TokenBuckets buckets({.per_second = 0}, 1);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(buckets.take("a", kStart));
  EXPECT_EQ(buckets.size(), 0u);
}

TEST(TokenBuckets, the_least_recently_used_of_too_many_keys_begins_anew) {
  TokenBuckets buckets({.per_second = 1, .burst = 1}, 2);
  EXPECT_TRUE(buckets.take("a", kStart));
  EXPECT_TRUE(buckets.take("b", kStart));
  EXPECT_FALSE(buckets.take("a", kStart)) << "kept, and used";
  EXPECT_TRUE(buckets.take("c", kStart)) << "in the place of b";
  EXPECT_FALSE(buckets.take("a", kStart));
  EXPECT_TRUE(buckets.take("b", kStart));
  EXPECT_EQ(buckets.size(), 2u);
}

class BanListTest : public ::testing::Test {
 protected:
  // Fails often enough for a ban; how long it is.
  protocol::Duration ban(Instant now) {
    for (std::uint32_t i = 0; i < rules_.failures_max; ++i) EXPECT_FALSE(bans_.fail("a", now));
    return bans_.fail("a", now).value_or(0s);
  }

  const BanRules rules_{.failures_max = 3, .longest = 60s, .peers_max = 2};
  BanList bans_{rules_};
};

TEST_F(BanListTest, one_failure_more_than_allowed_is_a_ban_until_its_end) {
  EXPECT_EQ(ban(kStart), 10s);
  EXPECT_TRUE(bans_.banned("a", kStart));
  EXPECT_FALSE(bans_.banned("b", kStart));
  EXPECT_TRUE(bans_.banned("a", kStart + 10s - 1ns));
  EXPECT_FALSE(bans_.banned("a", kStart + 10s));
}

TEST_F(BanListTest, failures_are_forgotten_with_time) {
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(bans_.fail("a", kStart + i * 10s));
  EXPECT_FALSE(bans_.fail("a", kStart + 990s));
  EXPECT_FALSE(bans_.fail("a", kStart + 990s));
  EXPECT_TRUE(bans_.fail("a", kStart + 990s));
}

TEST_F(BanListTest, bans_double_up_to_the_longest) {
  Instant now = kStart;
  for (const protocol::Duration expected :
       {protocol::Duration(10s), protocol::Duration(20s), protocol::Duration(40s),
        protocol::Duration(60s), protocol::Duration(60s)}) {
    EXPECT_EQ(ban(now), expected);
    now += expected;
  }
}

TEST_F(BanListTest, each_time_without_a_ban_halves_the_next) {
  EXPECT_EQ(ban(kStart), 10s);
  EXPECT_EQ(ban(kStart + 10s), 20s);
  EXPECT_EQ(ban(kStart + 30s + 10min - 1ns), 40s);
  EXPECT_EQ(ban(kStart + 30s + 10min - 1ns + 40s + 10min), 40s) << "one of three forgiven";
  EXPECT_EQ(ban(kStart + 24h), 10s) << "all forgiven";
}

TEST_F(BanListTest, lists_who_is_banned_and_lets_in_who_is_lifted) {
  ban(kStart);
  bans_.fail("b", kStart);
  const auto list = bans_.list(kStart + 4s);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].peer, "a");
  EXPECT_EQ(list[0].count, 1u);
  EXPECT_EQ(list[0].left, 6s);
  EXPECT_FALSE(bans_.lift("b", kStart));
  EXPECT_TRUE(bans_.lift("a", kStart));
  EXPECT_FALSE(bans_.banned("a", kStart));
  EXPECT_EQ(ban(kStart), 10s) << "what it did is forgotten";
}

TEST_F(BanListTest, survives_a_restart_by_the_time_of_day) {
  ban(kStart);
  const std::string text = bans_.save(kStart, 1'000'000);
  EXPECT_EQ(text, "a 1 1010000\n");
  BanList next(rules_);
  EXPECT_TRUE(next.load(text, Instant(5s), 1'004'000));
  EXPECT_TRUE(next.banned("a", Instant(5s) + 6s - 1ns));
  EXPECT_FALSE(next.banned("a", Instant(5s) + 6s));
  BanList late(rules_);
  EXPECT_TRUE(late.load(text, kStart, 1'010'000));
  EXPECT_TRUE(late.list(kStart).empty());
  BanList set_back(rules_);
  EXPECT_TRUE(set_back.load(text, kStart, 0));
  EXPECT_FALSE(set_back.banned("a", kStart + rules_.longest));
}

TEST_F(BanListTest, of_a_damaged_file_what_can_be_read_is_taken) {
  EXPECT_FALSE(bans_.load("a 1 9999\nb x 9999\n\nc 1\nd 1 9999 9", kStart, 0));
  ASSERT_EQ(bans_.list(kStart).size(), 1u);
  EXPECT_EQ(bans_.list(kStart)[0].peer, "a");
}

TEST_F(BanListTest, remembers_so_many_peers_and_no_more) {
  ban(kStart);
  bans_.fail("b", kStart);
  EXPECT_TRUE(bans_.banned("a", kStart));
  bans_.fail("c", kStart);
  bans_.fail("d", kStart);
  EXPECT_FALSE(bans_.banned("a", kStart));
}

TEST(DoorLimits, an_address_has_so_many_half_open_connections_and_others_have_theirs) {
  DoorLimits limits({.address_half_open_max = 2});
  EXPECT_EQ(limits.admit("a", kStart), Admission::admitted);
  EXPECT_EQ(limits.admit("a", kStart), Admission::admitted);
  EXPECT_EQ(limits.admit("a", kStart), Admission::half_open);
  EXPECT_EQ(limits.admit("b", kStart), Admission::admitted);
  limits.settled("a");
  EXPECT_EQ(limits.admit("a", kStart), Admission::admitted);
  limits.settled("nobody");
}

TEST(DoorLimits, an_address_that_is_too_fast_takes_nothing_from_the_others) {
  DoorLimits limits({.address_handshakes = {.per_second = 1, .burst = 2},
                     .all_handshakes = {.per_second = 1, .burst = 3}});
  EXPECT_EQ(limits.admit("a", kStart), Admission::admitted);
  EXPECT_EQ(limits.admit("a", kStart), Admission::admitted);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(limits.admit("a", kStart), Admission::address_rate);
  EXPECT_EQ(limits.admit("b", kStart), Admission::admitted);
  EXPECT_EQ(limits.admit("c", kStart), Admission::node_rate);
}

TEST(DoorLimits, a_banned_address_is_refused_before_anything_is_counted) {
  DoorLimits limits({.bans = {.failures_max = 1}});
  EXPECT_FALSE(limits.bans().fail("a", kStart));
  EXPECT_EQ(limits.admit("a", kStart), Admission::admitted);
  EXPECT_TRUE(limits.bans().fail("a", kStart));
  EXPECT_EQ(limits.admit("a", kStart), Admission::banned);
  EXPECT_EQ(limits.admit("b", kStart), Admission::admitted);
}

TEST(DoorLimits, an_identity_begins_so_many_sessions) {
  DoorLimits limits({.identity_sessions = {.per_second = 1, .burst = 1}});
  EXPECT_TRUE(limits.take_session("key:1", kStart));
  EXPECT_FALSE(limits.take_session("key:1", kStart));
  EXPECT_TRUE(limits.take_session("key:2", kStart));
}

}  // namespace
}  // namespace valkyrie::policy
