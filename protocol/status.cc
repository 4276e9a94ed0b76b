#include "protocol/status.h"

#include <cstring>

namespace valkyrie::protocol {
namespace {

// Bytes of the character that begins with `lead`, and the bounds of its second byte; 0 bytes if
// no character begins so. Table 3-7 of the Unicode standard.
struct Utf8Lead {
  std::size_t bytes;
  unsigned char second_min;
  unsigned char second_max;
};

Utf8Lead utf8_lead(unsigned char lead) {
  if (lead < 0x80) return {1, 0, 0};
  if (lead < 0xC2) return {0, 0, 0};
  if (lead < 0xE0) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0u) == 0x80u; }

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Lead lead = utf8_lead(static_cast<unsigned char>(text[0]));
    if (lead.bytes == 0 || lead.bytes > text.size()) return false;
    if (lead.bytes > 1) {
      const auto second = static_cast<unsigned char>(text[1]);
      if (second < lead.second_min || second > lead.second_max) return false;
    }
    for (std::size_t i = 2; i < lead.bytes; ++i) {
      if (!is_continuation(text[i])) return false;
    }
    text.remove_prefix(lead.bytes);
  }
  return true;
}

std::string_view fit_status_text(std::string_view text) {
  if (text.size() <= kStatusTextBytes) return text;
  std::size_t bytes = kStatusTextBytes;
  while (bytes > 0 && is_continuation(text[bytes])) --bytes;
  return text.substr(0, bytes);
}

std::size_t encode_status(const Status& status, std::span<std::byte, kStatusBytesMax> out) {
  const std::string_view text = fit_status_text(status.text);
  out[0] = static_cast<std::byte>(status.code);
  out[1] = static_cast<std::byte>(status.outcome);
  if (!text.empty()) std::memcpy(out.data() + kStatusBytesMin, text.data(), text.size());
  return kStatusBytesMin + text.size();
}

std::optional<Status> decode_status(std::span<const std::byte> value) {
  if (value.size() < kStatusBytesMin || value.size() > kStatusBytesMax) return std::nullopt;
  auto code = static_cast<StatusCode>(value[0]);
  if (code > StatusCode::unauthenticated) code = StatusCode::unknown;
  auto outcome = static_cast<Outcome>(value[1]);
  if (outcome > Outcome::executed) outcome = Outcome::maybe_executed;
  const auto text = value.subspan(kStatusBytesMin);
  const std::string_view view(reinterpret_cast<const char*>(text.data()), text.size());
  if (!is_utf8(view)) return std::nullopt;
  return Status{code, outcome, view};
}

}  // namespace valkyrie::protocol
