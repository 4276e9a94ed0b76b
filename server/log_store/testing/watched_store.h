// A store on a disk of the system, for tests: a directory of its own, and waiting for news.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/log_store/file_log_store.h"
#include "server/log_store/log_name.h"
#include "server/log_store/testing/logs.h"

namespace valkyrie::log_store::testing {

// A directory that goes away with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "valkyrie-logs-XXXXXX").string();
    path_ = ::mkdtemp(name.data()) == nullptr ? "" : name;
    EXPECT_FALSE(path_.empty());
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  // Of the store in it.
  [[nodiscard]] std::string logs() const { return path_ + "/logs"; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // Of a log's bytes.
  [[nodiscard]] std::string data_path(const jobs::LogId& log) const {
    return logs() + "/" + folder_of(log) + "/" + data_name(log);
  }
  // Of a log's index.
  [[nodiscard]] std::string index_path(const jobs::LogId& log) const {
    return logs() + "/" + folder_of(log) + "/" + index_name(log);
  }

 private:
  std::string path_;
};

// All of a file; empty if there is none.
inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A store whose news can be waited for. One thread uses it.
class WatchedStore {
 public:
  explicit WatchedStore(std::unique_ptr<LogDisk> disk, FileLogStoreOptions options = {}) {
    watch(options);
    store_ = std::make_unique<FileLogStore>(std::move(disk), std::move(options));
  }
  explicit WatchedStore(const std::string& directory, FileLogStoreOptions options = {}) {
    watch(options);
    auto opened = FileLogStore::open(directory, std::move(options));
    EXPECT_TRUE(opened.has_value()) << opened.error();
    store_ = std::move(*opened);
  }

  FileLogStore* operator->() { return store_.get(); }

  // Appends where the log ends.
  void append(const jobs::LogId& log, const std::string& data,
              messages::OutputStream stream = messages::OutputStream::merged,
              std::uint64_t unix_ms = kNowMs) {
    const auto [end, fresh] = ends_.try_emplace(log, 0);
    if (fresh) end->second = store_->length(log);
    store_->append(log, stream, end->second, unix_ms, data);
    end->second += data.size();
  }
  // Takes news until `enough` says so.
  template <class Predicate>
  void wait_until(Predicate enough) {
    while (!enough()) take(next());
  }
  // Waits until so much can be read.
  void wait_written(const jobs::LogId& log, std::uint64_t bytes) {
    wait_until([&] { return grown[log].written >= bytes; });
  }
  // Waits until so much is on the disk.
  void wait_synced(const jobs::LogId& log, std::uint64_t bytes) {
    wait_until([&] { return grown[log].synced >= bytes; });
  }
  // Ends a log.
  jobs::LogSafe finish(const jobs::LogId& log) {
    store_->finish(log);
    return wait_safe(log);
  }
  // Waits until all of a finished log is on the disk.
  jobs::LogSafe wait_safe(const jobs::LogId& log) {
    wait_until([&] { return safe.contains(log); });
    return safe.at(log);
  }
  // Reads; an error is what comes instead.
  std::expected<std::vector<jobs::LogPiece>, std::string> read(const jobs::LogId& log,
                                                               std::uint64_t offset,
                                                               std::size_t max = 1U << 20U) {
    const jobs::ReadTicket ticket = ++last_ticket_;
    store_->read(log, offset, max, ticket);
    wait_until([&] { return reads.contains(ticket); });
    auto pieces = std::move(reads.at(ticket));
    reads.erase(ticket);
    return pieces;
  }
  // Everything from an offset on, asked for `step` bytes at a time.
  std::string read_all(const jobs::LogId& log, std::uint64_t offset = 0,
                       std::size_t step = 1U << 20U) {
    std::string all;
    while (true) {
      const auto pieces = read(log, offset + all.size(), step);
      EXPECT_TRUE(pieces.has_value()) << pieces.error();
      if (!pieces || pieces->empty()) return all;
      const std::string text = text_in(*pieces);
      EXPECT_LE(text.size(), step);
      all += text;
    }
  }
  // A round of retention.
  Pruned prune(std::uint64_t now_ms) {
    store_->prune(now_ms);
    std::unique_lock lock(mutex_);
    some_.wait(lock, [this] { return pruned_.has_value(); });
    return *std::exchange(pruned_, std::nullopt);
  }

  std::map<jobs::LogId, jobs::LogGrew> grown;
  std::map<jobs::LogId, jobs::LogSafe> safe;
  std::map<jobs::ReadTicket, std::expected<std::vector<jobs::LogPiece>, std::string>> reads;
  std::vector<jobs::LogStalled> stalls;

 private:
  void watch(FileLogStoreOptions& options) {
    options.on_news = [this] {
      const std::lock_guard lock(mutex_);
      ++news_;
      some_.notify_all();
    };
    options.on_pruned = [this](const Pruned& result) {
      const std::lock_guard lock(mutex_);
      pruned_ = result;
      some_.notify_all();
    };
  }
  jobs::LogNews next() {
    while (true) {
      if (auto news = store_->poll()) return std::move(*news);
      std::unique_lock lock(mutex_);
      some_.wait(lock, [this] { return news_ > 0; });
      news_ = 0;
    }
  }
  void take(jobs::LogNews news) {
    if (auto* const grew = std::get_if<jobs::LogGrew>(&news)) {
      const jobs::LogGrew& before = grown[grew->log];
      EXPECT_TRUE(grew->written >= before.written && grew->synced >= before.synced);
      EXPECT_LE(grew->synced, grew->written);
      EXPECT_FALSE(safe.contains(grew->log)) << "news of a log that is safe";
      grown[grew->log] = *grew;
    } else if (const auto* const done = std::get_if<jobs::LogSafe>(&news)) {
      safe[done->log] = *done;
    } else if (auto* const found = std::get_if<jobs::LogRead>(&news)) {
      reads.emplace(found->ticket, std::move(found->pieces));
    } else if (const auto* const failed = std::get_if<jobs::LogReadFailed>(&news)) {
      reads.emplace(failed->ticket, std::unexpected(failed->text));
    } else if (const auto* const stalled = std::get_if<jobs::LogStalled>(&news)) {
      stalls.push_back(*stalled);
    }
  }

  std::mutex mutex_;
  std::condition_variable some_;
  int news_ = 0;
  std::optional<Pruned> pruned_;
  std::map<jobs::LogId, std::uint64_t> ends_;
  jobs::ReadTicket last_ticket_ = 0;
  std::unique_ptr<FileLogStore> store_;  // Last: its threads use what is above.
};

}  // namespace valkyrie::log_store::testing
