#include "server/log_store/log_writer.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <span>
#include <string_view>
#include <vector>

#include "protocol/assert.h"
#include "server/log_store/log_index.h"
#include "server/log_store/log_name.h"

namespace valkyrie::log_store {
namespace {

using jobs::LogId;
using jobs::LogPiece;
using protocol::Instant;

// Of one log before others have their turn. A processor's own cache holds it: what is digested is
// then copied into the file from there.
constexpr std::size_t kBatchBytes = 256U << 10U;
constexpr std::size_t kBatchPieces = 64;
constexpr std::size_t kScanBytes = 64U << 10U;

// Writes all of it.
std::error_code write_all(LogFile& file, std::uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto done = file.write(offset, std::span(&bytes, 1));
    if (!done) return done.error();
    offset += *done;
    bytes.remove_prefix(*done);
  }
  return {};
}

bool mergeable(const IndexRecord& record, const LogPiece& piece) {
  const std::uint64_t apart = record.unix_ms > piece.unix_ms ? record.unix_ms - piece.unix_ms
                                                             : piece.unix_ms - record.unix_ms;
  return record.stream == piece.stream && apart < kIndexMergeMs &&
         record.length + piece.data.size() <= UINT32_MAX;
}

}  // namespace

void LogWriter::take(WriterCommand command) {
  if (auto* const append = std::get_if<AppendCommand>(&command)) {
    Log& log = find(append->log);
    VALKYRIE_ASSERT(append->piece.data.size() <= UINT32_MAX && append->piece.unix_ms >> 48U == 0);
    if (append->piece.data.empty()) return;
    log.pending.push_back(std::move(append->piece));
    make_ready(log);
  } else if (const auto* const end = std::get_if<FinishCommand>(&command)) {
    Log& log = find(end->log);
    log.finishing = true;
    make_ready(log);
  } else if (const auto* const again = std::get_if<FinishAgainCommand>(&command)) {
    Log& log = find(again->log);
    log.finishing = true;
    block(log, again->error);
  }
}

std::optional<Instant> LogWriter::work(Instant now) {
  if (retry_at_ && *retry_at_ <= now) unblock();
  while (!ready_.empty() && step(*logs_.at(ready_.front()), now)) {
  }
  if (!blocked_.empty() && !retry_at_) retry_at_ = now + limits_.retry_interval;
  if (stalled_ && blocked_.empty()) {
    stalled_ = false;
    board_.say(jobs::LogStalled{.stalled = false, .text = "logs are written again"});
  }
  // One that is due takes the others with it: their syncs then wait for the disk together.
  if (!dirty_.empty() && dirty_.begin()->first + limits_.sync_interval <= now) sync_all();
  std::optional<Instant> next = retry_at_;
  if (!dirty_.empty()) {
    const Instant due = dirty_.begin()->first + limits_.sync_interval;
    next = next ? std::min(*next, due) : due;
  }
  return next;
}

void LogWriter::sync_all() {
  while (!dirty_.empty()) request_sync(*logs_.at(dirty_.begin()->second));
}

LogWriter::Log& LogWriter::find(const LogId& id) {
  std::unique_ptr<Log>& log = logs_[id];
  if (!log) log = std::make_unique<Log>(Log{.id = id});
  return *log;
}

void LogWriter::make_ready(Log& log) {
  if (log.ready || blocked_.contains(log.id)) return;
  log.ready = true;
  ready_.push_back(log.id);
}

void LogWriter::unblock() {
  retry_at_.reset();
  for (const LogId& id : std::exchange(blocked_, {})) make_ready(*logs_.at(id));
}

void LogWriter::block(Log& log, std::string_view error) {
  blocked_.insert(log.id);
  if (log.ready) {
    std::erase(ready_, log.id);
    log.ready = false;
  }
  if (stalled_) return;
  stalled_ = true;
  board_.say(jobs::LogStalled{
      .stalled = true,
      .text = fmt::format("cannot write the log {}: {}; it is tried again, and what produces "
                          "output waits",
                          text_of(log.id), error)});
}

