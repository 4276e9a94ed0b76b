// Takes logs away that are too old or too many.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/jobs/log_store.h"
#include "server/log_store/log_board.h"
#include "server/log_store/log_disk.h"
#include "server/log_store/log_reader.h"

namespace valkyrie::log_store {

// What is kept.
struct RetentionLimits {
  std::chrono::milliseconds age_max = std::chrono::days(30);  // Since the last byte came.
  std::optional<std::uint64_t> bytes_max;  // Of all logs with their indexes; nullopt: any.
};

// What a round did.
struct Pruned {
  std::uint64_t logs = 0;       // Removed.
  std::uint64_t bytes = 0;      // Removed.
  std::uint64_t kept_logs = 0;  // Those that are live or read are never removed.
  std::uint64_t kept_bytes = 0;
  std::string error;  // For people: the first that there was; empty: none.
};

// Rounds over all logs, the oldest going first, to the minute. One thread at a time.
class Retention {
 public:
  // Keeps the references.
  Retention(LogDisk& disk, LogBoard& board, LogReader& reader, const RetentionLimits& limits)
      : disk_(disk), board_(board), reader_(reader), limits_(limits) {}

  // Begins a round.
  void begin(std::uint64_t now_unix_ms);
  // Looks at one folder more; false once the round is over.
  [[nodiscard]] bool step();
  // Of the round.
  [[nodiscard]] const Pruned& result() const { return result_; }

 private:
  struct StoredLog {
    jobs::LogId id;
    std::uint64_t bytes = 0;  // With its index.
    std::uint64_t changed_ms = 0;
  };
  [[nodiscard]] std::vector<StoredLog> logs_in(const std::string& folder);
  [[nodiscard]] bool begin_second_pass();
  void look_at(const StoredLog& log);
  void note(std::error_code error);
  [[nodiscard]] bool remove(const StoredLog& log);

  LogDisk& disk_;
  LogBoard& board_;
  LogReader& reader_;
  const RetentionLimits limits_;
  std::uint64_t now_ms_ = 0;
  std::vector<std::string> folders_;
  std::size_t next_folder_ = 0;
  std::map<std::uint64_t, std::uint64_t> bytes_by_minute_;  // What the first pass left.
  std::optional<std::uint64_t> last_minute_;                // Second pass: these and older ones go.
  Pruned result_;
};

}  // namespace valkyrie::log_store
