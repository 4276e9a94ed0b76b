// A store without threads: a test says when something is written, synced or read, and what time it
// is.
#pragma once

#include <cstdint>
#include <deque>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/time.h"
#include "server/log_store/log_board.h"
#include "server/log_store/log_name.h"
#include "server/log_store/log_reader.h"
#include "server/log_store/log_syncer.h"
#include "server/log_store/log_writer.h"
#include "server/log_store/testing/logs.h"
#include "server/log_store/testing/virtual_log_disk.h"

namespace valkyrie::log_store::testing {

// See the top of the file.
class BareStore {
 public:
  explicit BareStore(VirtualLogDisk& disk, const WriterLimits& limits = {})
      : disk_(disk.disk()),
        board(nullptr),
        syncer(*disk_, board,
               [this](const jobs::LogId& log, std::uint64_t bytes) {
                 hashes_.push_back({.log = log, .bytes = bytes});
               }),
        writer(*disk_, board, syncer, limits),
        reader(*disk_, board, 4) {}

  // Bytes a log has on the disk.
  [[nodiscard]] std::uint64_t length(const jobs::LogId& log) {
    return disk_->size(folder_of(log), data_name(log)).value_or(0);
  }
  // Hands bytes over, where the log ends.
  void append(const jobs::LogId& log, std::string data,
              messages::OutputStream stream = messages::OutputStream::merged,
              std::uint64_t unix_ms = kNowMs) {
    const auto [end, fresh] = ends_.try_emplace(log, 0);
    if (fresh) end->second = length(log);
    board.expect(log);
    jobs::LogPiece piece{
        .stream = stream, .offset = end->second, .unix_ms = unix_ms, .data = std::move(data)};
    end->second += piece.data.size();
    writer.take(AppendCommand{.log = log, .piece = std::move(piece)});
  }
  // Says that nothing follows.
  void finish(const jobs::LogId& log) {
    board.expect(log);
    writer.take(FinishCommand{log});
  }
  // Writes; when it is to be called again, counted from now.
  std::optional<protocol::Duration> work() {
    const auto next = writer.work(now);
    listen();
    if (!next) return std::nullopt;
    return *next - now;
  }
  // Syncs and digests.
  void sync() {
    syncer.run();
    for (HashTask task : std::exchange(hashes_, {})) hash(task);
    listen();
  }
  // Both, until nothing is left that time does not bring.
  void settle() {
    for (int i = 0; i < 3; ++i) {
      static_cast<void>(work());
      sync();
    }
  }
  // See LogReader::read().
  [[nodiscard]] std::expected<std::vector<jobs::LogPiece>, std::string> read(
      const jobs::LogId& log, std::uint64_t offset = 0, std::size_t max = 1U << 30U) {
    return reader.read(log, offset, max);
  }

  protocol::Instant now{};
  std::map<jobs::LogId, jobs::LogGrew> grown;
  std::map<jobs::LogId, jobs::LogSafe> safe;
  std::vector<bool> stalls;
  std::string stall_text;  // The last one's.

 private:
  void listen() {
    while (const auto news = board.poll()) {
      if (const auto* const grew = std::get_if<jobs::LogGrew>(&*news)) {
        grown[grew->log] = *grew;
      } else if (const auto* const done = std::get_if<jobs::LogSafe>(&*news)) {
        safe[done->log] = *done;
      } else if (const auto* const stalled = std::get_if<jobs::LogStalled>(&*news)) {
        stalls.push_back(stalled->stalled);
        stall_text = stalled->text;
      }
    }
  }
  void hash(HashTask& task) {
    while (true) {
      const auto done = reader.hash(task);
      if (!done) {
        writer.take(FinishAgainCommand{.log = task.log, .error = done.error()});
        return;
      }
      if (*done) return board.safe(task.log, task.bytes, task.hash.digest());
    }
  }

  const std::unique_ptr<LogDisk> disk_;

 public:
  LogBoard board;
  LogSyncer syncer;
  LogWriter writer;
  LogReader reader;

 private:
  std::vector<HashTask> hashes_;
  std::map<jobs::LogId, std::uint64_t> ends_;
};

}  // namespace valkyrie::log_store::testing
