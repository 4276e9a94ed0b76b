#include "server/log_store/log_board.h"

#include <gtest/gtest.h>
#include <optional>
#include <variant>

#include "server/log_store/testing/logs.h"

namespace valkyrie::log_store {
namespace {

using jobs::LogGrew;
using jobs::LogId;
using jobs::LogSafe;

const LogId kLog = testing::log_id(1);
const LogId kOther = testing::log_id(2);

TEST(LogBoard, tells_growth_that_nobody_has_heard_of_once) {
  LogBoard board(nullptr);
  board.expect(kLog);
  board.expect(kOther);
  board.wrote(kLog, {.bytes = 1});
  board.wrote(kOther, {.bytes = 7});
  board.wrote(kLog, {.bytes = 5});
  board.synced(kLog, 3);
  const auto first = board.poll();
  ASSERT_TRUE(first && std::holds_alternative<LogGrew>(*first));
  EXPECT_EQ(std::get<LogGrew>(*first).log, kLog);
  EXPECT_EQ(std::get<LogGrew>(*first).written, 5U);
  EXPECT_EQ(std::get<LogGrew>(*first).synced, 3U);
  board.wrote(kLog, {.bytes = 6});
  EXPECT_EQ(std::get<LogGrew>(*board.poll()).log, kOther);
  EXPECT_EQ(std::get<LogGrew>(*board.poll()).written, 6U);
  EXPECT_EQ(board.poll(), std::nullopt);
  board.wrote(kLog, {.bytes = 6, .index_records = 1});
  board.synced(kLog, 2);
  EXPECT_EQ(board.poll(), std::nullopt) << "nothing has grown";
}

TEST(LogBoard, tells_the_end_after_the_growth_before_it) {
  LogBoard board(nullptr);
  board.expect(kLog);
  board.wrote(kLog, {.bytes = 1});
  board.safe(kLog, 1, {});
  board.synced(kLog, 1);
  EXPECT_TRUE(std::holds_alternative<LogGrew>(*board.poll()));
  EXPECT_TRUE(std::holds_alternative<LogSafe>(*board.poll()));
  EXPECT_EQ(board.poll(), std::nullopt);
}

TEST(LogBoard, wakes_its_owner_once_after_each_time_it_had_nothing) {
  int woken = 0;
  LogBoard board([&woken] { ++woken; });
  board.say(jobs::LogStalled{});
  board.say(jobs::LogStalled{});
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(board.poll().has_value());
  board.say(jobs::LogStalled{});
  EXPECT_EQ(woken, 1) << "its owner has not seen the end yet";
  while (board.poll()) {
  }
  board.expect(kLog);
  board.wrote(kLog, {.bytes = 1});
  EXPECT_EQ(woken, 2);
}

TEST(LogBoard, lets_no_log_be_removed_that_is_live_or_read) {
  LogBoard board(nullptr);
  board.expect(kLog);
  EXPECT_FALSE(board.begin_remove(kLog));
  board.safe(kLog, 0, {});
  ASSERT_TRUE(board.begin_read(kLog));
  ASSERT_TRUE(board.begin_read(kLog));
  board.end_read(kLog);
  EXPECT_FALSE(board.begin_remove(kLog));
  board.end_read(kLog);
  EXPECT_TRUE(board.begin_remove(kLog));
  EXPECT_TRUE(board.being_removed(kLog));
  EXPECT_FALSE(board.begin_read(kLog));
  board.end_remove(kLog);
  EXPECT_TRUE(board.begin_read(kLog));
}

}  // namespace
}  // namespace valkyrie::log_store
