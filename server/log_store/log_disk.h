// The folder that logs are kept in, as far as it may fail: what tests put another one behind.
//
// Layout: docs/spec/jobs.md, "Where logs are".
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace valkyrie::log_store {

// A file that is open. write() and truncate() are called by one thread at a time, all others by
// any.
class LogFile {
 public:
  virtual ~LogFile() = default;
  // Writes a beginning of the pieces, which are not all empty, at `offset`: how much, which is not
  // 0.
  [[nodiscard]] virtual std::expected<std::size_t, std::error_code> write(
      std::uint64_t offset, std::span<const std::string_view> pieces) = 0;
  // Reads at `offset`: how much, which is 0 only at the end or for an empty `into`.
  [[nodiscard]] virtual std::expected<std::size_t, std::error_code> read(std::uint64_t offset,
                                                                         std::span<char> into) = 0;
  // Cuts what is behind `size` bytes.
  [[nodiscard]] virtual std::error_code truncate(std::uint64_t size) = 0;
  // Returns when all bytes that were there when it was called are on the disk. An error means that
  // nobody can know any more what is: trying again would not tell.
  [[nodiscard]] virtual std::error_code sync() = 0;
  // Lets the kernel begin to write, so that syncs of many files wait together. A hint.
  virtual void begin_sync() = 0;
  // Bytes it has.
  [[nodiscard]] virtual std::expected<std::uint64_t, std::error_code> size() = 0;
};

// A file of a folder.
struct StoredFile {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint64_t changed_ms = 0;  // Unix time.
};

// How to open a file.
enum class Access : std::uint8_t {
  read,   // It is there.
  write,  // Reading and writing; it is made where it is missing.
};

// Folders with files, one level deep. Any thread. Names never come from outside: they are made of
// ids. A symbolic link anywhere below is an error, never followed.
class LogDisk {
 public:
  virtual ~LogDisk() = default;
  // Makes a folder, unless it is there.
  [[nodiscard]] virtual std::error_code make_folder(const std::string& folder) = 0;
  // Opens a file, for its owner only where it is made.
  [[nodiscard]] virtual std::expected<std::unique_ptr<LogFile>, std::error_code> open(
      const std::string& folder, const std::string& name, Access access) = 0;
  // Bytes of a file; no_such_file_or_directory if there is none.
  [[nodiscard]] virtual std::expected<std::uint64_t, std::error_code> size(
      const std::string& folder, const std::string& name) = 0;
  // Takes a file away; one that is missing is no error.
  [[nodiscard]] virtual std::error_code remove(const std::string& folder,
                                               const std::string& name) = 0;
  // Returns when the names in a folder are on the disk; the folder "" has the folders.
  [[nodiscard]] virtual std::error_code sync_folder(const std::string& folder) = 0;
  // The folders.
  [[nodiscard]] virtual std::expected<std::vector<std::string>, std::error_code> folders() = 0;
  // The files of a folder.
  [[nodiscard]] virtual std::expected<std::vector<StoredFile>, std::error_code> files(
      const std::string& folder) = 0;
};

// A directory of the system, made with mode 0700 where it is missing (its parent has to be there)
// and held alone while the object lives. Errors, for people: it is a symbolic link or no directory,
// belongs to another user, others may write to it, another process uses it, it cannot be made.
[[nodiscard]] std::expected<std::unique_ptr<LogDisk>, std::string> open_log_disk(
    const std::string& directory);

}  // namespace valkyrie::log_store
