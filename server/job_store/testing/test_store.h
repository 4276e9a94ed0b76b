// What tests of the store share: a folder that goes away, records, and waiting without sleeping.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/job_store/sqlite_job_store.h"

namespace valkyrie::job_store::testing {

// A new folder, removed with all that is in it.
class TestFolder {
 public:
  TestFolder();
  // In the working directory, under this name, empty at first: a test of a death leaves its folder
  // behind, and the one who waits for the death removes it.
  explicit TestFolder(const std::string& name);
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder();
  // Where the store is to be; it makes it.
  [[nodiscard]] std::string store() const { return path_ + "/jobs"; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Time of tests until they move it: 2026-11-24, 12:00 UTC, in milliseconds since 1970.
inline constexpr std::uint64_t kNoonMs = 1'795'521'600'000;

// A job with everything in its record that one can have; parts of it follow from the row.
[[nodiscard]] jobs::JobRecord make_record(jobs::Row row, std::uint64_t unix_ms = kNoonMs);
// The status of that job's attempt under a token.
[[nodiscard]] jobs::JobStatus assigned(std::uint64_t token);
// An end of that attempt.
[[nodiscard]] jobs::JobStatus ended(std::uint64_t token, std::uint64_t ended_ms = kNoonMs);

// Opens stores in one folder, one after the other, each with a later epoch, and says when changes
// are durable.
class TestStore {
 public:
  // `options` are those of every open(), but for the epoch, which is that of the first, and for
  // `on_durable`, `log`, `now_ms` and `space`, which are set here.
  explicit TestStore(std::string directory, StoreOptions options = {});

  // Closes the store if one is open. Returns what it held; fails the test where it does not open.
  jobs::StoredJobs open();
  // As open(), but gives back the error; "" if there was none, and the store is open.
  std::string open_error();
  void close() { store_.reset(); }

  SqliteJobStore& operator*() { return *store_; }
  SqliteJobStore* operator->() { return store_.get(); }

  // Waits until this change is durable.
  void wait(jobs::Change change);
  // Waits for a line that has this text; each is found once.
  void wait_log(const std::string& text);

  // Injected: what the disk has and what time it is.
  std::atomic<std::uint64_t> free_bytes{1ull << 40};
  std::atomic<std::uint64_t> total_bytes{1ull << 41};
  std::atomic<std::uint64_t> now_ms{kNoonMs};

 private:
  void durable();
  void log(std::string_view line);

  std::string directory_;
  StoreOptions options_;
  std::mutex mutex_;
  std::condition_variable risen_;
  std::vector<std::string> lines_;
  std::unique_ptr<SqliteJobStore> store_;
};

}  // namespace valkyrie::job_store::testing
