#include "protocol/metadata.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "protocol/assert.h"
#include "protocol/properties.h"

namespace valkyrie::protocol {
namespace {

constexpr std::uint8_t kPairKey = static_cast<std::uint8_t>(MetadataKey::pair);
constexpr std::string_view kNodePairPrefix = "valkyrie-";
constexpr std::string_view kBinarySuffix = "-bin";
constexpr std::uint8_t kAckLevelMax = 3;
constexpr std::uint8_t kCodecMax = 2;

std::string_view as_text(std::span<const std::byte> value) {
  return {reinterpret_cast<const char*>(value.data()), value.size()};
}

std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Whether all bytes are in first..0x7E; no early exit, so that the compiler can use wide registers.
bool all_ascii_from(std::string_view text, unsigned first) {
  unsigned outside = 0;
  for (const char c : text) {
    outside |= static_cast<unsigned>(static_cast<unsigned char>(c) - first > 0x7Eu - first);
  }
  return outside == 0;
}

bool is_visible(std::string_view text) { return all_ascii_from(text, 0x21); }
bool is_printable(std::string_view text) { return all_ascii_from(text, 0x20); }

constexpr std::array<bool, 256> kPairNameBytes256 = [] {
  std::array<bool, 256> all{};
  for (char c = 'a'; c <= 'z'; ++c) all[static_cast<unsigned char>(c)] = true;
  for (char c = '0'; c <= '9'; ++c) all[static_cast<unsigned char>(c)] = true;
  for (const char c : {'.', '_', '-'}) all[static_cast<unsigned char>(c)] = true;
  return all;
}();

bool is_pair_name(std::string_view name) {
  if (name.empty() || name.size() > kPairNameBytes) return false;
  return std::ranges::all_of(
      name, [](char c) { return kPairNameBytes256[static_cast<unsigned char>(c)]; });
}

bool is_pair(std::string_view name, std::string_view value) {
  return is_pair_name(name) && (name.ends_with(kBinarySuffix) || is_printable(value));
}

// Name of a well-formed or malformed PAIR; nullopt if it runs past the value.
std::optional<std::string_view> pair_name(std::span<const std::byte> value) {
  const auto name_bytes = std::to_integer<std::size_t>(value[0]);
  if (name_bytes >= value.size()) return std::nullopt;
  return as_text(value).substr(1, name_bytes);
}

bool is_node_pair(std::span<const std::byte> value) {
  const auto name = pair_name(value);
  return name && name->starts_with(kNodePairPrefix);
}

// Whether a value of legal length obeys the rule of its key. COMPRESSION is not judged here.
bool is_value(MetadataKey key, std::span<const std::byte> value) {
  switch (key) {
    case MetadataKey::service:
    case MetadataKey::method:
    case MetadataKey::subject:
    case MetadataKey::group:
      return is_visible(as_text(value));
    case MetadataKey::trace_state:
    case MetadataKey::content_type:
      return is_printable(as_text(value));
    case MetadataKey::identity:
      return std::to_integer<std::size_t>(value[1]) + 2 <= value.size() &&
             is_printable(as_text(value.subspan(2)));
    case MetadataKey::hops:
      return std::to_integer<std::uint32_t>(value[0]) <= kHops;
    case MetadataKey::ack_level:
      return value[0] != std::byte{0} && value[0] <= std::byte{kAckLevelMax};
    case MetadataKey::status:
      return is_utf8(as_text(value.subspan(kStatusBytesMin)));
    case MetadataKey::pair: {
      const auto name = pair_name(value);
      return name && is_pair(*name, as_text(value.subspan(1 + name->size())));
    }
    default:
      return true;
  }
}

// Whether the codec of a COMPRESSION value is one of this version.
bool is_codec(std::span<const std::byte> value) {
  return value[0] != std::byte{0} && value[0] <= std::byte{kCodecMax};
}

}  // namespace

std::string_view to_string(MetadataError error) {
  switch (error) {
    case MetadataError::truncated:
      return "truncated";
    case MetadataError::too_long:
      return "too_long";
    case MetadataError::too_many_entries:
      return "too_many_entries";
    case MetadataError::illegal_key:
      return "illegal_key";
    case MetadataError::key_order:
      return "key_order";
    case MetadataError::unknown_hop_key:
      return "unknown_hop_key";
    case MetadataError::wrong_frame:
      return "wrong_frame";
    case MetadataError::value_length:
      return "value_length";
    case MetadataError::value:
      return "value";
    case MetadataError::unknown_end_key:
      return "unknown_end_key";
    case MetadataError::unknown_codec:
      return "unknown_codec";
  }
  return "unknown";
}

std::string_view to_string(MetadataWriteError error) {
  switch (error) {
    case MetadataWriteError::no_room:
      return "no_room";
    case MetadataWriteError::too_long:
      return "too_long";
    case MetadataWriteError::bad_value:
      return "bad_value";
  }
  return "unknown";
}

// One pass over the entries; what it learns on the way stays in the view.
class MetadataParser {
 public:
  MetadataParser(std::span<const std::byte> bytes, FrameType type)
      : bytes_(bytes), frame_bit_(kMetadataFrameBits[static_cast<std::uint8_t>(type)]) {}

