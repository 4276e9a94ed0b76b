// The one way in which reading a body of a built-in service fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

namespace valkyrie::messages {

// Why a body was refused. The sender is at fault: answer INVALID_ARGUMENT and nothing else.
enum class DecodeError : std::uint8_t {
  malformed = 1,  // Not a protobuf message, or cut short.
  not_utf8,       // A text field holds other bytes than UTF-8.
  limit,          // A field is longer, or comes more often, than its limit allows.
  value,          // A number or enum outside its range, or a name that is not one.
  missing,        // A field without which the message has no meaning, such as the oneof.
};

// The one word for logs and status messages.
[[nodiscard]] std::string_view to_string(DecodeError error);

// Reads one whole body; `T` is any of the message types of jobs.h and registry.h. Fields not known
// are skipped, so that a newer peer may add some. Total: any bytes give a value or an error, and
// memory stays within a small multiple of `bytes`. The result owns all it holds.
template <class T>
[[nodiscard]] std::expected<T, DecodeError> decode(std::span<const std::byte> bytes);

}  // namespace valkyrie::messages
