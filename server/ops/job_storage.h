// Where a node keeps its jobs and their output, and what tells it of news from there.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <spdlog/logger.h>
#include <string>

#include "server/job_store/sqlite_job_store.h"
#include "server/jobs/job_store.h"
#include "server/log_store/file_log_store.h"
#include "server/ops/interval_thread.h"

namespace valkyrie::server {

// The two stores of a node. With a state directory jobs are in its folder `jobs` and survive;
// without one they are in memory, and output in a temporary folder that goes with this object.
class JobStorage {
 public:
  // `epoch` leads the tokens of this start. Errors, for people, with what to do.
  [[nodiscard]] static std::expected<std::unique_ptr<JobStorage>, std::string> open(
      const std::string& state_directory, std::uint32_t epoch,
      std::function<std::uint64_t()> unix_ms, spdlog::logger& log);
  // Brings what was handed over to safety. Nobody may use the stores any more.
  ~JobStorage();
  JobStorage(const JobStorage&) = delete;
  JobStorage& operator=(const JobStorage&) = delete;

  // The two stores; on the thread of shard 0.
  [[nodiscard]] jobs::JobStore& jobs() { return *jobs_; }
  // See jobs().
  [[nodiscard]] jobs::LogStore& logs() { return *logs_; }
  // What the job store held when it was opened; once.
  [[nodiscard]] jobs::StoredJobs take_stored() { return std::move(stored_); }
  // Calls `wake` when either store has news, on threads of theirs. An empty one stops it: no call
  // runs when this returns.
  void on_news(std::function<void()> wake);

 private:
  JobStorage() = default;
  std::expected<void, std::string> open_jobs(const std::string& directory, std::uint32_t epoch,
                                             std::function<std::uint64_t()> unix_ms,
                                             spdlog::logger& log);
  std::expected<void, std::string> open_logs(const std::string& directory, spdlog::logger& log);
  void wake();

  std::string temporary_;  // Removed at the end; empty: there is none.
  std::mutex wake_mutex_;
  std::function<void()> wake_;  // Guarded by wake_mutex_.
  jobs::StoredJobs stored_;
  std::unique_ptr<jobs::JobStore> jobs_;
  std::unique_ptr<log_store::FileLogStore> logs_;
  std::unique_ptr<IntervalThread> pruning_;
};

}  // namespace valkyrie::server
