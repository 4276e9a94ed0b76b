// Metadata of a message: validated views of received bytes, and a writer into the caller's buffer.
// Spec: docs/spec/metadata.md. Nothing allocates; callable from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/big_endian.h"
#include "protocol/constants.h"
#include "protocol/status.h"
#include "protocol/time.h"

namespace valkyrie::protocol {

// First keys of the ranges in which a key travels from end to end: must understand, may ignore.
inline constexpr std::uint8_t kHopIgnorableKeyFirst = 0x30;
inline constexpr std::uint8_t kEndKeyFirst = 0x40;
inline constexpr std::uint8_t kEndIgnorableKeyFirst = 0x80;

// Bytes before each value: key and length.
inline constexpr std::size_t kEntryHeaderBytes = 3;

// Who reads: the end that consumes the message must know 0x40-0x7F, a relay forwards them.
enum class MetadataReader : std::uint8_t { end, relay };

// What is wrong with metadata. All but the last two are bad_metadata: the stream is RESET. The
// last two leave the metadata well-formed: the call is answered UNIMPLEMENTED, not_executed.
enum class MetadataError : std::uint8_t {
  // An entry header or value runs past the end.
  truncated,
  // Over 16 KiB, 2 KiB of hop entries or 14 KiB of others.
  too_long,
  too_many_entries,
  // Key 0x00 or 0xFF.
  illegal_key,
  // Keys fall, or one other than PAIR repeats.
  key_order,
  // A key of 0x01-0x2F without a meaning.
  unknown_hop_key,
  // The key has no place in a frame of this type.
  wrong_frame,
  value_length,
  value,
  // A key of 0x40-0x7F without a meaning.
  unknown_end_key,
  // COMPRESSION names no codec of this version.
  unknown_codec,
};

// The one word for an error in texts and logs.
[[nodiscard]] std::string_view to_string(MetadataError error);

// Whether the answer is UNIMPLEMENTED, not_executed, instead of RESET bad_metadata.
[[nodiscard]] constexpr bool is_unimplemented(MetadataError error) {
  return error == MetadataError::unknown_end_key || error == MetadataError::unknown_codec;
}

// Value of IDENTITY: whom the node behind the stream speaks for. Borrowed.
struct IdentityValue {
  std::uint8_t method = 0;
  std::string_view tenant{};
  std::string_view subject{};
};

// Validated metadata, borrowed from the bytes given to parse_metadata(). Copies are cheap.
class MetadataView {
 public:
  // Metadata of a message that has none.
  constexpr MetadataView() = default;

  // The entries as they were received.
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  // The entries with keys from 0x40, which a relay forwards verbatim.
  [[nodiscard]] std::span<const std::byte> end_bytes() const { return bytes_.subspan(end_offset_); }
  // Whether there are no entries.
  [[nodiscard]] bool empty() const { return bytes_.empty(); }

  // Time left for the call. More than 292 years reads as that.
  [[nodiscard]] std::optional<Duration> deadline() const;
  // SERVICE, `name` or `name@version`.
  [[nodiscard]] std::optional<std::string_view> service() const { return text(service_offset_); }
  // METHOD.
  [[nodiscard]] std::optional<std::string_view> method() const { return text(method_offset_); }
  // SUBJECT: a subject, or the filter of a subscription; the grammar is not checked here.
  [[nodiscard]] std::optional<std::string_view> subject() const;
  // GROUP.
  [[nodiscard]] std::optional<std::string_view> group() const;
  // STATUS; absence means ok.
  [[nodiscard]] std::optional<Status> status() const;
  // IDENTITY. Whether the peer may state one is the caller's to decide.
  [[nodiscard]] std::optional<IdentityValue> identity() const;
  // The value of a one-byte key: HOPS, ATTEMPT, ACK_LEVEL, COMPRESSION.
  [[nodiscard]] std::optional<std::uint8_t> octet(MetadataKey key) const;
  // The value of `key`; of the first entry if it is PAIR.
  [[nodiscard]] std::optional<std::span<const std::byte>> find(MetadataKey key) const {
    return find(static_cast<std::uint8_t>(key));
  }
  // The same for a key without a name.
  [[nodiscard]] std::optional<std::span<const std::byte>> find(std::uint8_t key) const;
  // The value of the first PAIR named `name`.
  [[nodiscard]] std::optional<std::string_view> pair(std::string_view name) const;

  // Calls each(std::uint8_t key, std::span<const std::byte> value) for every entry, in order.
  template <typename Each>
  void for_each(Each each) const;
  // Calls each(std::string_view name, std::string_view value) for every PAIR, in order.
  template <typename Each>
  void for_each_pair(Each each) const;

  // Whether a PAIR is named `valkyrie-...`, which only nodes may say.
  [[nodiscard]] bool has_node_pair() const { return has_node_pair_; }

