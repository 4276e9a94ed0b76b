// Waits for the disk, so that nobody else does.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "protocol/crypto/digest.h"
#include "server/jobs/log_store.h"
#include "server/log_store/inbox.h"
#include "server/log_store/log_board.h"
#include "server/log_store/log_disk.h"

namespace valkyrie::log_store {

// A log of which everything below `bytes` is to be on the disk.
struct SyncRequest {
  jobs::LogId log;
  std::shared_ptr<LogFile> data;
  std::shared_ptr<LogFile> index;  // May be missing.
  bool names = false;              // The names of the files as well.
  std::uint64_t bytes = 0;
  bool finished = false;                           // These are all it will ever have.
  std::optional<protocol::crypto::Digest> digest;  // Of all bytes, where it is known.
};

// What to do with a finished log that is on the disk and whose digest is not known.
using HashLater = std::function<void(const jobs::LogId& log, std::uint64_t bytes)>;

// run() is called by one thread, the rest by any.
class LogSyncer {
 public:
  // Keeps the references.
  LogSyncer(LogDisk& disk, LogBoard& board, HashLater hash_later)
      : disk_(disk), board_(board), hash_later_(std::move(hash_later)) {}

  // Adds a request to the next run().
  void add(SyncRequest request);
  // Requests that are not done; each holds two descriptors.
  [[nodiscard]] std::size_t backlog() const { return backlog_; }
  // Does what was asked for, after waiting for something or for `stop`. An error of the disk ends
  // the process: what it has lost cannot be found out by trying again.
  void run(const std::stop_token& stop);
  // Does what was asked for until now.
  void run();

 private:
  void sync(std::deque<SyncRequest> group);
  void sync_names(const std::deque<SyncRequest>& group);
  void publish(const SyncRequest& request);

  LogDisk& disk_;
  LogBoard& board_;
  const HashLater hash_later_;
  Inbox<SyncRequest> inbox_;
  std::atomic<std::size_t> backlog_ = 0;
  std::set<std::string> known_folders_;  // Those whose own names are on the disk.
};

}  // namespace valkyrie::log_store
