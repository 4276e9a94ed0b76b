// The folder a store keeps its files in: taken by one process at a time and closed to other users.
// Private to this folder.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>
#include <vector>

#include "transport/socket.h"

namespace valkyrie::job_store {

// A day as files are named by it: days since 1970, UTC.
using Day = std::uint32_t;

inline constexpr std::uint64_t kMsPerHour = 3600ull * 1000;
inline constexpr std::uint64_t kMsPerDay = 24 * kMsPerHour;

class StoreDirectory {
 public:
  // Makes the folder with mode 0700 where it is missing and locks it until this object goes.
  // Errors, for people: another process has it, it cannot be made or used.
  [[nodiscard]] static std::expected<StoreDirectory, std::string> take(const std::string& path);

  // Where the jobs are that are not moved away yet.
  [[nodiscard]] std::string live_file() const;
  // Where jobs are that ended on a day: `done-2026-11-24.db`.
  [[nodiscard]] std::string done_file(Day day) const;
  // Days whose done file exists, oldest first.
  [[nodiscard]] std::vector<Day> done_days() const;
  // Removes a day's file and what SQLite may have left beside it.
  void remove_done(Day day) const;

  // Makes the file where it is missing, durably, and takes it from other users where they had it.
  [[nodiscard]] std::expected<void, std::string> keep_private(const std::string& file) const;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  StoreDirectory(std::string path, transport::Socket lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  transport::Socket lock_;
};

}  // namespace valkyrie::job_store
