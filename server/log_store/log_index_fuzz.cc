// An index: whatever is in the file, the runs of a range cover it without gaps; where no record is
// damaged they are what one record after the other says.
// Input: begin and length of the range, then the file as it stands or records to be encoded.
#include "server/log_store/log_index.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/assert.h"
#include "server/log_store/index_file.h"

namespace {

using namespace valkyrie::log_store;
using valkyrie::messages::OutputStream;

// A file in memory that is only read.
class MemoryFile final : public LogFile {
 public:
  explicit MemoryFile(std::string bytes) : bytes_(std::move(bytes)) {}
  std::expected<std::size_t, std::error_code> write(
      std::uint64_t /*offset*/, std::span<const std::string_view> /*pieces*/) override {
    return std::unexpected(std::make_error_code(std::errc::read_only_file_system));
  }
  std::expected<std::size_t, std::error_code> read(std::uint64_t offset,
                                                   std::span<char> into) override {
    return offset >= bytes_.size() ? 0 : bytes_.copy(into.data(), into.size(), offset);
  }
  std::error_code truncate(std::uint64_t /*size*/) override { return {}; }
  std::error_code sync() override { return {}; }
  void begin_sync() override {}
  std::expected<std::uint64_t, std::error_code> size() override { return bytes_.size(); }

 private:
  const std::string bytes_;
};

// The stream of a byte, by looking at each record.
OutputStream stream_of(const std::vector<IndexRecord>& records, std::uint64_t at) {
  OutputStream stream = OutputStream::merged;
  for (const IndexRecord& record : records) {
    if (record.offset > at) break;
    stream = at - record.offset < record.length ? record.stream : OutputStream::merged;
  }
  return stream;
}

// Records of 4 bytes: how far behind the one before, length, time, stream. What follows is damage.
std::string encode_file(std::string_view input, std::vector<IndexRecord>& records) {
  std::string bytes(kIndexHeader.data(), kIndexHeader.size());
  std::uint64_t offset = 0;
  for (; input.size() >= 4; input.remove_prefix(4)) {
    const auto field = [input](std::size_t i) { return static_cast<std::uint8_t>(input[i]); };
    const IndexRecord record{.offset = offset + field(0),
                             .length = field(1) + 1U,
                             .unix_ms = std::uint64_t{field(2)} * 20,
                             .stream = static_cast<OutputStream>(field(3) % 5)};
    if (!records.empty() && record.offset == records.back().offset) break;
    encode_record(record, bytes);
    records.push_back(record);
    offset = record.offset;
  }
  return bytes.append(input.size() < 4 ? input : "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4 || size > 65'536) return 0;
  const std::uint64_t begin = data[0] * 16U + data[1] % 16U;
  const std::uint64_t end = begin + data[2] + 1;
  const std::string_view input(reinterpret_cast<const char*>(data) + 4, size - 4);
  std::vector<IndexRecord> records;
  const bool raw = data[3] % 2 == 0;
  MemoryFile file(raw ? std::string(input) : encode_file(input, records));
  const auto runs = runs_of(file, std::nullopt, begin, end);
  VALKYRIE_ASSERT(runs.has_value() && !runs->empty() && runs->front().offset == begin);
  for (std::size_t i = 0; i < runs->size(); ++i) {
    const std::uint64_t run_end = i + 1 < runs->size() ? (*runs)[i + 1].offset : end;
    VALKYRIE_ASSERT((*runs)[i].offset < run_end && run_end <= end);
    for (std::uint64_t at = (*runs)[i].offset; !raw && at < run_end; ++at) {
      VALKYRIE_ASSERT((*runs)[i].stream == stream_of(records, at));
    }
  }
  IndexScan scan;
  static_cast<void>(scan.feed(input, UINT64_MAX));
  VALKYRIE_ASSERT(scan.records() <= input.size() / kIndexRecordBytes);
  return 0;
}
