// The files of a store: their tables, and opening them without ever harming one that is not ours,
// newer or damaged. Private to this folder.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "server/job_store/database.h"

namespace valkyrie::job_store {

// In the header of each of our files, "VKJS": what `file` and we know it by.
inline constexpr std::uint32_t kApplicationId = 0x564b4a53;
// Bytes of a page, and of one in the write-ahead log.
inline constexpr std::uint64_t kPageBytes = 4096;
inline constexpr std::uint64_t kFrameBytes = kPageBytes + 24;

// Both kinds have the same tables.
enum class FileKind : std::uint8_t {
  live,  // Written all the time: a write-ahead log.
  done,  // Written rarely, removed whole: no files beside it.
};

// Why a file cannot be used.
struct FileError {
  std::string text;       // For people, with what to do.
  bool may_pass = false;  // Its disk is full, or another program holds it: try again later.
};

// Opens the file, which exists and which this process has not open: an empty one gets its tables,
// one of an older version is brought to ours, each step durable as a whole. After an error the file
// is as before.
[[nodiscard]] std::expected<Database, FileError> open_file(const std::string& path, FileKind kind,
                                                           const std::string& vfs);
// One more connection to a live file that open_file() has opened.
[[nodiscard]] std::expected<Database, FileError> connect_again(const std::string& path,
                                                               const std::string& vfs);

// What to tell people of a file whose content is wrong.
[[nodiscard]] std::string damaged(const std::string& path, std::string_view why);
// What to tell people of a file that SQLite refuses.
[[nodiscard]] FileError unusable(const std::string& path, const SqlError& error);

}  // namespace valkyrie::job_store