  std::expected<MetadataView, MetadataError> parse(MetadataReader reader) {
    if (bytes_.size() > kMetadataBytes) return std::unexpected(MetadataError::too_long);
    std::optional<std::size_t> end_offset;
    std::uint32_t end_entries = 0;
    unsigned last = 0;
    for (std::size_t offset = 0; offset < bytes_.size();) {
      const std::size_t left = bytes_.size() - offset;
      if (left < kEntryHeaderBytes) return std::unexpected(MetadataError::truncated);
      const auto key = std::to_integer<unsigned>(bytes_[offset]);
      const std::size_t value_bytes = load_big_endian<std::uint16_t>(bytes_.data() + offset + 1);
      if (value_bytes > left - kEntryHeaderBytes) return std::unexpected(MetadataError::truncated);
      if (key <= last && !(key == kPairKey && last == kPairKey)) {
        return std::unexpected(key == 0 ? MetadataError::illegal_key : MetadataError::key_order);
      }
      if (key >= kEndKeyFirst) {
        if (!end_offset) end_offset = offset;
        if (++end_entries > kMetadataEntries) {
          return std::unexpected(MetadataError::too_many_entries);
        }
      }
      if (const auto error = entry(static_cast<std::uint8_t>(key), offset, value_bytes)) {
        return std::unexpected(*error);
      }
      last = key;
      offset += kEntryHeaderBytes + value_bytes;
    }
    const std::size_t hop_bytes = end_offset.value_or(bytes_.size());
    if (hop_bytes > kHopMetadataBytes || bytes_.size() - hop_bytes > kEndMetadataBytes) {
      return std::unexpected(MetadataError::too_long);
    }
    if (unimplemented_ && reader == MetadataReader::end) return std::unexpected(*unimplemented_);
    view_.bytes_ = bytes_;
    view_.end_offset_ = static_cast<std::uint16_t>(hop_bytes);
    return view_;
  }

 private:
  std::optional<MetadataError> entry(std::uint8_t key, std::size_t offset,
                                     std::size_t value_bytes) {
    const MetadataProperties& rules = kMetadataProperties[key];
    if (!rules.known) return unknown(key);
    if ((rules.frames & frame_bit_) == 0) return MetadataError::wrong_frame;
    if (value_bytes < rules.value_min || value_bytes > rules.value_max) {
      return MetadataError::value_length;
    }
    const auto value = bytes_.subspan(offset + kEntryHeaderBytes, value_bytes);
    const auto name = std::bit_cast<MetadataKey>(key);
    if (!is_value(name, value)) return MetadataError::value;
    remember(name, offset, value);
    return std::nullopt;
  }

  std::optional<MetadataError> unknown(std::uint8_t key) {
    if (key == 0xFF) return MetadataError::illegal_key;
    if (key < kHopIgnorableKeyFirst) return MetadataError::unknown_hop_key;
    if (key >= kEndKeyFirst && key < kEndIgnorableKeyFirst && !unimplemented_) {
      unimplemented_ = MetadataError::unknown_end_key;
    }
    return std::nullopt;
  }

  void remember(MetadataKey key, std::size_t offset, std::span<const std::byte> value) {
    const auto mark = static_cast<std::uint16_t>(offset + 1);
    switch (key) {
      case MetadataKey::deadline:
        view_.deadline_offset_ = mark;
        break;
      case MetadataKey::service:
        view_.service_offset_ = mark;
        break;
      case MetadataKey::method:
        view_.method_offset_ = mark;
        break;
      case MetadataKey::status:
        view_.status_offset_ = mark;
        break;
      case MetadataKey::compression:
        if (!is_codec(value) && !unimplemented_) unimplemented_ = MetadataError::unknown_codec;
        break;
      case MetadataKey::pair:
        view_.has_node_pair_ = view_.has_node_pair_ || is_node_pair(value);
        break;
      default:
        break;
    }
  }

