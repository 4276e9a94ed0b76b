// Reads logs from their files, for followers and for their digests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

#include "protocol/crypto/digest.h"
#include "server/jobs/log_store.h"
#include "server/log_store/log_board.h"
#include "server/log_store/log_disk.h"

namespace valkyrie::log_store {

// A digest in the making.
struct HashTask {
  jobs::LogId log;
  std::uint64_t bytes = 0;  // All of the log.
  std::uint64_t done = 0;
  protocol::crypto::Sha256 hash;
};

// Any thread.
class LogReader {
 public:
  // Keeps the references. Keeps the files of `open_logs_max` logs open, and of those being read.
  LogReader(LogDisk& disk, LogBoard& board, std::size_t open_logs_max)
      : disk_(disk), board_(board), open_logs_max_(open_logs_max) {}

  // See LogStore::read(). Errors are for people.
  [[nodiscard]] std::expected<std::vector<jobs::LogPiece>, std::string> read(const jobs::LogId& log,
                                                                             std::uint64_t offset,
                                                                             std::size_t max);
  // Goes on with a digest, for a few milliseconds: true once `task.done` is all. Errors are for
  // people.
  [[nodiscard]] std::expected<bool, std::string> hash(HashTask& task);
  // Closes the files of a log that is being removed.
  void forget(const jobs::LogId& log);

 private:
  struct Files {
    std::shared_ptr<LogFile> data;
    std::shared_ptr<LogFile> index;  // May be missing.
  };
  struct Kept {
    Files files;
    std::list<jobs::LogId>::iterator use;
  };
  [[nodiscard]] std::expected<Files, std::error_code> files_of(const jobs::LogId& log);
  void keep(const jobs::LogId& log, const Files& files);
  [[nodiscard]] std::expected<std::vector<jobs::LogPiece>, std::error_code> read_pieces(
      const jobs::LogId& log, std::uint64_t offset, std::size_t max);

  LogDisk& disk_;
  LogBoard& board_;
  const std::size_t open_logs_max_;
  std::mutex mutex_;  // Guards all below.
  std::map<jobs::LogId, Kept> kept_;
  std::list<jobs::LogId> used_;  // The least recently used one first.
};

}  // namespace valkyrie::log_store
