// Writes logs into their files. No thread and no clock of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include "protocol/crypto/digest.h"
#include "protocol/time.h"
#include "server/jobs/log_store.h"
#include "server/log_store/log_board.h"
#include "server/log_store/log_disk.h"
#include "server/log_store/log_syncer.h"

namespace valkyrie::log_store {

// When a writer does what.
struct WriterLimits {
  std::size_t open_logs_max = 256;        // Logs whose two files are open.
  std::uint64_t sync_bytes = 16U << 20U;  // A log with so much that is not synced is synced.
  protocol::Duration sync_interval = std::chrono::seconds(5);   // So is one with anything older.
  protocol::Duration retry_interval = std::chrono::seconds(1);  // After an error of the disk.
};

// Bytes for a log.
struct AppendCommand {
  jobs::LogId log;
  jobs::LogPiece piece;
};
// Nothing follows.
struct FinishCommand {
  jobs::LogId log;
};
// A finished log could not be read for its digest: finish it again, later.
struct FinishAgainCommand {
  jobs::LogId log;
  std::string error;  // For people.
};
// Syncs are done: there may be room for further ones.
struct LookCommand {};
// What a writer is told, in order.
using WriterCommand = std::variant<AppendCommand, FinishCommand, FinishAgainCommand, LookCommand>;

// One thread.
class LogWriter {
 public:
  // Keeps the references.
  LogWriter(LogDisk& disk, LogBoard& board, LogSyncer& syncer, const WriterLimits& limits)
      : disk_(disk), board_(board), syncer_(syncer), limits_(limits) {}

  // Adds to what is to be done. The log is live.
  void take(WriterCommand command);
  // Writes what can be written and asks for syncs that are due. What the disk does not take stays,
  // and is tried again. Returns when to call again if nothing is taken before; nullopt: never.
  [[nodiscard]] std::optional<protocol::Instant> work(protocol::Instant now);
  // Asks for the syncs of all that was written.
  void sync_all();

 private:
  struct Log {
    jobs::LogId id;
    std::deque<jobs::LogPiece> pending;
    std::size_t front_done = 0;  // Bytes of the first pending piece that were written.
    bool opened = false;         // What the files had before is known.
    bool finishing = false;
    bool ready = false;         // In ready_.
    bool index_usable = true;   // Not another version's.
    bool names_synced = false;  // Asked for, at least.
    std::uint64_t bytes = 0;    // In the file.
    std::uint64_t index_records = 0;
    std::uint64_t indexed = 0;                     // Bytes that have records, or will never have.
    std::optional<protocol::crypto::Sha256> hash;  // nullopt: bytes of before are not in it.
    std::uint64_t hashed = 0;                      // Bytes that are in it.
    std::uint64_t dirty_bytes = 0;
    std::optional<protocol::Instant> dirty_since;
    std::shared_ptr<LogFile> data;  // nullptr: not open.
    std::shared_ptr<LogFile> index;
    std::list<jobs::LogId>::iterator use;  // In used_, if open.
  };

  Log& find(const jobs::LogId& id);
  void make_ready(Log& log);
  void unblock();
  void block(Log& log, std::string_view error);
  // False: there is no room for another open log before syncs are done.
  [[nodiscard]] bool make_room();
  [[nodiscard]] bool step(Log& log, protocol::Instant now);
  // An error's text for people; empty: done, or done as far as it goes now.
  [[nodiscard]] std::string advance(Log& log, protocol::Instant now);
  [[nodiscard]] std::error_code open_files(Log& log);
  [[nodiscard]] std::string adopt(Log& log, protocol::Instant now);
  [[nodiscard]] std::error_code adopt_index(Log& log);
  [[nodiscard]] std::error_code write_some(Log& log, protocol::Instant now);
  [[nodiscard]] std::error_code write_index(Log& log, std::uint64_t end);
  static void update_hash(Log& log, std::uint64_t end);
  static void consume(Log& log, std::size_t count);
  void soil(Log& log, protocol::Instant now, std::uint64_t bytes);
  void request_sync(Log& log, bool finished = false);
  void finish(Log& log);
  void close(Log& log);

  LogDisk& disk_;
  LogBoard& board_;
  LogSyncer& syncer_;
  const WriterLimits limits_;
  std::map<jobs::LogId, std::unique_ptr<Log>> logs_;
  std::deque<jobs::LogId> ready_;  // Have something to do.
  std::set<jobs::LogId> blocked_;  // Are tried again at retry_at_.
  std::list<jobs::LogId> used_;    // Open ones; the least recently used one first.
  std::set<std::pair<protocol::Instant, jobs::LogId>> dirty_;  // Since when.
  std::set<std::string> made_folders_;
  std::optional<protocol::Instant> retry_at_;
  bool stalled_ = false;
};

}  // namespace valkyrie::log_store