bool LogWriter::step(Log& log, Instant now) {
  if (!log.data && !make_room()) return false;
  ready_.pop_front();
  log.ready = false;
  if (const std::string error = advance(log, now); !error.empty()) {
    block(log, error);
  } else if (!log.pending.empty()) {
    make_ready(log);
  } else if (log.finishing) {
    finish(log);
  }
  return true;
}

std::string LogWriter::advance(Log& log, Instant now) {
  if (!log.data) {
    if (const auto error = open_files(log)) return error.message();
  }
  if (!log.opened) {
    if (std::string error = adopt(log, now); !error.empty()) return error;
  }
  if (log.pending.empty()) return {};
  const auto error = write_some(log, now);
  return error ? error.message() : std::string();
}

bool LogWriter::make_room() {
  // A sync under way holds files, too.
  if (syncer_.backlog() >= limits_.open_logs_max) return false;
  while (used_.size() >= limits_.open_logs_max) {
    Log& oldest = *logs_.at(used_.front());
    if (oldest.dirty_since) request_sync(oldest);
    close(oldest);
  }
  return true;
}

void LogWriter::close(Log& log) {
  used_.erase(log.use);
  log.data.reset();
  log.index.reset();
}

std::error_code LogWriter::open_files(Log& log) {
  const std::string folder = folder_of(log.id);
  if (!made_folders_.contains(folder)) {
    if (const auto error = disk_.make_folder(folder)) return error;
    made_folders_.insert(folder);
  }
  auto data = disk_.open(folder, data_name(log.id), Access::write);
  if (!data) {
    made_folders_.erase(folder);  // Somebody may have taken it away.
    return data.error();
  }
  auto index = disk_.open(folder, index_name(log.id), Access::write);
  if (!index) return index.error();
  log.data = std::move(*data);
  log.index = std::move(*index);
  log.use = used_.insert(used_.end(), log.id);
  return {};
}

std::string LogWriter::adopt(Log& log, Instant now) {
  const auto size = log.data->size();
  if (!size) return size.error().message();
  // The file is somebody else's doing, or one that retention takes away at this moment.
  if (!log.pending.empty() && log.pending.front().offset != *size) {
    close(log);
    return fmt::format("its file has {} bytes where {} were expected", *size,
                       log.pending.front().offset);
  }
  log.bytes = log.indexed = *size;
  if (const auto error = adopt_index(log)) return error.message();
  if (log.bytes == 0) log.hash.emplace();
  log.opened = true;
  soil(log, now, 0);
  board_.wrote(log.id, {.bytes = log.bytes, .index_records = log.index_records});
  return {};
}

std::error_code LogWriter::adopt_index(Log& log) {
  std::string buffer(kScanBytes, '\0');
  const auto header = log.index->read(0, std::span(buffer).first(kIndexHeader.size()));
  if (!header) return header.error();
  const IndexHeader kind = check_header(std::string_view(buffer).substr(0, *header));
  log.index_usable = kind != IndexHeader::foreign;
  if (!log.index_usable) return {};
  std::uint64_t at = kIndexHeader.size();
  if (kind == IndexHeader::torn) {
    const std::string_view whole(kIndexHeader.data(), kIndexHeader.size());
    if (const auto error = write_all(*log.index, 0, whole)) return error;
  }
  IndexScan scan;
  while (true) {
    const auto got = log.index->read(at, buffer);
    if (!got) return got.error();
    at += *got;
    if (*got == 0 || !scan.feed(std::string_view(buffer).substr(0, *got), log.bytes)) break;
  }
  log.index_records = scan.records();
  return log.index->truncate(kIndexHeader.size() + log.index_records * kIndexRecordBytes);
}

