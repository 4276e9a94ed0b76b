// The files of an audit log, and nothing about what is in them.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace valkyrie::server {

// A file that grows. append() and truncate() are called by one thread at a time, sync() by any.
class AuditFile {
 public:
  virtual ~AuditFile() = default;
  // Writes at the end; after an error a part may have been written.
  [[nodiscard]] virtual std::error_code append(std::string_view bytes) = 0;
  // Cuts what is behind `size` bytes.
  [[nodiscard]] virtual std::error_code truncate(std::uint64_t size) = 0;
  // Returns when all of it is on the disk.
  [[nodiscard]] virtual std::error_code sync() = 0;
};

// Files by their number, from 1. Tests have one that fails when they like.
class AuditDirectory {
 public:
  virtual ~AuditDirectory() = default;
  // The numbers of the files that are there, ascending.
  [[nodiscard]] virtual std::expected<std::vector<std::uint64_t>, std::error_code> list() = 0;
  // All of a file.
  [[nodiscard]] virtual std::expected<std::string, std::error_code> read(std::uint64_t file) = 0;
  // Opens a file, made where it is missing.
  [[nodiscard]] virtual std::expected<std::shared_ptr<AuditFile>, std::error_code> open(
      std::uint64_t file) = 0;
  // The path of a file, for people.
  [[nodiscard]] virtual std::string path(std::uint64_t file) const = 0;
};

// A directory on the disk, made with mode 0700 where it is missing. Files have mode 0600.
[[nodiscard]] std::unique_ptr<AuditDirectory> disk_audit_directory(std::string path);

}  // namespace valkyrie::server
