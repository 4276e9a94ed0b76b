// Where the output of attempts is kept: an interface.
//
// Like a JobStore it works behind the caller's back: what is handed over is answered by news. The
// plane bounds what it hands over by what was written, so that a slow disk holds jobs back and
// nothing is dropped. docs/spec/jobs.md, "Output".
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "protocol/messages/jobs.h"
#include "server/jobs/job_id.h"

namespace valkyrie::jobs {

// Names the log of one attempt.
struct LogId {
  JobId job;
  std::uint32_t attempt = 0;  // From 1.
  auto operator<=>(const LogId&) const = default;
};

// Bytes of a log that came on one stream, one after another.
struct LogPiece {
  messages::OutputStream stream = messages::OutputStream::merged;
  std::uint64_t offset = 0;   // Of the first byte, in the whole log.
  std::uint64_t unix_ms = 0;  // When the first byte came to the node.
  std::string data;
  bool operator==(const LogPiece&) const = default;
};

// Caller's number of a read.
using ReadTicket = std::uint64_t;

// A log has grown: readers can have its bytes below `written`; those below `synced` survive the
// machine's death.
struct LogGrew {
  LogId log;
  std::uint64_t written = 0;
  std::uint64_t synced = 0;
};
// A finished log is safe as a whole.
struct LogSafe {
  LogId log;
  std::uint64_t bytes = 0;
  std::array<std::uint8_t, 32> sha256{};  // Of all of them.
};
// What a read found: in order, without gaps, from the offset asked for; empty at the log's end.
struct LogRead {
  ReadTicket ticket = 0;
  std::vector<LogPiece> pieces;
};
// What was asked for cannot be had.
struct LogReadFailed {
  ReadTicket ticket = 0;
  std::string text;  // For people.
};
// The disk takes nothing (true), or takes again (false). Nothing handed over is lost by it.
struct LogStalled {
  bool stalled = false;
  std::string text;  // For people.
};
// What a store says, in the order in which it happened for one log.
using LogNews = std::variant<LogGrew, LogSafe, LogRead, LogReadFailed, LogStalled>;

// Keeps logs. One thread at a time calls it; it may work in others.
class LogStore {
 public:
  virtual ~LogStore() = default;

  // Adds bytes at `offset`, which is where what was handed over for this log ends, or
  // length() if nothing was since the store was opened. The first append makes the log.
  virtual void append(const LogId& log, messages::OutputStream stream, std::uint64_t offset,
                      std::uint64_t unix_ms, std::string data) = 0;
  // Nothing follows: LogSafe comes once all is safe. A log without a byte may be finished, too.
  virtual void finish(const LogId& log) = 0;
  // Asks for up to `max` bytes from `offset`, at least one where there is one: LogRead or
  // LogReadFailed with this ticket follows.
  virtual void read(const LogId& log, std::uint64_t offset, std::size_t max, ReadTicket ticket) = 0;
  // The next news; nullopt: none now.
  virtual std::optional<LogNews> poll() = 0;
  // Bytes a log had when the store was opened; 0: there was none. To be called before the first
  // append to it; may look at the disk. Retention takes none that was asked for until it is safe.
  [[nodiscard]] virtual std::uint64_t length(const LogId& log) = 0;
};

}  // namespace valkyrie::jobs
