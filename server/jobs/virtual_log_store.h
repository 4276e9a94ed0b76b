// A log store whose disk is memory, for tests. It writes at once, or when it is told to; what was
// not synced is lost in a crash.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "protocol/assert.h"
#include "protocol/crypto/digest.h"
#include "server/jobs/log_store.h"

namespace valkyrie::jobs {

// See the top of the file. One thread.
class VirtualLogStore final : public LogStore {
 public:
  void append(const LogId& log, messages::OutputStream stream, std::uint64_t offset,
              std::uint64_t unix_ms, std::string data) override {
    Log& entry = logs_[log];
    VALKYRIE_ASSERT(offset == entry.text.size() + entry.waiting_bytes);
    entry.waiting_bytes += data.size();
    entry.waiting.push_back({stream, offset, unix_ms, std::move(data)});
    if (!held) write(log);
  }
  void finish(const LogId& log) override {
    logs_[log];
    finishing_.insert(log);
    if (!held) write(log);
  }
  void read(const LogId& log, std::uint64_t offset, std::size_t max, ReadTicket ticket) override {
    const auto found = logs_.find(log);
    if (found == logs_.end()) {
      news_.emplace_back(LogReadFailed{ticket, "the log was removed"});
      return;
    }
    LogRead answer{.ticket = ticket, .pieces = {}};
    std::size_t left = max;
    for (const LogPiece& piece : found->second.pieces) {
      const std::uint64_t end = piece.offset + piece.data.size();
      if (end <= offset || left == 0) continue;
      const auto skip = static_cast<std::size_t>(std::max(offset, piece.offset) - piece.offset);
      LogPiece part{piece.stream, piece.offset + skip, piece.unix_ms,
                    piece.data.substr(skip, left)};
      left -= part.data.size();
      answer.pieces.push_back(std::move(part));
    }
    news_.emplace_back(std::move(answer));
  }
  std::optional<LogNews> poll() override {
    if (news_.empty()) return std::nullopt;
    LogNews next = std::move(news_.front());
    news_.pop_front();
    return next;
  }
  [[nodiscard]] std::uint64_t length(const LogId& log) override {
    const auto found = logs_.find(log);
    return found == logs_.end() ? 0 : found->second.text.size();
  }

  // Writes what waits, and safes what is finished.
  void write_all() {
    for (const auto& [id, log] : logs_) write(id);
  }
  // The disk is full, or no longer.
  void stall(bool stalled) {
    held = stalled;
    news_.emplace_back(LogStalled{stalled, "the disk is full"});
    if (!stalled) write_all();
  }
  // The process dies: what was not written is lost, and nobody reads the news.
  void crash() {
    for (auto& [id, log] : logs_) {
      log.waiting.clear();
      log.waiting_bytes = 0;
    }
    finishing_.clear();
    news_.clear();
  }
  // What is on the disk.
  [[nodiscard]] const std::string& text(const LogId& log) { return logs_[log].text; }
  // Retention takes it.
  void remove(const LogId& log) { logs_.erase(log); }

  bool held = false;  // Nothing is written until write_all().

 private:
  struct Log {
    std::string text;
    std::vector<LogPiece> pieces;
    std::deque<LogPiece> waiting;
    std::uint64_t waiting_bytes = 0;
  };

  void write(const LogId& id) {
    Log& log = logs_.at(id);
    const bool grew = !log.waiting.empty();
    for (LogPiece& piece : log.waiting) {
      log.text += piece.data;
      log.pieces.push_back(std::move(piece));
    }
    log.waiting.clear();
    log.waiting_bytes = 0;
    const std::uint64_t bytes = log.text.size();
    if (grew) news_.emplace_back(LogGrew{id, bytes, bytes});
    if (finishing_.erase(id) == 0) return;
    const auto digest = protocol::crypto::sha256(std::as_bytes(std::span(log.text)));
    LogSafe safe{.log = id, .bytes = bytes};
    std::ranges::transform(digest, safe.sha256.begin(),
                           [](std::byte byte) { return std::to_integer<std::uint8_t>(byte); });
    news_.emplace_back(safe);
  }

  std::map<LogId, Log> logs_;
  std::set<LogId> finishing_;
  std::deque<LogNews> news_;
};

}  // namespace valkyrie::jobs
