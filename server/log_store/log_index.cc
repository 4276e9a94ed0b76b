#include "server/log_store/log_index.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "protocol/assert.h"
#include "protocol/big_endian.h"
#include "protocol/crypto/digest.h"

namespace valkyrie::log_store {
namespace {

using messages::OutputStream;

// offset, length, time, stream; then the check.
constexpr std::size_t kLengthAt = 8;
constexpr std::size_t kTimeAt = 12;
constexpr std::size_t kStreamAt = 18;
constexpr std::size_t kCheckAt = 19;
constexpr std::size_t kCheckBytes = kIndexRecordBytes - kCheckAt;

using RecordBytes = std::array<std::byte, kIndexRecordBytes>;

// The first bytes of a SHA-256 of what is before it.
protocol::crypto::Digest check_of(const RecordBytes& bytes) {
  return protocol::crypto::sha256(std::span(bytes).first(kCheckAt));
}

}  // namespace

void encode_record(const IndexRecord& record, std::string& out) {
  VALKYRIE_ASSERT(record.length > 0 && record.unix_ms >> 48U == 0);
  RecordBytes bytes{};
  protocol::store_big_endian(bytes.data(), record.offset);
  protocol::store_big_endian(bytes.data() + kLengthAt, record.length);
  protocol::store_big_endian(bytes.data() + kTimeAt,
                             static_cast<std::uint32_t>(record.unix_ms >> 16U));
  protocol::store_big_endian(bytes.data() + kTimeAt + 4,
                             static_cast<std::uint16_t>(record.unix_ms));
  bytes[kStreamAt] = static_cast<std::byte>(record.stream);
  std::memcpy(bytes.data() + kCheckAt, check_of(bytes).data(), kCheckBytes);
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::optional<IndexRecord> decode_record(std::string_view text) {
  RecordBytes bytes;
  if (text.size() < bytes.size()) return std::nullopt;
  std::memcpy(bytes.data(), text.data(), bytes.size());
  if (std::memcmp(bytes.data() + kCheckAt, check_of(bytes).data(), kCheckBytes) != 0) {
    return std::nullopt;
  }
  const auto high = protocol::load_big_endian<std::uint32_t>(bytes.data() + kTimeAt);
  const auto low = protocol::load_big_endian<std::uint16_t>(bytes.data() + kTimeAt + 4);
  const IndexRecord record{
      .offset = protocol::load_big_endian<std::uint64_t>(bytes.data()),
      .length = protocol::load_big_endian<std::uint32_t>(bytes.data() + kLengthAt),
      .unix_ms = (std::uint64_t{high} << 16U) | low,
      .stream = static_cast<OutputStream>(bytes[kStreamAt])};
  const bool possible = record.length > 0 && record.offset <= UINT64_MAX - record.length &&
                        record.stream <= OutputStream::system;
  return possible ? std::optional(record) : std::nullopt;
}

IndexHeader check_header(std::string_view bytes) {
  const std::string_view whole(kIndexHeader.data(), kIndexHeader.size());
  bytes = bytes.substr(0, whole.size());
  if (bytes == whole) return IndexHeader::ours;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != whole[i] && bytes[i] != '\0') return IndexHeader::foreign;
  }
  return IndexHeader::torn;
}

bool IndexScan::feed(std::string_view bytes, std::uint64_t log_bytes) {
  while (!ended_ && !bytes.empty()) {
    const std::size_t taken = std::min(kIndexRecordBytes - rest_.size(), bytes.size());
    rest_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    if (rest_.size() < kIndexRecordBytes) break;
    const auto record = decode_record(rest_);
    rest_.clear();
    ended_ = !record || record->offset < next_offset_ || record->offset >= log_bytes;
    if (ended_) break;
    next_offset_ = record->offset + 1;
    ++records_;
  }
  return !ended_;
}

}  // namespace valkyrie::log_store
