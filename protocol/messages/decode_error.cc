#include "protocol/messages/decode_error.h"

#include "protocol/messages/archive.h"

namespace valkyrie::messages {

std::string_view to_string(DecodeError error) {
  switch (error) {
    case DecodeError::malformed:
      return "malformed";
    case DecodeError::not_utf8:
      return "not_utf8";
    case DecodeError::limit:
      return "limit";
    case DecodeError::value:
      return "value";
    case DecodeError::missing:
      return "missing";
  }
  return "unknown";
}

namespace {

// Bytes of the sequence `lead` begins, 0 if it begins none; `low` and `high` bound its second byte.
std::size_t sequence_length(unsigned char lead, unsigned char& low, unsigned char& high) {
  low = 0x80;
  high = 0xBF;
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    return 4;
  }
  return 0;
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    unsigned char low = 0;
    unsigned char high = 0;
    const std::size_t length = sequence_length(static_cast<unsigned char>(text[i]), low, high);
    if (length == 0 || text.size() - i < length) return false;
    for (std::size_t k = 1; k < length; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      if (byte < low || byte > high) return false;
      low = 0x80;
      high = 0xBF;
    }
    i += length;
  }
  return true;
}

}  // namespace valkyrie::messages