std::error_code LogWriter::write_some(Log& log, Instant now) {
  std::array<std::string_view, kBatchPieces> views;
  std::size_t count = 0;
  std::size_t bytes = 0;
  for (auto piece = log.pending.begin();
       piece != log.pending.end() && count < views.size() && bytes < kBatchBytes; ++piece) {
    const std::size_t done = count == 0 ? log.front_done : 0;
    views[count] = std::string_view(piece->data).substr(done);
    bytes += views[count++].size();
  }
  // Records first: what survives of a process that is killed has them.
  if (const auto error = write_index(log, log.bytes + bytes)) return error;
  update_hash(log, log.bytes + bytes);
  const auto done = log.data->write(log.bytes, std::span(views).first(count));
  if (!done) return done.error();
  consume(log, *done);
  used_.splice(used_.end(), used_, log.use);
  board_.wrote(log.id, {.bytes = log.bytes, .index_records = log.index_records});
  soil(log, now, *done);
  if (log.dirty_bytes >= limits_.sync_bytes) request_sync(log);
  return {};
}

// Writes the records of what is pending below `end`, where a piece ends.
std::error_code LogWriter::write_index(Log& log, std::uint64_t end) {
  if (!log.index_usable || end <= log.indexed) return {};
  std::vector<IndexRecord> records;
  for (const LogPiece& piece : log.pending) {
    if (piece.offset >= end) break;
    if (piece.offset < log.indexed) continue;
    if (!records.empty() && mergeable(records.back(), piece)) {
      records.back().length += static_cast<std::uint32_t>(piece.data.size());
    } else {
      records.push_back({.offset = piece.offset,
                         .length = static_cast<std::uint32_t>(piece.data.size()),
                         .unix_ms = piece.unix_ms,
                         .stream = piece.stream});
    }
  }
  std::string encoded;
  for (const IndexRecord& record : records) encode_record(record, encoded);
  const std::uint64_t at = kIndexHeader.size() + log.index_records * kIndexRecordBytes;
  if (const auto error = write_all(*log.index, at, encoded)) return error;
  log.index_records += records.size();
  log.indexed = end;
  return {};
}

// Digests what is pending below `end`, where a piece ends. Before it is written, as that is done by
// the reading that a processor foresees: copying what another one has made takes longer.
void LogWriter::update_hash(Log& log, std::uint64_t end) {
  if (!log.hash) return;
  for (const LogPiece& piece : log.pending) {
    if (piece.offset >= end) break;
    if (piece.offset < log.hashed) continue;
    log.hash->update(std::as_bytes(std::span(piece.data)));
    log.hashed = piece.offset + piece.data.size();
  }
}

// Takes what was written away from what is pending.
void LogWriter::consume(Log& log, std::size_t count) {
  log.bytes += count;
  while (count > 0) {
    const std::string& front = log.pending.front().data;
    const std::size_t part = std::min(count, front.size() - log.front_done);
    count -= part;
    log.front_done += part;
    if (log.front_done < front.size()) continue;
    log.pending.pop_front();
    log.front_done = 0;
  }
}

void LogWriter::soil(Log& log, Instant now, std::uint64_t bytes) {
  log.dirty_bytes += bytes;
  if (log.dirty_since) return;
  log.dirty_since = now;
  dirty_.insert({now, log.id});
}

void LogWriter::request_sync(Log& log, bool finished) {
  SyncRequest request{.log = log.id,
                      .data = log.data,
                      .index = log.index,
                      .names = !log.names_synced,
                      .bytes = log.bytes,
                      .finished = finished};
  if (finished && log.hash) request.digest = log.hash->digest();
  log.names_synced = true;
  log.dirty_bytes = 0;
  if (log.dirty_since) dirty_.erase({*log.dirty_since, log.id});
  log.dirty_since.reset();
  syncer_.add(std::move(request));
}

void LogWriter::finish(Log& log) {
  request_sync(log, /*finished=*/true);
  close(log);
  logs_.erase(log.id);
}

}  // namespace valkyrie::log_store
