// The value of metadata key STATUS: how a call ended. Spec: docs/spec/calls.md, "Status".
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/constants.h"

namespace valkyrie::protocol {

// How a call ended. Absence on the wire means ok.
struct Status {
  StatusCode code = StatusCode::ok;
  Outcome outcome = Outcome::executed;
  // UTF-8, for people. Borrowed from whoever made the status.
  std::string_view text{};

  friend bool operator==(const Status&, const Status&) = default;
};

// Bytes of a status without text, and with the longest one.
inline constexpr std::size_t kStatusBytesMin = 2;
inline constexpr std::size_t kStatusBytesMax = kStatusBytesMin + kStatusTextBytes;

// Whether `text` is UTF-8 as RFC 3629 defines it (no surrogates, no overlong forms).
[[nodiscard]] bool is_utf8(std::string_view text);

// `text` without what would not fit into a status, cut between characters. REQUIRES: UTF-8, else
// the cut may be inside what was meant as a character.
[[nodiscard]] std::string_view fit_status_text(std::string_view text);

// Writes the value and returns its bytes; a longer text is cut as fit_status_text() does.
[[nodiscard]] std::size_t encode_status(const Status& status,
                                        std::span<std::byte, kStatusBytesMax> out);

// Reads a value; the text borrows from it. A code or outcome of a later version reads as unknown
// and maybe_executed. nullopt if shorter than 2 bytes, longer than 1,026 or not UTF-8.
[[nodiscard]] std::optional<Status> decode_status(std::span<const std::byte> value);

}  // namespace valkyrie::protocol
