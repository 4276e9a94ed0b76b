// Small files that a program is told of: certificates, keys, lists.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

namespace valkyrie::transport {

// Bytes that such a file may have: a list of all public authorities has a twentieth.
inline constexpr std::size_t kTextFileBytesMax = 4u << 20;

// What the file holds. Errors, for people and with its path: it cannot be read, or is too long.
[[nodiscard]] std::expected<std::string, std::string> read_text_file(const std::string& path);

// The same of a secret. Also an error: users beside its own and, to read it, its group may open it.
[[nodiscard]] std::expected<std::string, std::string> read_secret_file(const std::string& path);

// Who may read a file that is written.
enum class FileAccess : unsigned char {
  owner,   // The user of the program alone: secrets.
  anyone,  // All users may read it.
};

// What happens to a file of the same name.
enum class Existing : unsigned char { replaced, kept };

// Writes a file so that a crash at any point leaves the old or the new text, whole. Errors, for
// people and with its path: it is there already and is to be kept, or it cannot be written.
[[nodiscard]] std::expected<void, std::string> write_text_file(const std::string& path,
                                                               std::string_view text,
                                                               FileAccess access,
                                                               Existing existing);

}  // namespace valkyrie::transport
