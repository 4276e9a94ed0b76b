#include "server/log_store/log_reader.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <span>
#include <utility>

#include "server/log_store/index_file.h"
#include "server/log_store/log_name.h"

namespace valkyrie::log_store {
namespace {

using jobs::LogId;
using jobs::LogPiece;

// Read for a digest before other work has its turn.
constexpr std::size_t kHashBytes = 4U << 20U;

// Fills `into`; a file that ends before is an error.
std::error_code read_all(LogFile& file, std::uint64_t offset, std::span<char> into) {
  while (!into.empty()) {
    const auto got = file.read(offset, into);
    if (!got) return got.error();
    if (*got == 0) return std::make_error_code(std::errc::io_error);
    offset += *got;
    into = into.subspan(*got);
  }
  return {};
}

std::string cannot_read(const LogId& log, std::error_code error) {
  if (error == std::errc::no_such_file_or_directory) {
    return fmt::format(
        "there is no log of {}: it never had one, or it was removed to make room or "
        "for its age",
        text_of(log));
  }
  return fmt::format("cannot read the log of {}: {}", text_of(log), error.message());
}

}  // namespace

std::expected<std::vector<LogPiece>, std::string> LogReader::read(const LogId& log,
                                                                  std::uint64_t offset,
                                                                  std::size_t max) {
  if (!board_.begin_read(log)) {
    return std::unexpected(
        cannot_read(log, std::make_error_code(std::errc::no_such_file_or_directory)));
  }
  auto pieces = read_pieces(log, offset, max);
  board_.end_read(log);
  if (pieces) return std::move(*pieces);
  return std::unexpected(cannot_read(log, pieces.error()));
}

std::expected<std::vector<LogPiece>, std::error_code> LogReader::read_pieces(const LogId& log,
                                                                             std::uint64_t offset,
                                                                             std::size_t max) {
  // Before the files: what it tells of is in them, and a log that is not live was written whole.
  const bool live = board_.live(log);
  const auto extent = board_.extent(log);
  if (extent && offset >= extent->bytes) return std::vector<LogPiece>();
  const auto files = files_of(log);
  if (!files) {
    const bool none = files.error() == std::errc::no_such_file_or_directory;
    if (live && none) return std::vector<LogPiece>();  // Nothing was written yet.
    return std::unexpected(files.error());
  }
  std::uint64_t limit = extent ? extent->bytes : 0;
  if (!extent) {
    const auto size = files->data->size();
    if (!size) return std::unexpected(size.error());
    limit = *size;
  }
  if (offset >= limit || max == 0) return std::vector<LogPiece>();
  const std::uint64_t end = offset + std::min<std::uint64_t>(max, limit - offset);
  std::vector<StreamRun> runs{{.offset = offset}};
  if (files->index) {
    const auto records = extent ? std::optional(extent->index_records) : std::nullopt;
    auto found = runs_of(*files->index, records, offset, end);
    if (!found) return std::unexpected(found.error());
    runs = std::move(*found);
  }
  std::vector<LogPiece> pieces;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::uint64_t run_end = i + 1 < runs.size() ? runs[i + 1].offset : end;
    LogPiece& piece = pieces.emplace_back();
    piece = {.stream = runs[i].stream, .offset = runs[i].offset, .unix_ms = runs[i].unix_ms};
    piece.data.resize(run_end - runs[i].offset);
    if (const auto error = read_all(*files->data, piece.offset, piece.data)) {
      return std::unexpected(error);
    }
  }
  return pieces;
}

std::expected<bool, std::string> LogReader::hash(HashTask& task) {
  const auto files = files_of(task.log);
  if (!files) return std::unexpected(cannot_read(task.log, files.error()));
  std::string buffer(std::min<std::uint64_t>(kHashBytes, task.bytes - task.done), '\0');
  if (const auto error = read_all(*files->data, task.done, buffer)) {
    return std::unexpected(cannot_read(task.log, error));
  }
  task.hash.update(std::as_bytes(std::span(buffer)));
  task.done += buffer.size();
  return task.done == task.bytes;
}

void LogReader::forget(const LogId& log) {
  const std::lock_guard lock(mutex_);
  const auto found = kept_.find(log);
  if (found == kept_.end()) return;
  used_.erase(found->second.use);
  kept_.erase(found);
}

std::expected<LogReader::Files, std::error_code> LogReader::files_of(const LogId& log) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = kept_.find(log); found != kept_.end()) {
      used_.splice(used_.end(), used_, found->second.use);
      return found->second.files;
    }
  }
  const std::string folder = folder_of(log);
  auto data = disk_.open(folder, data_name(log), Access::read);
  if (!data) return std::unexpected(data.error());
  auto index = disk_.open(folder, index_name(log), Access::read);
  if (!index && index.error() != std::errc::no_such_file_or_directory) {
    return std::unexpected(index.error());
  }
  Files files{.data = std::move(*data)};
  if (index) {
    files.index = std::move(*index);
    keep(log, files);  // Without an index it may get one.
  }
  return files;
}

void LogReader::keep(const LogId& log, const Files& files) {
  const std::lock_guard lock(mutex_);
  const auto [kept, fresh] = kept_.try_emplace(log, Kept{.files = files});
  if (!fresh) return;
  kept->second.use = used_.insert(used_.end(), log);
  if (used_.size() <= open_logs_max_) return;
  kept_.erase(used_.front());
  used_.pop_front();
}

}  // namespace valkyrie::log_store
