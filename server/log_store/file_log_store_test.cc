// The store on files of the system.
#include "server/log_store/file_log_store.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <sys/stat.h>
#include <unistd.h>

#include "server/log_store/testing/virtual_log_disk.h"
#include "server/log_store/testing/watched_store.h"

namespace valkyrie::log_store {
namespace {

using jobs::LogId;
using jobs::LogPiece;
using messages::OutputStream;
using testing::contents;
using testing::log_id;
using testing::sha256_of;
using testing::TemporaryDirectory;
using testing::text_in;
using testing::WatchedStore;

constexpr std::uint64_t kNow = testing::kNowMs;
const LogId kLog = log_id(1);

TEST(FileLogStore, gives_back_bytes_streams_and_times) {
  const TemporaryDirectory directory;
  WatchedStore store(directory.logs());
  store.append(kLog, "one", OutputStream::out, kNow);
  store.append(kLog, "two", OutputStream::err, kNow + 500);
  store.append(kLog, "three", OutputStream::out, kNow + 1000);
  store.append(kLog, "four", OutputStream::out, kNow + 2000);
  store.wait_written(kLog, 15);
  const std::vector<LogPiece> all = {{OutputStream::out, 0, kNow, "one"},
                                     {OutputStream::err, 3, kNow + 500, "two"},
                                     {OutputStream::out, 6, kNow + 1000, "three"},
                                     {OutputStream::out, 11, kNow + 2000, "four"}};
  EXPECT_EQ(store.read(kLog, 0), all);
  const auto safe = store.finish(kLog);
  EXPECT_EQ(safe.bytes, 15U);
  EXPECT_EQ(safe.sha256, sha256_of("onetwothreefour"));
  EXPECT_EQ(store.read(kLog, 0), all);
  EXPECT_EQ(contents(directory.data_path(kLog)), "onetwothreefour");
}

TEST(FileLogStore, reads_any_range_without_gaps) {
  const TemporaryDirectory directory;
  WatchedStore store(directory.logs());
  std::string all;
  std::mt19937 random(1);
  for (int i = 0; i < 40; ++i) {
    const std::string data(1 + random() % 5, static_cast<char>('a' + i % 26));
    store.append(kLog, data, random() % 2 == 0 ? OutputStream::out : OutputStream::err,
                 kNow + static_cast<std::uint64_t>(i) * 60);
    all += data;
  }
  store.wait_written(kLog, all.size());
  for (std::size_t offset = 0; offset <= all.size() + 1; ++offset) {
    for (const std::size_t max : {1U, 2U, 7U, 1000U}) {
      const auto pieces = store.read(kLog, offset, max);
      ASSERT_TRUE(pieces.has_value());
      std::uint64_t at = offset;
      for (const LogPiece& piece : *pieces) {
        ASSERT_EQ(piece.offset, at);
        at += piece.data.size();
      }
      ASSERT_EQ(text_in(*pieces), offset > all.size() ? "" : all.substr(offset, max));
    }
  }
}

TEST(FileLogStore, has_an_empty_log_once_it_is_finished) {
  const TemporaryDirectory directory;
  WatchedStore store(directory.logs());
  EXPECT_FALSE(store.read(kLog, 0).has_value());
  const auto safe = store.finish(kLog);
  EXPECT_EQ(safe.bytes, 0U);
  EXPECT_EQ(safe.sha256, sha256_of(""));
  EXPECT_EQ(store.read(kLog, 0), std::vector<LogPiece>());
}

TEST(FileLogStore, goes_on_with_a_log_of_an_earlier_run) {
  const TemporaryDirectory directory;
  {
    WatchedStore store(directory.logs());
    EXPECT_EQ(store->length(kLog), 0U);
    store.append(kLog, "before", OutputStream::err);
    store.wait_written(kLog, 6);
  }
  WatchedStore store(directory.logs());
  EXPECT_EQ(store->length(kLog), 6U);
  store.append(kLog, "after", OutputStream::out, kNow + 50);
  store.wait_written(kLog, 11);
  EXPECT_EQ(store.read(kLog, 0),
            (std::vector<LogPiece>{{OutputStream::err, 0, kNow, "before"},
                                   {OutputStream::out, 6, kNow + 50, "after"}}));
  const auto safe = store.finish(kLog);
  EXPECT_EQ(safe.bytes, 11U);
  EXPECT_EQ(safe.sha256, sha256_of("beforeafter"));
}

TEST(FileLogStore, digests_what_sha256sum_digests) {
  const TemporaryDirectory directory;
  WatchedStore store(directory.logs());
  std::mt19937_64 random(64);
  std::string chunk(32U << 10U, '\0');
  constexpr std::uint64_t kBytes = 64U << 20U;
  for (std::uint64_t sent = 0; sent < kBytes; sent += chunk.size()) {
    for (std::size_t i = 0; i < chunk.size(); i += 8) {
      const std::uint64_t word = random();
      std::memcpy(chunk.data() + i, &word, 8);
    }
    store.append(kLog, chunk);
  }
  const auto safe = store.finish(kLog);
  EXPECT_EQ(safe.bytes, kBytes);
  const std::string command = "sha256sum " + directory.data_path(kLog);
  FILE* const output = ::popen(command.c_str(), "r");
  ASSERT_NE(output, nullptr);
  std::array<char, 65> hex{};
  EXPECT_EQ(std::fread(hex.data(), 1, 64, output), 64U);
  ::pclose(output);
  std::string expected;
  for (const std::uint8_t byte : safe.sha256) expected += fmt::format("{:02x}", byte);
  EXPECT_EQ(hex.data(), expected);
}

TEST(FileLogStore, has_more_logs_than_descriptors) {
  const TemporaryDirectory directory;
  FileLogStoreOptions options;
  options.writer.open_logs_max = 2;
  options.read_logs_max = 1;
  WatchedStore store(directory.logs(), options);
  constexpr std::uint64_t kLogs = 40;
  for (int round = 0; round < 5; ++round) {
    for (std::uint64_t row = 1; row <= kLogs; ++row) {
      store.append(log_id(row), fmt::format("{} {}\n", row, round));
    }
  }
  for (std::uint64_t row = 1; row <= kLogs; ++row) {
    const auto safe = store.finish(log_id(row));
    std::string expected;
    for (int round = 0; round < 5; ++round) expected += fmt::format("{} {}\n", row, round);
    EXPECT_EQ(safe.sha256, sha256_of(expected));
    EXPECT_EQ(store.read_all(log_id(row)), expected);
  }
}

TEST(FileLogStore, gives_readers_what_was_written_until_then) {
  const TemporaryDirectory directory;
  WatchedStore store(directory.logs());
  std::string all;
  std::string read;
  std::string late;
  for (int i = 0; i < 200; ++i) {
    const std::string line = fmt::format("line {}\n", i);
    store.append(kLog, line, i % 3 == 0 ? OutputStream::err : OutputStream::out);
    all += line;
    const auto pieces = store.read(kLog, read.size(), 50);
    ASSERT_TRUE(pieces.has_value());
    read += text_in(*pieces);
    if (i > 100) late += text_in(*store.read(kLog, late.size(), 10'000));
    ASSERT_TRUE(all.starts_with(read));
    ASSERT_TRUE(all.starts_with(late));
  }
  static_cast<void>(store.finish(kLog));
  EXPECT_EQ(read + store.read_all(kLog, read.size(), 50), all);
  EXPECT_EQ(late + store.read_all(kLog, late.size(), 7), all);
}

TEST(FileLogStore, keeps_others_away_from_its_files) {
  const TemporaryDirectory directory;
  WatchedStore store(directory.logs());
  static_cast<void>(store.finish(kLog));
  const auto mode_of = [](const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 0777U;
  };
  EXPECT_EQ(mode_of(directory.logs()), 0700U);
  EXPECT_EQ(mode_of(directory.logs() + "/" + folder_of(kLog)), 0700U);
  EXPECT_EQ(mode_of(directory.data_path(kLog)), 0600U);
  EXPECT_EQ(mode_of(directory.index_path(kLog)), 0600U);
}

TEST(FileLogStore, refuses_a_directory_that_is_not_its_own) {
  const TemporaryDirectory directory;
  const std::string real = directory.path() + "/real";
  std::filesystem::create_directory(real);
  std::filesystem::create_symlink(real, directory.logs());
  const auto linked = FileLogStore::open(directory.logs(), {});
  ASSERT_FALSE(linked.has_value());
  EXPECT_NE(linked.error().find("symbolic link"), std::string::npos) << linked.error();
  ASSERT_EQ(::chmod(real.c_str(), 0770), 0);
  const auto shared = FileLogStore::open(real, {});
  ASSERT_FALSE(shared.has_value());
  EXPECT_NE(shared.error().find("chmod 700"), std::string::npos) << shared.error();
  ASSERT_EQ(::chmod(real.c_str(), 0755), 0);
  const WatchedStore first(real);
  const auto second = FileLogStore::open(real, {});
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().find("another process"), std::string::npos) << second.error();
}

TEST(FileLogStore, follows_no_link_to_a_log) {
  const TemporaryDirectory directory;
  const std::string secret = directory.path() + "/secret";
  {
    WatchedStore store(directory.logs());
    static_cast<void>(store.finish(kLog));
    static_cast<void>(store.finish(log_id(2)));
  }
  std::ofstream(secret) << "secret";
  std::filesystem::remove(directory.data_path(kLog));
  std::filesystem::create_symlink(secret, directory.data_path(kLog));
  std::filesystem::create_directory(directory.path() + "/elsewhere");
  std::filesystem::remove_all(directory.logs() + "/" + folder_of(log_id(2)));
  std::filesystem::create_symlink(directory.path() + "/elsewhere",
                                  directory.logs() + "/" + folder_of(log_id(2)));
  WatchedStore store(directory.logs());
  EXPECT_EQ(store->length(kLog), 0U);
  EXPECT_FALSE(store.read(kLog, 0).has_value());
  for (const LogId& log : {kLog, log_id(2)}) {
    store.append(log, "overwritten");
    store.wait_until([&] { return !store.stalls.empty(); });
    EXPECT_TRUE(store.stalls.back().stalled);
  }
  EXPECT_EQ(contents(secret), "secret");
  EXPECT_TRUE(std::filesystem::is_empty(directory.path() + "/elsewhere"));
}

TEST(FileLogStore, serves_many_readers_at_their_own_offsets_at_once) {
  const TemporaryDirectory directory;
  FileLogStoreOptions options;
  options.reader_threads = 4;
  options.read_logs_max = 2;
  WatchedStore store(directory.logs(), options);
  std::map<LogId, std::string> all;
  for (int i = 0; i < 500; ++i) {
    const LogId log = log_id(1 + static_cast<std::uint64_t>(i) % 5);
    const std::string line = fmt::format("line {}\n", i);
    store.append(log, line, i % 2 == 0 ? OutputStream::out : OutputStream::err);
    all[log] += line;
  }
  for (const auto& [log, text] : all) store.wait_written(log, text.size());
  std::map<jobs::ReadTicket, std::string> expected;
  jobs::ReadTicket ticket = 1000;
  for (std::size_t offset = 0; offset < all.begin()->second.size(); offset += 9) {
    for (const auto& [log, text] : all) {
      store->read(log, offset, 100, ++ticket);
      expected[ticket] = text.substr(std::min(offset, text.size()), 100);
    }
  }
  store.wait_until([&] { return store.reads.size() == expected.size(); });
  for (const auto& [number, text] : expected) {
    ASSERT_TRUE(store.reads.at(number).has_value());
    EXPECT_EQ(text_in(*store.reads.at(number)), text);
  }
}

TEST(FileLogStore, tries_a_full_disk_again_by_itself) {
  testing::VirtualLogDisk disk;
  disk.set_room(20);
  FileLogStoreOptions options;
  options.writer.retry_interval = std::chrono::milliseconds(1);
  WatchedStore store(disk.disk(), options);
  std::string all;
  for (int i = 0; i < 100; ++i) {
    store.append(kLog, fmt::format("line {}\n", i));
    all += fmt::format("line {}\n", i);
  }
  store.wait_until([&] { return !store.stalls.empty(); });
  EXPECT_TRUE(store.stalls.back().stalled);
  disk.set_room(std::nullopt);
  EXPECT_EQ(store.finish(kLog).sha256, sha256_of(all));
  store.wait_until([&] { return !store.stalls.back().stalled; });
  EXPECT_EQ(store.read_all(kLog), all);
}

TEST(FileLogStore, prunes_around_the_logs_that_go_on) {
  const TemporaryDirectory directory;
  FileLogStoreOptions options;
  options.retention.bytes_max = 0;
  WatchedStore store(directory.logs(), options);
  for (std::uint64_t row = 1; row <= 3; ++row) {
    store.append(log_id(row), "bytes");
    if (row < 3) static_cast<void>(store.finish(log_id(row)));
  }
  store.wait_written(log_id(3), 5);
  EXPECT_EQ(store->length(log_id(2)), 5U) << "it is to go on";
  const Pruned first = store.prune(kNow);
  EXPECT_EQ(first.logs, 1U);
  EXPECT_EQ(first.kept_logs, 2U);
  EXPECT_FALSE(store.read(log_id(1), 0).has_value());
  EXPECT_FALSE(std::filesystem::exists(directory.data_path(log_id(1))));
  EXPECT_EQ(store.read_all(log_id(3)), "bytes");
  static_cast<void>(store.finish(log_id(3)));
  EXPECT_EQ(store.prune(kNow).logs, 1U);
}

}  // namespace
}  // namespace valkyrie::log_store
