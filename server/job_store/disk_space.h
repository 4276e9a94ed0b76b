// What a file system has left.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

namespace valkyrie::job_store {

// Bytes.
struct DiskSpace {
  std::uint64_t free = 0;  // For us: what is kept for root does not count.
  std::uint64_t total = 0;
};

// Of the file system that has the folder. May wait for the disk; any thread. Errors, for people.
[[nodiscard]] std::expected<DiskSpace, std::string> disk_space(const std::string& directory);

}  // namespace valkyrie::job_store