  std::span<const std::byte> bytes_;
  std::uint16_t frame_bit_;
  MetadataView view_;
  std::optional<MetadataError> unimplemented_;
};

std::expected<MetadataView, MetadataError> parse_metadata(std::span<const std::byte> bytes,
                                                          FrameType type, MetadataReader reader) {
  if (bytes.empty()) return MetadataView{};
  return MetadataParser(bytes, type).parse(reader);
}

std::span<const std::byte> MetadataView::value_at(std::size_t offset) const {
  const std::size_t value_bytes = load_big_endian<std::uint16_t>(bytes_.data() + offset + 1);
  return bytes_.subspan(offset + kEntryHeaderBytes, value_bytes);
}

std::optional<std::string_view> MetadataView::text(std::uint16_t offset) const {
  if (offset == 0) return std::nullopt;
  return as_text(value_at(offset - 1u));
}

std::optional<Duration> MetadataView::deadline() const {
  if (deadline_offset_ == 0) return std::nullopt;
  const auto ns = load_big_endian<std::uint64_t>(value_at(deadline_offset_ - 1u).data());
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<Duration::rep>::max());
  return Duration(static_cast<Duration::rep>(std::min(ns, kMost)));
}

std::optional<Status> MetadataView::status() const {
  if (status_offset_ == 0) return std::nullopt;
  return decode_status(value_at(status_offset_ - 1u));
}

std::optional<IdentityValue> MetadataView::identity() const {
  const auto value = find(MetadataKey::identity);
  if (!value) return std::nullopt;
  const auto tenant_bytes = std::to_integer<std::size_t>((*value)[1]);
  const std::string_view names = as_text(value->subspan(2));
  return IdentityValue{std::to_integer<std::uint8_t>((*value)[0]), names.substr(0, tenant_bytes),
                       names.substr(tenant_bytes)};
}

std::optional<std::string_view> MetadataView::subject() const {
  const auto value = find(MetadataKey::subject);
  return value ? std::optional(as_text(*value)) : std::nullopt;
}

std::optional<std::string_view> MetadataView::group() const {
  const auto value = find(MetadataKey::group);
  return value ? std::optional(as_text(*value)) : std::nullopt;
}

std::optional<std::uint8_t> MetadataView::octet(MetadataKey key) const {
  const auto value = find(key);
  if (!value || value->size() != 1) return std::nullopt;
  return std::to_integer<std::uint8_t>((*value)[0]);
}

std::optional<std::span<const std::byte>> MetadataView::find(std::uint8_t key) const {
  std::size_t offset = key >= kEndKeyFirst ? end_offset_ : 0;
  while (offset < bytes_.size()) {
    const auto at = std::to_integer<unsigned>(bytes_[offset]);
    if (at > key) break;
    const auto value = value_at(offset);
    if (at == key) return value;
    offset += kEntryHeaderBytes + value.size();
  }
  return std::nullopt;
}

std::optional<std::string_view> MetadataView::pair(std::string_view name) const {
  std::optional<std::string_view> found;
  for_each_pair([&](std::string_view at, std::string_view value) {
    if (!found && at == name) found = value;
  });
  return found;
}

void MetadataWriter::fail(MetadataWriteError error) {
  if (!error_) error_ = error;
}

std::byte* MetadataWriter::entry(std::uint8_t key, std::size_t value_bytes) {
  VALKYRIE_ASSERT(key > last_key_ || (key == kPairKey && last_key_ == kPairKey));
  last_key_ = key;
  if (error_) return nullptr;
  if (value_bytes > std::numeric_limits<std::uint16_t>::max()) {
    fail(MetadataWriteError::too_long);
    return nullptr;
  }
  const std::size_t entry_bytes = kEntryHeaderBytes + value_bytes;
  const bool is_end = key >= kEndKeyFirst;
  const std::size_t before = is_end ? size_ - end_offset_ : size_;
  if (before + entry_bytes > (is_end ? kEndMetadataBytes : kHopMetadataBytes) ||
      (is_end && end_entries_ == kMetadataEntries)) {
    fail(MetadataWriteError::too_long);
    return nullptr;
  }
  if (entry_bytes > buffer_.size() - size_) {
    fail(MetadataWriteError::no_room);
    return nullptr;
  }
  std::byte* at = buffer_.data() + size_;
  at[0] = std::byte{key};
  store_big_endian(at + 1, static_cast<std::uint16_t>(value_bytes));
  size_ += entry_bytes;
  if (is_end) {
    ++end_entries_;
  } else {
    end_offset_ = size_;
  }
  return at + kEntryHeaderBytes;
}

