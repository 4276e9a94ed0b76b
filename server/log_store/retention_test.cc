#include "server/log_store/retention.h"

#include <gtest/gtest.h>
#include <string>

#include "server/log_store/testing/bare_store.h"

namespace valkyrie::log_store {
namespace {

using jobs::LogId;
using testing::BareStore;
using testing::DiskCall;
using testing::kNowMs;
using testing::log_id;
using testing::VirtualLogDisk;

constexpr std::uint64_t kDayMs = 24ULL * 60 * 60 * 1000;

bool stored(const VirtualLogDisk& disk, const LogId& log) {
  return disk.exists(folder_of(log), data_name(log));
}

void put(VirtualLogDisk& disk, const LogId& log, std::uint64_t bytes, std::uint64_t changed_ms) {
  disk.replace(folder_of(log), data_name(log), std::string(bytes, 'x'));
  disk.replace(folder_of(log), index_name(log), "");
  disk.set_changed(folder_of(log), data_name(log), changed_ms);
}

Pruned round(BareStore& store, LogDisk& disk, const RetentionLimits& limits) {
  Retention retention(disk, store.board, store.reader, limits);
  retention.begin(kNowMs);
  while (retention.step()) {
  }
  return retention.result();
}

TEST(Retention, removes_what_is_older_than_its_age) {
  VirtualLogDisk memory;
  const auto disk = memory.disk();
  put(memory, log_id(1), 10, kNowMs - 30 * kDayMs - 1);
  put(memory, log_id(2), 10, kNowMs - 30 * kDayMs);
  put(memory, log_id(3), 10, kNowMs + kDayMs);
  memory.replace(folder_of(log_id(1)), "notes.txt", "an operator's");
  BareStore store(memory);
  const Pruned result = round(store, *disk, {});
  EXPECT_FALSE(stored(memory, log_id(1)));
  EXPECT_FALSE(memory.exists(folder_of(log_id(1)), index_name(log_id(1))));
  EXPECT_TRUE(stored(memory, log_id(2)) && stored(memory, log_id(3)));
  EXPECT_TRUE(memory.exists(folder_of(log_id(1)), "notes.txt"));
  EXPECT_EQ(result.logs, 1U);
  EXPECT_EQ(result.bytes, 10U);
  EXPECT_EQ(result.kept_logs, 2U);
  EXPECT_EQ(result.error, "");
  const auto read = store.read(log_id(1));
  ASSERT_FALSE(read.has_value());
  EXPECT_NE(read.error().find("it was removed"), std::string::npos) << read.error();
}

TEST(Retention, removes_the_oldest_until_the_rest_fits) {
  for (std::uint64_t max = 0; max <= 50; ++max) {
    VirtualLogDisk memory;
    const auto disk = memory.disk();
    for (std::uint64_t row = 1; row <= 5; ++row) {
      put(memory, log_id(row), 10, kNowMs - row * kDayMs);
    }
    BareStore store(memory);
    const Pruned result = round(store, *disk, {.bytes_max = max});
    EXPECT_EQ(result.kept_logs, max / 10);
    EXPECT_EQ(result.kept_bytes, max / 10 * 10);
    EXPECT_EQ(result.logs + result.kept_logs, 5U);
    for (std::uint64_t row = 1; row <= 5; ++row) {
      EXPECT_EQ(stored(memory, log_id(row)), row <= max / 10);
    }
  }
}

TEST(Retention, removes_no_log_that_is_live_or_read) {
  VirtualLogDisk memory;
  const auto disk = memory.disk();
  for (std::uint64_t row = 1; row <= 3; ++row) {
    put(memory, log_id(row), 10, kNowMs - 100 * kDayMs);
  }
  BareStore store(memory);
  store.board.expect(log_id(1));
  ASSERT_TRUE(store.board.begin_read(log_id(2)));
  EXPECT_EQ(round(store, *disk, {.bytes_max = 0}).logs, 1U);
  EXPECT_TRUE(stored(memory, log_id(1)) && stored(memory, log_id(2)));
  store.board.end_read(log_id(2));
  store.finish(log_id(1));
  store.settle();
  EXPECT_EQ(round(store, *disk, {.bytes_max = 0}).logs, 2U);
}

TEST(Retention, ends_a_follower_with_a_reason_and_keeps_no_file_of_his_open) {
  VirtualLogDisk memory;
  const auto disk = memory.disk();
  put(memory, log_id(1), 10, kNowMs - 100 * kDayMs);
  BareStore store(memory);
  EXPECT_EQ(store.read(log_id(1), 0, 5)->size(), 1U);
  EXPECT_EQ(memory.open_files(), 2U);
  EXPECT_EQ(round(store, *disk, {}).logs, 1U);
  EXPECT_EQ(memory.open_files(), 0U);
  EXPECT_FALSE(store.read(log_id(1), 5, 5).has_value());
}

TEST(Retention, says_what_it_could_not_remove) {
  VirtualLogDisk memory;
  const auto disk = memory.disk();
  put(memory, log_id(1), 10, kNowMs - 100 * kDayMs);
  BareStore store(memory);
  memory.set_fault([](DiskCall call, std::string_view name) {
    const bool fails = call == DiskCall::other && name.ends_with(".log");
    return std::make_error_code(fails ? std::errc::read_only_file_system : std::errc());
  });
  const Pruned result = round(store, *disk, {});
  EXPECT_EQ(result.logs, 0U);
  EXPECT_EQ(result.kept_logs, 1U);
  EXPECT_EQ(result.error, "Read-only file system");
}

}  // namespace
}  // namespace valkyrie::log_store
