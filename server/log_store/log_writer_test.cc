// Writing and syncing, on a disk that does what a test wants.
#include "server/log_store/log_writer.h"

#include <chrono>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <system_error>

#include "server/log_store/testing/bare_store.h"

namespace valkyrie::log_store {
namespace {

using jobs::LogId;
using jobs::LogPiece;
using messages::OutputStream;
using std::chrono::seconds;
using testing::BareStore;
using testing::DiskCall;
using testing::kNowMs;
using testing::log_id;
using testing::sha256_of;
using testing::text_in;
using testing::VirtualLogDisk;

const LogId kLog = log_id(1);
const LogId kOther = log_id(2);

std::string data_of(const VirtualLogDisk& disk, const LogId& log) {
  return disk.contents(folder_of(log), data_name(log));
}

std::error_code io_error() { return std::make_error_code(std::errc::io_error); }

TEST(LogWriter, syncs_what_is_older_than_the_interval_and_takes_younger_with_it) {
  VirtualLogDisk disk;
  BareStore store(disk);
  store.append(kLog, "old");
  EXPECT_EQ(store.work(), seconds(5));
  store.now += seconds(3);
  store.append(kOther, "young");
  EXPECT_EQ(store.work(), seconds(2));
  store.now += seconds(2) - std::chrono::nanoseconds(1);
  EXPECT_EQ(store.work(), std::chrono::nanoseconds(1));
  store.sync();
  EXPECT_EQ(store.grown.at(kLog).synced, 0U);
  store.now += std::chrono::nanoseconds(1);
  EXPECT_EQ(store.work(), std::nullopt);
  store.sync();
  EXPECT_EQ(store.grown.at(kLog).synced, 3U);
  EXPECT_EQ(store.grown.at(kOther).synced, 5U);
}

TEST(LogWriter, syncs_after_so_many_bytes) {
  VirtualLogDisk disk;
  BareStore store(disk, {.sync_bytes = 10});
  store.append(kLog, "123456789");
  store.settle();
  EXPECT_EQ(store.grown.at(kLog).synced, 0U);
  store.append(kLog, "0");
  store.settle();
  EXPECT_EQ(store.grown.at(kLog).synced, 10U);
}

TEST(LogWriter, merges_pieces_of_a_stream_that_come_together) {
  VirtualLogDisk disk;
  BareStore store(disk);
  store.append(kLog, "a", OutputStream::out, kNowMs);
  store.append(kLog, "b", OutputStream::out, kNowMs + 99);
  store.append(kLog, "c", OutputStream::out, kNowMs + 100);
  store.append(kLog, "d", OutputStream::err, kNowMs + 100);
  store.append(kLog, "", OutputStream::out, kNowMs + 100);
  store.append(kLog, "e", OutputStream::err, kNowMs - 100);
  store.settle();
  EXPECT_EQ(disk.contents(folder_of(kLog), index_name(kLog)).size(), 8U + 4 * 24);
  EXPECT_EQ(store.read(kLog), (std::vector<LogPiece>{{OutputStream::out, 0, kNowMs, "ab"},
                                                     {OutputStream::out, 2, kNowMs + 100, "c"},
                                                     {OutputStream::err, 3, kNowMs + 100, "d"},
                                                     {OutputStream::err, 4, kNowMs - 100, "e"}}));
}

TEST(LogWriter, waits_for_a_full_disk_and_loses_nothing) {
  std::string all;
  for (int i = 0; i < 30; ++i) all += fmt::format("line {}\n", i);
  for (std::uint64_t room = 0; room < 3 * all.size(); room += 5) {
    VirtualLogDisk disk;
    BareStore store(disk);
    disk.set_room(room);
    for (std::size_t at = 0; at < all.size(); at += 7) {
      store.append(kLog, all.substr(at, 7), at % 2 == 0 ? OutputStream::out : OutputStream::err);
      static_cast<void>(store.work());
    }
    store.finish(kLog);
    store.settle();
    if (store.safe.contains(kLog)) {
      EXPECT_TRUE(store.stalls.empty());
      continue;
    }
    ASSERT_EQ(store.stalls, std::vector<bool>{true}) << "room " << room;
    EXPECT_NE(store.stall_text.find("No space left"), std::string::npos) << store.stall_text;
    EXPECT_TRUE(all.starts_with(data_of(disk, kLog)));
    if (store.grown.contains(kLog)) {
      EXPECT_EQ(text_in(*store.read(kLog)), all.substr(0, store.grown.at(kLog).written));
    }
    EXPECT_EQ(store.work(), seconds(1)) << "it does not try all the time";
    disk.set_room(std::nullopt);
    EXPECT_EQ(store.work(), seconds(1)) << "nor before its time";
    store.now += seconds(1);
    store.settle();
    EXPECT_EQ(store.stalls, (std::vector<bool>{true, false}));
    EXPECT_EQ(data_of(disk, kLog), all);
    EXPECT_EQ(store.safe.at(kLog).sha256, sha256_of(all));
    std::uint64_t at = 0;
    const auto pieces = store.read(kLog);
    for (const LogPiece& piece : *pieces) {
      const auto stream = at % 2 == 0 ? OutputStream::out : OutputStream::err;
      ASSERT_EQ(piece, (LogPiece{stream, at, kNowMs, all.substr(at, 7)}));
      at += 7;
    }
  }
}

TEST(LogWriter, takes_writes_that_the_disk_takes_in_parts) {
  for (const std::size_t max : {1U, 2U, 5U, 23U}) {
    VirtualLogDisk disk;
    disk.set_write_max(max);
    BareStore store(disk);
    store.append(kLog, "some bytes, ", OutputStream::out);
    store.append(kLog, "and more of them", OutputStream::err);
    store.finish(kLog);
    store.settle();
    EXPECT_EQ(data_of(disk, kLog), "some bytes, and more of them");
    EXPECT_EQ(store.safe.at(kLog).sha256, sha256_of("some bytes, and more of them"));
    EXPECT_EQ(store.read(kLog)->size(), 2U);
  }
}

TEST(LogWriter, holds_only_the_log_back_that_cannot_be_written) {
  VirtualLogDisk disk;
  BareStore store(disk);
  disk.set_fault([](DiskCall call, std::string_view name) {
    return call == DiskCall::write && name == data_name(kLog) ? io_error() : std::error_code();
  });
  store.append(kLog, "kept");
  store.append(kOther, "written");
  store.finish(kOther);
  store.settle();
  EXPECT_TRUE(store.safe.contains(kOther));
  EXPECT_EQ(store.stalls, std::vector<bool>{true});
  EXPECT_NE(store.stall_text.find(text_of(kLog)), std::string::npos) << store.stall_text;
  disk.set_fault(nullptr);
  store.now += seconds(1);
  store.settle();
  EXPECT_EQ(store.stalls, (std::vector<bool>{true, false}));
  EXPECT_EQ(data_of(disk, kLog), "kept");
}

// Counts the calls that may fail, then lets each of them fail in turn.
TEST(LogWriter, survives_a_failure_of_each_call) {
  const std::string old = "old bytes\n";
  const std::string fresh = "and new ones\n";
  int calls_needed = 0;
  for (int failing = 0; failing <= calls_needed; ++failing) {
    VirtualLogDisk disk;
    disk.replace(folder_of(kLog), data_name(kLog), old);
    BareStore store(disk);
    int calls = 0;
    disk.set_fault([&](DiskCall call, std::string_view) {
      return call != DiskCall::sync && ++calls == failing ? io_error() : std::error_code();
    });
    store.append(kLog, fresh, OutputStream::err);
    store.finish(kLog);
    store.settle();
    store.now += seconds(1);
    store.settle();
    ASSERT_TRUE(store.safe.contains(kLog)) << "call " << failing;
    if (failing == 0) calls_needed = calls;
    EXPECT_EQ(store.safe.at(kLog).sha256, sha256_of(old + fresh));
    const std::size_t stalls = failing == 0 ? 0 : 2;
    EXPECT_EQ(store.stalls.size(), stalls) << "call " << failing;
    disk.set_fault(nullptr);
    EXPECT_EQ(store.read(kLog),
              (std::vector<LogPiece>{{OutputStream::merged, 0, 0, old},
                                     {OutputStream::err, old.size(), kNowMs, fresh}}));
  }
  EXPECT_GT(calls_needed, 8);
}

TEST(LogWriter, says_what_is_wrong_with_a_file_of_another_length) {
  VirtualLogDisk disk;
  BareStore store(disk);
  store.append(kLog, "first");
  disk.replace(folder_of(kLog), data_name(kLog), "something");
  store.settle();
  EXPECT_NE(store.stall_text.find("9 bytes where 0"), std::string::npos) << store.stall_text;
  EXPECT_EQ(data_of(disk, kLog), "something");
}

TEST(LogWriter, leaves_an_index_of_another_version_alone) {
  VirtualLogDisk disk;
  disk.replace(folder_of(kLog), data_name(kLog), "old ");
  disk.replace(folder_of(kLog), index_name(kLog), "VALKLOG\x02 whatever");
  BareStore store(disk);
  store.append(kLog, "new", OutputStream::out);
  store.finish(kLog);
  store.settle();
  EXPECT_EQ(store.safe.at(kLog).sha256, sha256_of("old new"));
  EXPECT_EQ(store.read(kLog), (std::vector<LogPiece>{{OutputStream::merged, 0, 0, "old new"}}));
  EXPECT_EQ(disk.contents(folder_of(kLog), index_name(kLog)), "VALKLOG\x02 whatever");
}

TEST(LogWriter, bounds_its_open_files_while_syncs_lag) {
  VirtualLogDisk disk;
  BareStore store(disk, {.open_logs_max = 3});
  for (std::uint64_t row = 1; row <= 30; ++row) store.append(log_id(row), "bytes");
  static_cast<void>(store.work());
  EXPECT_EQ(disk.open_files(), 2U * (3 + 3)) << "of open logs, and of syncs that wait";
  for (int i = 0; i < 30; ++i) {
    static_cast<void>(store.work());
    store.sync();
  }
  for (std::uint64_t row = 1; row <= 30; ++row) EXPECT_EQ(data_of(disk, log_id(row)), "bytes");
  EXPECT_LE(disk.open_files_high(), 2U * (3 + 3));
}

TEST(LogSyncer, syncs_the_names_of_a_log_once) {
  VirtualLogDisk disk;
  BareStore store(disk, {.sync_bytes = 1});
  std::vector<std::string> synced;
  disk.set_fault([&](DiskCall call, std::string_view name) {
    if (call == DiskCall::sync) synced.emplace_back(name);
    return std::error_code();
  });
  store.append(kLog, "a");
  store.settle();
  EXPECT_EQ(synced,
            (std::vector<std::string>{data_name(kLog), index_name(kLog), folder_of(kLog), ""}));
  synced.clear();
  store.append(kLog, "b");
  store.settle();
  EXPECT_EQ(synced, (std::vector<std::string>{data_name(kLog), index_name(kLog)}));
}

TEST(LogSyncerDeathTest, ends_the_process_when_a_sync_fails) {
  VirtualLogDisk disk;
  BareStore store(disk);
  disk.set_fault([](DiskCall call, std::string_view) {
    return call == DiskCall::sync ? io_error() : std::error_code();
  });
  store.append(kLog, "bytes");
  store.finish(kLog);
  static_cast<void>(store.work());
  EXPECT_DEATH(store.sync(), "cannot sync the bytes of log job_.*Input/output error");
}

}  // namespace
}  // namespace valkyrie::log_store
