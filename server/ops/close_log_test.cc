#include "server/ops/close_log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace valkyrie::server {
namespace {

using namespace std::chrono_literals;

TEST(CloseLog, writes_one_line_per_peer_in_ten_seconds_and_counts_the_others) {
  CloseLog log;
  const protocol::Instant start{};
  EXPECT_EQ(log.note("10.0.0.1", start), 0U);
  EXPECT_EQ(log.note("10.0.0.1", start + 1s), std::nullopt);
  EXPECT_EQ(log.note("10.0.0.1", start + 10s - 1ns), std::nullopt);
  EXPECT_EQ(log.note("10.0.0.1", start + 10s), 2U);
  EXPECT_EQ(log.note("10.0.0.1", start + 20s), 0U);
}

TEST(CloseLog, keeps_peers_apart) {
  CloseLog log;
  EXPECT_EQ(log.note("10.0.0.1", {}), 0U);
  EXPECT_EQ(log.note("10.0.0.2", {}), 0U);
}

TEST(CloseLog, starts_anew_when_too_many_peers_are_known) {
  CloseLog log;
  for (std::size_t i = 0; i < kCloseLogPeersMax; ++i) {
    EXPECT_EQ(log.note(fmt::format("peer {}", i), {}), 0U);
  }
  EXPECT_EQ(log.note("peer 0", {}), std::nullopt) << "a full table still knows them all";
  EXPECT_EQ(log.note("one more", {}), 0U);
  EXPECT_EQ(log.note("peer 0", {}), 0U) << "one too many, and all are forgotten";
}

}  // namespace
}  // namespace valkyrie::server
