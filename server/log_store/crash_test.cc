// What is left of logs after a process or a machine has died.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <random>
#include <set>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "server/log_store/log_index.h"
#include "server/log_store/testing/bare_store.h"
#include "server/log_store/testing/watched_store.h"

namespace valkyrie::log_store {
namespace {

using jobs::LogId;
using jobs::LogPiece;
using messages::OutputStream;
using testing::BareStore;
using testing::kNowMs;
using testing::log_id;
using testing::sha256_of;
using testing::text_in;
using testing::VirtualLogDisk;
using testing::WatchedStore;

const LogId kLog = log_id(1);

TEST(TornIndex, costs_no_byte_wherever_it_is_torn) {
  const std::vector<LogPiece> written = {{OutputStream::out, 0, kNowMs, "one"},
                                         {OutputStream::err, 3, kNowMs + 1000, "two"},
                                         {OutputStream::out, 6, kNowMs + 2000, "three"}};
  VirtualLogDisk before;
  BareStore first(before);
  for (const LogPiece& piece : written) first.append(kLog, piece.data, piece.stream, piece.unix_ms);
  first.settle();
  const std::string index = before.contents(folder_of(kLog), index_name(kLog));
  for (std::size_t size = 0; size <= index.size(); ++size) {
    SCOPED_TRACE(fmt::format("{} bytes of the index", size));
    VirtualLogDisk disk;
    disk.replace(folder_of(kLog), data_name(kLog), text_in(written));
    disk.replace(folder_of(kLog), index_name(kLog), index.substr(0, size));
    const std::size_t whole =
        (std::max(size, kIndexHeader.size()) - kIndexHeader.size()) / kIndexRecordBytes;
    std::vector<LogPiece> expected(written.begin(),
                                   written.begin() + static_cast<std::ptrdiff_t>(whole));
    if (whole < written.size()) {
      LogPiece rest{.offset = written[whole].offset};
      rest.unix_ms = whole == 0 ? 0 : written[whole - 1].unix_ms;
      rest.data = text_in(written).substr(rest.offset);
      expected.push_back(rest);
    }
    BareStore store(disk);
    EXPECT_EQ(store.read(kLog), expected);
    store.append(kLog, "more", OutputStream::err, kNowMs + 3000);
    store.finish(kLog);
    store.settle();
    expected.push_back({OutputStream::err, 11, kNowMs + 3000, "more"});
    EXPECT_EQ(store.read(kLog), expected);
    EXPECT_EQ(store.safe.at(kLog).sha256, sha256_of("onetwothreemore"));
  }
}

// The bytes of a log are always these, so that any part of one can be checked.
std::string expected_bytes(std::uint64_t row, std::uint64_t begin, std::uint64_t size) {
  std::string bytes(size, '\0');
  for (std::uint64_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<char>((begin + i) * 31 + row * 7 + (begin + i) / 251);
  }
  return bytes;
}

// And every piece of 5 bytes its stream.
OutputStream expected_stream(std::uint64_t offset) {
  return (offset / 5) % 3 == 0 ? OutputStream::err : OutputStream::out;
}

void append_pieces(BareStore& store, std::map<LogId, std::uint64_t>& ends, std::uint64_t row,
                   std::uint64_t count) {
  std::uint64_t& end = ends[log_id(row)];
  for (; count > 0; --count) {
    const std::uint64_t size = 5 - end % 5;
    store.append(log_id(row), expected_bytes(row, end, size), expected_stream(end));
    end += size;
  }
}

// What an earlier run promised is there, and nothing that nobody wrote. `unknown`: bytes whose
// stream no run promised, by their offset.
void check_promises(BareStore& store, const VirtualLogDisk& disk, const BareStore& earlier,
                    std::map<LogId, std::uint64_t>& ends,
                    std::set<std::pair<LogId, std::uint64_t>>& unknown) {
  for (auto& [log, end] : ends) {
    const std::string bytes = disk.contents(folder_of(log), data_name(log));
    ASSERT_EQ(bytes, expected_bytes(log.job.row(), 0, bytes.size()));
    const auto grown = earlier.grown.find(log);
    const std::uint64_t promised = grown == earlier.grown.end() ? 0 : grown->second.synced;
    ASSERT_GE(bytes.size(), promised);
    const auto safe = earlier.safe.find(log);
    if (safe != earlier.safe.end()) {
      ASSERT_EQ(bytes.size(), safe->second.bytes);
      ASSERT_EQ(sha256_of(bytes), safe->second.sha256);
    }
    end = bytes.size();
    unknown.erase(unknown.lower_bound({log, end}), unknown.upper_bound({log, UINT64_MAX}));
    if (bytes.empty()) continue;
    const auto pieces = store.read(log);
    ASSERT_TRUE(pieces.has_value()) << pieces.error();
    ASSERT_EQ(text_in(*pieces), bytes);
    for (const LogPiece& piece : *pieces) {
      for (std::uint64_t at = piece.offset; at < piece.offset + piece.data.size(); ++at) {
        if (piece.stream == OutputStream::merged && at >= promised) unknown.insert({log, at});
        const bool lost = piece.stream == OutputStream::merged && unknown.contains({log, at});
        ASSERT_TRUE(lost || piece.stream == expected_stream(at)) << at;
      }
    }
  }
}

TEST(PowerCut, leaves_all_that_was_told_to_be_on_the_disk) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));

    std::mt19937_64 random(seed);
    VirtualLogDisk disk;
    std::map<LogId, std::uint64_t> ends;
    std::set<std::pair<LogId, std::uint64_t>> unknown;
    const WriterLimits limits{.open_logs_max = 3, .sync_bytes = 40};
    auto store = std::make_unique<BareStore>(disk, limits);
    for (int life = 0; life < 4; ++life) {
      disk.set_write_max(1 + random() % 30);
      for (std::uint64_t step = random() % 40; step > 0; --step) {
        const std::uint64_t row = 1 + random() % 5;
        switch (random() % 4) {
          case 0:
            append_pieces(*store, ends, row, 1 + random() % 8);
            break;
          case 1:
            static_cast<void>(store->work());
            break;
          case 2:
            store->sync();
            break;
          default:
            store->now += std::chrono::seconds(random() % 4);
        }
      }
      if (random() % 2 == 0) {
        store->finish(log_id(9));
        store->settle();
      }
      auto earlier = std::move(store);
      // The files that are open go with the process, not the news it told.
      store = std::make_unique<BareStore>(disk, limits);
      disk.crash(random);
      ASSERT_NO_FATAL_FAILURE(check_promises(*store, disk, *earlier, ends, unknown));
    }
    for (const auto& [log, end] : ends) store->finish(log);
    for (int i = 0; i < 10; ++i) store->settle();
    for (const auto& [log, end] : ends) {
      ASSERT_EQ(store->safe.at(log).sha256, sha256_of(expected_bytes(log.job.row(), 0, end)));
    }
  }
}

