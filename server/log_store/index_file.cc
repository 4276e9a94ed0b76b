#include "server/log_store/index_file.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

namespace valkyrie::log_store {
namespace {

// Records read at once.
constexpr std::uint64_t kBlockRecords = 256;

// Records by their number. A record that is damaged is met as `damaged`.
class IndexFile {
 public:
  IndexFile(LogFile& file, std::uint64_t records) : file_(file), records_(records) {}

  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] bool damaged() const { return damaged_; }
  [[nodiscard]] std::error_code error() const { return error_; }

  // nullopt: there is none, it is damaged, or an error. `ahead`: how many to read if it has to be.
  std::optional<IndexRecord> at(std::uint64_t number, std::uint64_t ahead) {
    if (number >= records_) return std::nullopt;
    if (number < first_ || number >= first_ + count_) {
      if (!load(number, ahead)) return std::nullopt;
    }
    return decode(number);
  }

 private:
  bool load(std::uint64_t number, std::uint64_t count) {
    count = std::min(count, records_ - number);
    const std::span<char> into = std::span(block_).first(count * kIndexRecordBytes);
    const auto got = file_.read(kIndexHeader.size() + number * kIndexRecordBytes, into);
    if (!got) error_ = got.error();
    first_ = number;
    count_ = got ? *got / kIndexRecordBytes : 0;
    damaged_ = damaged_ || (got && count_ == 0);
    return count_ > 0;
  }
  std::optional<IndexRecord> decode(std::uint64_t number) {
    const auto record = decode_record(std::string_view(block_.data(), block_.size())
                                          .substr((number - first_) * kIndexRecordBytes));
    damaged_ = damaged_ || !record;
    return record;
  }

  LogFile& file_;
  const std::uint64_t records_;
  std::array<char, kBlockRecords * kIndexRecordBytes> block_{};
  std::uint64_t first_ = 0;  // Number of the first record in block_.
  std::uint64_t count_ = 0;
  bool damaged_ = false;
  std::error_code error_;
};

// Number of the last record at or before `offset`, or 0.
std::uint64_t find(IndexFile& index, std::uint64_t offset) {
  std::uint64_t low = 0;
  std::uint64_t high = index.records();
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    const auto record = index.at(middle, 1);
    if (!record) return low;
    (record->offset <= offset ? low : high) = middle;
  }
  return low;
}

void add(std::vector<StreamRun>& runs, StreamRun run) {
  if (!runs.empty() && runs.back().stream == run.stream) {
    const std::uint64_t before = runs.back().unix_ms;
    const std::uint64_t apart = before > run.unix_ms ? before - run.unix_ms : run.unix_ms - before;
    if (apart < kIndexMergeMs) return;
  }
  runs.push_back(run);
}

std::vector<StreamRun> collect(IndexFile& index, std::uint64_t begin, std::uint64_t end) {
  std::vector<StreamRun> runs;
  std::uint64_t cursor = begin;
  std::uint64_t last_ms = 0;
  std::uint64_t number = find(index, begin);
  auto record = index.at(number, kBlockRecords);
  while (record && record->offset < end && cursor < end) {
    const auto next = index.at(++number, kBlockRecords);
    if (next && next->offset <= record->offset) break;  // Not one that a writer makes.
    if (record->offset > cursor) {
      add(runs, {.offset = cursor, .unix_ms = last_ms});
      cursor = record->offset;
    }
    last_ms = record->unix_ms;
    const std::uint64_t own_end = record->offset + record->length;
    const std::uint64_t run_end = std::min({own_end, next ? next->offset : own_end, end});
    if (run_end > cursor) {
      add(runs, {.offset = cursor, .unix_ms = record->unix_ms, .stream = record->stream});
      cursor = run_end;
    }
    record = next;
  }
  if (cursor < end) add(runs, {.offset = cursor, .unix_ms = last_ms});
  return runs;
}

// Records before the first damaged one.
std::expected<std::uint64_t, std::error_code> undamaged(LogFile& file) {
  IndexScan scan;
  std::array<char, 64U << 10U> buffer;
  for (std::uint64_t at = kIndexHeader.size();;) {
    const auto got = file.read(at, buffer);
    if (!got) return std::unexpected(got.error());
    at += *got;
    if (*got == 0 || !scan.feed(std::string_view(buffer.data(), *got), UINT64_MAX)) {
      return scan.records();
    }
  }
}

}  // namespace

std::expected<std::vector<StreamRun>, std::error_code> runs_of(LogFile& index,
                                                               std::optional<std::uint64_t> records,
                                                               std::uint64_t begin,
                                                               std::uint64_t end) {
  std::array<char, kIndexHeader.size()> header{};
  const auto got = index.read(0, header);
  if (!got) return std::unexpected(got.error());
  if (check_header(std::string_view(header.data(), *got)) != IndexHeader::ours) records = 0;
  if (!records) {
    const auto size = index.size();
    if (!size) return std::unexpected(size.error());
    records = (std::max<std::uint64_t>(*size, header.size()) - header.size()) / kIndexRecordBytes;
  }
  while (true) {
    IndexFile file(index, *records);
    std::vector<StreamRun> runs = collect(file, begin, end);
    if (file.error()) return std::unexpected(file.error());
    if (!file.damaged()) return runs;
    const auto good = undamaged(index);
    if (!good) return std::unexpected(good.error());
    if (*good >= *records) return runs;
    records = *good;
  }
}

}  // namespace valkyrie::log_store
