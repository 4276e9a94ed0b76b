// Base64 for URLs without padding: RFC 4648 section 5, as RFC 7515 uses it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace valkyrie::policy {

// The bytes of `text`. Nullopt for a byte outside of the alphabet, padding, a length that no bytes
// have, and set bits after the last byte: each value has exactly one text.
[[nodiscard]] std::optional<std::vector<std::byte>> decode_base64url(std::string_view text);

// The text of `bytes`.
[[nodiscard]] std::string encode_base64url(std::span<const std::byte> bytes);

}  // namespace valkyrie::policy
