// The index of a log: which bytes came on which stream, and when. Pure.
//
// A header of 8 bytes, then records of 24, all in the order of their offsets. A record stands for
// itself, so that a torn or damaged one costs no other; a log has no byte less for it: what no
// record is about is of stream `merged`. Layout: docs/spec/jobs.md, "Where logs are".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/messages/jobs.h"

namespace valkyrie::log_store {

// What an index begins with. The last byte is the version of the format.
inline constexpr std::array<char, 8> kIndexHeader = {'V', 'A', 'L', 'K', 'L', 'O', 'G', 1};
// Bytes of a record.
inline constexpr std::size_t kIndexRecordBytes = 24;
// Pieces of a stream that follow each other within this time share a record.
inline constexpr std::uint64_t kIndexMergeMs = 100;

// Bytes of a log that came on one stream. Of two that overlap the later one is right about what
// they share: the earlier one was written before bytes that a crash then took away.
struct IndexRecord {
  std::uint64_t offset = 0;   // Of the first byte.
  std::uint32_t length = 0;   // Bytes; not 0.
  std::uint64_t unix_ms = 0;  // When the first byte came; below 2^48.
  messages::OutputStream stream = messages::OutputStream::merged;
  bool operator==(const IndexRecord&) const = default;
};

// Appends the record's 24 bytes to `out`.
void encode_record(const IndexRecord& record, std::string& out);
// The record in the first 24 bytes; nullopt if they are fewer or none that encode_record() wrote.
[[nodiscard]] std::optional<IndexRecord> decode_record(std::string_view bytes);

// What the beginning of a file says about it.
enum class IndexHeader : std::uint8_t {
  ours,
  torn,     // What a crash may leave of ours: a beginning, or zeros in place of bytes.
  foreign,  // Another version's or something else: not to be touched.
};
// `bytes` are the first 8 of a file, or all it has.
[[nodiscard]] IndexHeader check_header(std::string_view bytes);

// Counts the records at the beginning of an index, fed in pieces: those that are whole, undamaged
// and in order.
class IndexScan {
 public:
  // Takes what follows the last call's; false once a bad record was met or one begins at
  // `log_bytes` or behind: nothing more is counted.
  bool feed(std::string_view bytes, std::uint64_t log_bytes);
  // Records counted.
  [[nodiscard]] std::uint64_t records() const { return records_; }

 private:
  std::string rest_;  // Of a record that is not whole yet.
  std::uint64_t records_ = 0;
  std::uint64_t next_offset_ = 0;  // The smallest one that the next record may have.
  bool ended_ = false;
};

}  // namespace valkyrie::log_store
