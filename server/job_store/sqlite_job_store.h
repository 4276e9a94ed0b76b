// The job store that survives: SQLite files in a folder of the node's state directory, one thread
// that writes, one that tidies up behind it.
//
//   jobs.db              jobs that are not over, and those that ended lately
//   done-2026-11-24.db   jobs that ended on that day; removed whole when their time is over
//   lock                 held while a node has the folder
//
// What is written is durable before durable() says so: through kill -9 and loss of power. A disk
// that cannot be trusted, where a sync fails or a file turns out damaged, ends the process; a full
// one does not.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/job_store/disk_space.h"
#include "server/jobs/job_store.h"

namespace valkyrie::job_store {

// Bytes that may be in the write-ahead log before room() says `behind`.
inline constexpr std::uint64_t kLogBytesMaxDefault = 256ull << 20;
// Bytes of changes that may wait for the writer before room() says `behind`: a second of a slow
// disk. Changes of jobs that exist are taken above it too, a few for each that runs.
inline constexpr std::uint64_t kQueueBytesMax = 64ull << 20;
// Kept free for the ends of jobs that were accepted; at most a twentieth of the disk.
inline constexpr std::uint64_t kReserveBytesDefault = 1ull << 30;
// How long an idempotency key is remembered.
inline constexpr std::uint64_t kKeyLifeMs = 24ull * 3600 * 1000;

// How a store works, and what of the world it needs.
struct StoreOptions {
  // Of this start of the node; its tokens are `epoch << 40` and above. Higher at each start.
  std::uint32_t epoch = 1;
  // After each commit, on the writer's thread: durable() has risen. Must not call the store.
  std::function<void()> on_durable;
  // What an operator should know, one line; any thread. Also the last words before an abort.
  std::function<void(std::string_view)> log;
  // Milliseconds since 1970; any thread.
  std::function<std::uint64_t()> now_ms;
  // What the disk has; any thread. Empty: asks the kernel.
  std::function<std::expected<DiskSpace, std::string>()> space;
  std::optional<std::uint64_t> reserve_bytes;  // nullopt: kReserveBytesDefault or 5 % of the disk.
  std::uint64_t log_bytes_max = kLogBytesMaxDefault;
  std::size_t ended_max = 1000;  // Of the latest ended jobs that open() returns.
  // A job stays in jobs.db so long after its end, then moves to the file of its day.
  std::chrono::milliseconds ended_stay = std::chrono::hours(1);
  std::chrono::days ended_retention{90};
  // How often free space is looked at while there is work, and what a full disk refused is tried.
  std::chrono::milliseconds look_interval = std::chrono::seconds(1);
  std::string vfs;  // SQLite's name for what it does its I/O with; empty: its own.
};

// What a store has done and has before it; for metrics.
struct StoreFigures {
  std::uint64_t commits = 0;
  std::uint64_t checkpoints = 0;  // That brought the whole log into the file.
  std::uint64_t moved = 0;        // Ended jobs, to the files of their days.
  std::uint64_t looks = 0;        // At the free space of the disk.
  std::uint64_t queue_bytes = 0;
  std::uint64_t log_bytes = 0;  // Not in their final place yet.
};

// One node's jobs in one folder. insert(), update() and close() are one thread's; the others any's.
class SqliteJobStore final : public jobs::JobStore {
 public:
  // The store, and what it held.
  struct Opened {
    std::unique_ptr<SqliteJobStore> store;
    jobs::StoredJobs jobs;
  };
  // Takes the folder, made where it is missing, reads what it has and starts the threads. `log` and
  // `now_ms` must be there. Errors, for people, with what to do: another node has the folder; a
  // file is damaged, newer or not ours; its tokens are of this epoch or a later one. Nothing is
  // overwritten then.
  [[nodiscard]] static std::expected<Opened, std::string> open(const std::string& directory,
                                                               StoreOptions options);
  // As close().
  ~SqliteJobStore() override;

  jobs::Change insert(const jobs::JobRecord& record) override;
  jobs::Change update(const jobs::JobId& id, std::uint64_t token,
                      const jobs::JobStatus& status) override;
  [[nodiscard]] jobs::Change durable() const override;
  [[nodiscard]] jobs::StoreRoom room() const override;

  // Commits what is queued, brings the log into the file and ends the threads; the folder is free
  // once the store is gone. What a full disk still refuses is given up: durable() never promised
  // it. No calls but durable() and figures() may follow.
  void close();

  // Any thread.
  [[nodiscard]] StoreFigures figures() const;

 private:
  struct Parts;
  explicit SqliteJobStore(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
  jobs::Change changes_ = 0;
};

}  // namespace valkyrie::job_store