constexpr std::uint64_t kLogs = 3;

// Appends until it is killed, and tells over the pipe what it was told to be written.
[[noreturn]] void append_until_killed(const std::string& directory, int report) {
  WatchedStore store(directory);
  std::array<std::uint64_t, kLogs + 1> ends{};
  for (std::uint64_t row = 1; row <= kLogs; ++row) ends[row] = store->length(log_id(row));
  while (true) {
    for (std::uint64_t row = 1; row <= kLogs; ++row) {
      std::uint64_t& end = ends[row];
      for (int i = 0; i < 200; ++i) {
        const std::uint64_t size = 5 - end % 5;
        store.append(log_id(row), expected_bytes(row, end, size), expected_stream(end));
        end += size;
      }
      store.wait_written(log_id(row), end);
      const std::array<std::uint64_t, 2> line = {row, end};
      if (::write(report, line.data(), sizeof(line)) != sizeof(line)) std::_Exit(1);
    }
  }
}

// Kills a process that appends after so many reports: what it had reported by then.
std::array<std::uint64_t, kLogs + 1> kill_after(const std::string& directory, int reports) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    append_until_killed(directory, ends[1]);
  }
  ::close(ends[1]);
  std::array<std::uint64_t, kLogs + 1> written{};
  std::array<std::uint64_t, 2> line{};
  while (reports-- > 0 && ::read(ends[0], line.data(), sizeof(line)) == sizeof(line)) {
    written[line[0]] = line[1];
  }
  ::kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  while (::read(ends[0], line.data(), sizeof(line)) == sizeof(line)) written[line[0]] = line[1];
  ::close(ends[0]);
  return written;
}

TEST(Kill, leaves_every_byte_that_was_told_to_be_written_and_its_stream) {
  const testing::TemporaryDirectory directory;
  std::array<std::uint64_t, kLogs + 1> before{};
  for (const int reports : {1, 4, 25, 60}) {
    const auto written = kill_after(directory.logs(), reports);
    WatchedStore store(directory.logs());
    for (std::uint64_t row = 1; row <= kLogs; ++row) {
      const std::string bytes = testing::contents(directory.data_path(log_id(row)));
      ASSERT_GE(bytes.size(), std::max(written[row], before[row]));
      ASSERT_EQ(bytes, expected_bytes(row, 0, bytes.size()));
      before[row] = bytes.size();
      for (std::uint64_t at = 0; at < bytes.size();) {
        const auto pieces = store.read(log_id(row), at, 4096);
        ASSERT_TRUE(pieces && !pieces->empty());
        for (const LogPiece& piece : *pieces) {
          ASSERT_EQ(piece.stream, expected_stream(piece.offset)) << piece.offset;
          at += piece.data.size();
        }
      }
    }
  }
  WatchedStore store(directory.logs());
  for (std::uint64_t row = 1; row <= kLogs; ++row) {
    EXPECT_EQ(store.finish(log_id(row)).sha256, sha256_of(expected_bytes(row, 0, before[row])));
  }
}

}  // namespace
}  // namespace valkyrie::log_store