 private:
  friend class MetadataParser;

  [[nodiscard]] std::span<const std::byte> value_at(std::size_t offset) const;
  [[nodiscard]] std::optional<std::string_view> text(std::uint16_t offset) const;

  std::span<const std::byte> bytes_{};
  // Offsets of entries, plus one; 0 if absent.
  std::uint16_t deadline_offset_ = 0;
  std::uint16_t service_offset_ = 0;
  std::uint16_t method_offset_ = 0;
  std::uint16_t status_offset_ = 0;
  // Where keys from 0x40 begin.
  std::uint16_t end_offset_ = 0;
  bool has_node_pair_ = false;
};

// Checks everything that metadata.md demands and returns a view that borrows `bytes`. An error of
// form goes before one that is_unimplemented().
[[nodiscard]] std::expected<MetadataView, MetadataError> parse_metadata(
    std::span<const std::byte> bytes, FrameType type, MetadataReader reader = MetadataReader::end);

// Why metadata could not be written.
enum class MetadataWriteError : std::uint8_t {
  // The caller's buffer is too short.
  no_room,
  // Over 2 KiB of hop entries, 14 KiB of others or 64 of those.
  too_long,
  // A value that breaks the rule of its key, or the name of a pair that breaks the grammar.
  bad_value,
};

// The one word for an error in texts and logs.
[[nodiscard]] std::string_view to_string(MetadataWriteError error);

// Writes entries in ascending order of their keys into a buffer of the caller. The first error
// sticks and comes out of finish(). Keys out of order are a defect of the caller: it aborts.
class MetadataWriter {
 public:
  // Keeps `buffer`, which must outlive the writer and what finish() returns.
  explicit MetadataWriter(std::span<std::byte> buffer) : buffer_(buffer) {}

  // DEADLINE; negative counts as 0.
  void deadline(Duration remaining);
  // SERVICE.
  void service(std::string_view name) { put(MetadataKey::service, name); }
  // METHOD.
  void method(std::string_view name) { put(MetadataKey::method, name); }
  // STATUS; a text over 1 KiB is cut.
  void status(const Status& status);
  // IDENTITY.
  void identity(const IdentityValue& identity);
  // A key whose value is one byte.
  void octet(MetadataKey key, std::uint8_t value);
  // A key whose value is text.
  void put(MetadataKey key, std::string_view value);
  // A key with the bytes of its value.
  void put(MetadataKey key, std::span<const std::byte> value);
  // PAIR. Names `valkyrie-...` are the node's: a node removes those of others.
  void pair(std::string_view name, std::string_view value);
  // A key without a name in this version; it may be ignored by all (0x80-0xFE), as grease is.
  void ignorable(std::uint8_t key, std::span<const std::byte> value);

  // What was written, or the first error.
  [[nodiscard]] std::expected<std::span<const std::byte>, MetadataWriteError> finish() const;

 private:
  // Reserves an entry and returns where its value goes; nullptr after an error.
  std::byte* entry(std::uint8_t key, std::size_t value_bytes);
  void fail(MetadataWriteError error);

  std::span<std::byte> buffer_;
  std::size_t size_ = 0;
  std::size_t end_offset_ = 0;
  std::uint32_t end_entries_ = 0;
  std::uint8_t last_key_ = 0;
  std::optional<MetadataWriteError> error_;
};

// Whether the peer that sent metadata may say `valkyrie-...` pairs.
enum class PairTrust : std::uint8_t { trusted, strip_node_pairs };

// What a relay sends on: `hop_entries` (as MetadataWriter wrote them, keys below 0x40 only) and
// then the end-to-end entries of `from`, verbatim and in order. Returns the bytes written, nullopt
// if `out` is too short; 16 KiB always suffice.
[[nodiscard]] std::optional<std::size_t> rewrite_for_next_hop(
    const MetadataView& from, std::span<const std::byte> hop_entries, PairTrust trust,
    std::span<std::byte> out);

template <typename Each>
void MetadataView::for_each(Each each) const {
  for (std::size_t offset = 0; offset < bytes_.size();) {
    const auto value = value_at(offset);
    each(static_cast<std::uint8_t>(bytes_[offset]), value);
    offset += kEntryHeaderBytes + value.size();
  }
}

template <typename Each>
void MetadataView::for_each_pair(Each each) const {
  for_each([&each](std::uint8_t key, std::span<const std::byte> value) {
    if (key != static_cast<std::uint8_t>(MetadataKey::pair)) return;
    const std::string_view text(reinterpret_cast<const char*>(value.data()), value.size());
    const auto name_bytes = std::to_integer<std::size_t>(value[0]);
    each(text.substr(1, name_bytes), text.substr(1 + name_bytes));
  });
}

}  // namespace valkyrie::protocol
