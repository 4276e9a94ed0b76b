// Small files that a program is told of: certificates, keys, lists.
#pragma once

#include <cstddef>
#include <expected>
#include <string>

namespace valkyrie::transport {

// Bytes that such a file may have: a list of all public authorities has a twentieth.
inline constexpr std::size_t kTextFileBytesMax = 4u << 20;

// What the file holds. Errors, for people and with its path: it cannot be read, or is too long.
[[nodiscard]] std::expected<std::string, std::string> read_text_file(const std::string& path);

// The same of a secret. Also an error: users beside its own and, to read it, its group may open it.
[[nodiscard]] std::expected<std::string, std::string> read_secret_file(const std::string& path);

}  // namespace valkyrie::transport