void MetadataWriter::deadline(Duration remaining) {
  const auto ns = static_cast<std::uint64_t>(std::max(remaining, Duration::zero()).count());
  std::byte* at = entry(static_cast<std::uint8_t>(MetadataKey::deadline), sizeof ns);
  if (at != nullptr) store_big_endian(at, ns);
}

void MetadataWriter::status(const Status& status) {
  std::array<std::byte, kStatusBytesMax> value;
  put(MetadataKey::status, std::span<const std::byte>(value).first(encode_status(status, value)));
}

void MetadataWriter::identity(const IdentityValue& identity) {
  constexpr std::size_t kMost = kMetadataProperties[0x06].value_max;
  const std::size_t size = 2 + identity.tenant.size() + identity.subject.size();
  if (identity.tenant.size() > 255 || size > kMost) return fail(MetadataWriteError::bad_value);
  std::array<std::byte, kMost> value;
  value[0] = std::byte{identity.method};
  value[1] = static_cast<std::byte>(identity.tenant.size());
  auto* at = std::ranges::copy(as_bytes(identity.tenant), value.data() + 2).out;
  std::ranges::copy(as_bytes(identity.subject), at);
  put(MetadataKey::identity, std::span<const std::byte>(value).first(size));
}

void MetadataWriter::octet(MetadataKey key, std::uint8_t value) {
  const std::array bytes{std::byte{value}};
  put(key, bytes);
}

void MetadataWriter::put(MetadataKey key, std::string_view value) { put(key, as_bytes(value)); }

void MetadataWriter::put(MetadataKey key, std::span<const std::byte> value) {
  const MetadataProperties& rules = kMetadataProperties[static_cast<std::uint8_t>(key)];
  if (value.size() < rules.value_min || value.size() > rules.value_max || !is_value(key, value)) {
    return fail(MetadataWriteError::bad_value);
  }
  std::byte* at = entry(static_cast<std::uint8_t>(key), value.size());
  if (at != nullptr) std::memcpy(at, value.data(), value.size());
}

void MetadataWriter::pair(std::string_view name, std::string_view value) {
  if (!is_pair(name, value)) return fail(MetadataWriteError::bad_value);
  std::byte* at = entry(kPairKey, 1 + name.size() + value.size());
  if (at == nullptr) return;
  at[0] = static_cast<std::byte>(name.size());
  std::memcpy(at + 1, name.data(), name.size());
  if (!value.empty()) std::memcpy(at + 1 + name.size(), value.data(), value.size());
}

void MetadataWriter::ignorable(std::uint8_t key, std::span<const std::byte> value) {
  VALKYRIE_ASSERT(key >= kEndIgnorableKeyFirst && key != 0xFF && !kMetadataProperties[key].known);
  std::byte* at = entry(key, value.size());
  if (at != nullptr && !value.empty()) std::memcpy(at, value.data(), value.size());
}

std::expected<std::span<const std::byte>, MetadataWriteError> MetadataWriter::finish() const {
  if (error_) return std::unexpected(*error_);
  return std::span<const std::byte>(buffer_).first(size_);
}

std::optional<std::size_t> rewrite_for_next_hop(const MetadataView& from,
                                                std::span<const std::byte> hop_entries,
                                                PairTrust trust, std::span<std::byte> out) {
  VALKYRIE_ASSERT(hop_entries.size() <= kHopMetadataBytes);
  if (hop_entries.size() > out.size()) return std::nullopt;
  if (!hop_entries.empty()) std::memcpy(out.data(), hop_entries.data(), hop_entries.size());
  std::size_t size = hop_entries.size();
  const auto end = from.end_bytes();
  if (trust == PairTrust::trusted || !from.has_node_pair()) {
    if (end.size() > out.size() - size) return std::nullopt;
    if (!end.empty()) std::memcpy(out.data() + size, end.data(), end.size());
    return size + end.size();
  }
  bool fits = true;
  from.for_each([&](std::uint8_t key, std::span<const std::byte> value) {
    if (key < kEndKeyFirst || (key == kPairKey && is_node_pair(value))) return;
    const std::size_t entry_bytes = kEntryHeaderBytes + value.size();
    fits = fits && entry_bytes <= out.size() - size;
    if (!fits) return;
    std::memcpy(out.data() + size, value.data() - kEntryHeaderBytes, entry_bytes);
    size += entry_bytes;
  });
  if (!fits) return std::nullopt;
  return size;
}

}  // namespace valkyrie::protocol
