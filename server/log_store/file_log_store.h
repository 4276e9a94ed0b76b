// Keeps logs as files: plain bytes that any program can read, and an index of streams and times
// beside them. Layout and promises: docs/spec/jobs.md, "Where logs are".
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "protocol/time.h"
#include "server/jobs/log_store.h"
#include "server/log_store/inbox.h"
#include "server/log_store/log_board.h"
#include "server/log_store/log_disk.h"
#include "server/log_store/log_reader.h"
#include "server/log_store/log_syncer.h"
#include "server/log_store/log_writer.h"
#include "server/log_store/retention.h"

namespace valkyrie::log_store {

// How logs are kept.
struct FileLogStoreOptions {
  WriterLimits writer;             // At most 4 descriptors for each of its open logs.
  std::size_t read_logs_max = 64;  // Logs kept open for readers: 2 descriptors each.
  std::size_t reader_threads = 2;  // At least 1.
  RetentionLimits retention;
  // Called when there is news after poll() found none; on threads of the store, also while it is
  // being destroyed.
  std::function<void()> on_news;
  // Called after each round of prune(), on a thread of the store.
  std::function<void(const Pruned&)> on_pruned;
  // The clock. Any thread. Empty: the system's monotonic one.
  std::function<protocol::Instant()> now;
};

// See jobs::LogStore. It holds in memory what was appended and is not written yet: the caller
// bounds that by LogGrew::written, as well as the bytes of reads that it has not polled yet. An
// error of a write holds only its own log back, and is tried again each `retry_interval`; an error
// of a sync ends the process.
//
// Retention takes no log away that length(), append() or finish() named and that is not safe yet.
class FileLogStore final : public jobs::LogStore {
 public:
  // Opens a directory; see open_log_disk().
  [[nodiscard]] static std::expected<std::unique_ptr<FileLogStore>, std::string> open(
      const std::string& directory, FileLogStoreOptions options);
  FileLogStore(std::unique_ptr<LogDisk> disk, FileLogStoreOptions options);
  // Writes and syncs what was appended, as far as the disk takes it at once.
  ~FileLogStore() override;

  void append(const jobs::LogId& log, messages::OutputStream stream, std::uint64_t offset,
              std::uint64_t unix_ms, std::string data) override;
  void finish(const jobs::LogId& log) override;
  void read(const jobs::LogId& log, std::uint64_t offset, std::size_t max,
            jobs::ReadTicket ticket) override;
  [[nodiscard]] std::optional<jobs::LogNews> poll() override;
  // 0 also if the disk does not tell; then the first append is held back until it does.
  [[nodiscard]] std::uint64_t length(const jobs::LogId& log) override;

  // Begins a round of retention, unless one is under way. To be called after length() was for
  // every log that may be continued. Unix time in milliseconds.
  void prune(std::uint64_t now_unix_ms);

 private:
  struct ReadTask {
    jobs::LogId log;
    std::uint64_t offset = 0;
    std::size_t max = 0;
    jobs::ReadTicket ticket = 0;
  };
  struct PruneTask {
    std::optional<std::uint64_t> begin_ms;  // When; nullopt: it has begun.
  };
  // What reader threads do, a little at a time.
  using Task = std::variant<ReadTask, HashTask, PruneTask>;

  void write_until(const std::stop_token& stop);
  void sync_until(const std::stop_token& stop);
  void read_until(const std::stop_token& stop);
  void perform(ReadTask& task);
  void perform(HashTask& task);
  void perform(PruneTask& task);

  const FileLogStoreOptions options_;
  const std::unique_ptr<LogDisk> disk_;
  LogBoard board_;
  LogSyncer syncer_;
  LogWriter writer_;  // Used by its thread.
  LogReader reader_;
  Retention retention_;  // Used by the thread that has the PruneTask.
  std::atomic<bool> pruning_ = false;
  Inbox<WriterCommand> commands_;
  Inbox<Task> tasks_;
  // Last: they use what is above.
  std::vector<std::jthread> read_threads_;
  std::jthread sync_thread_;
  std::jthread write_thread_;
};

}  // namespace valkyrie::log_store
