#include "server/jobs/job_id.h"

#include "protocol/assert.h"

namespace valkyrie::jobs {
namespace {

constexpr std::string_view kDigits = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::string_view kPrefix = "job_";
constexpr std::size_t kDigitsPerId = 26;  // 130 bits; the first digit holds only 3.

// 128 bits as two halves, which is all the arithmetic base 32 needs.
struct Halves {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
};

Halves load(const std::array<std::uint8_t, 16>& bytes) {
  Halves value;
  for (std::size_t i = 0; i < 8; ++i) {
    value.high = value.high << 8 | bytes[i];
    value.low = value.low << 8 | bytes[i + 8];
  }
  return value;
}

std::array<std::uint8_t, 16> store(Halves value) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 8; i-- > 0;) {
    bytes[i] = static_cast<std::uint8_t>(value.high);
    bytes[i + 8] = static_cast<std::uint8_t>(value.low);
    value.high >>= 8;
    value.low >>= 8;
  }
  return bytes;
}

// The digit's value, or nullopt.
std::optional<std::uint64_t> digit_value(char c) {
  if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (c == 'i' || c == 'l') c = '1';
  if (c == 'o') c = '0';
  const std::size_t at = kDigits.find(c);
  if (at == std::string_view::npos) return std::nullopt;
  return at;
}

}  // namespace

JobId JobId::make(std::uint64_t unix_ms, std::uint16_t node, Row row, std::uint16_t random) {
  VALKYRIE_ASSERT(unix_ms >> 48 == 0 && node >> 12 == 0 && row <= kRowMax);
  JobId id;
  id.bytes_ = store({.high = unix_ms << 16 | std::uint64_t{7} << 12 | node,
                     .low = std::uint64_t{2} << 62 | row << 16 | random});
  return id;
}

std::string JobId::text() const {
  Halves value = load(bytes_);
  std::string out(kPrefix.size() + kDigitsPerId, '0');
  for (std::size_t i = out.size(); i-- > kPrefix.size();) {
    out[i] = kDigits[value.low & 31];
    value.low = value.low >> 5 | value.high << 59;
    value.high >>= 5;
  }
  out.replace(0, kPrefix.size(), kPrefix);
  return out;
}

Row JobId::row() const { return load(bytes_).low >> 16 & kRowMax; }

std::uint64_t JobId::unix_ms() const { return load(bytes_).high >> 16; }

std::optional<JobIdRange> JobIdRange::of_prefix(std::string_view prefix) {
  if (prefix.starts_with(kPrefix)) prefix.remove_prefix(kPrefix.size());
  if (prefix.size() > kDigitsPerId) return std::nullopt;
  Halves first;
  Halves last;
  const auto append = [](Halves& value, std::uint64_t digit) {
    value.high = value.high << 5 | value.low >> 59;
    value.low = value.low << 5 | digit;
  };
  for (std::size_t i = 0; i < kDigitsPerId; ++i) {
    const std::uint64_t highest = i == 0 ? 7 : 31;
    if (i >= prefix.size()) {
      append(first, 0);
      append(last, highest);
      continue;
    }
    const auto digit = digit_value(prefix[i]);
    if (!digit || *digit > highest) return std::nullopt;
    append(first, *digit);
    append(last, *digit);
  }
  JobIdRange range;
  range.first.bytes_ = store(first);
  range.last.bytes_ = store(last);
  return range;
}

}  // namespace valkyrie::jobs
