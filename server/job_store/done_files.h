// Jobs that are over, moved in bulk out of the live file into one file for each day of their end:
// what is too old is then removed as a file, without a row being touched. Private to this folder.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <vector>

#include "server/job_store/database.h"
#include "server/job_store/schema.h"
#include "server/job_store/store_directory.h"
#include "server/job_store/store_state.h"

namespace valkyrie::job_store {

// Jobs moved at a time: what the writer may have to wait for.
inline constexpr std::size_t kMovedMax = 1000;

class DoneFiles {
 public:
  // `live` is a connection of the caller's to jobs.db. All are borrowed.
  DoneFiles(StoreState& state, const StoreDirectory& directory, Database& live)
      : state_(state), directory_(directory), live_(live) {}

  // Moves at most kMovedMax jobs that ended long enough ago, the oldest ends first, and forgets
  // those whose time is over. They are durable in their new place before they go from the old one,
  // so a crash leaves them in one or in both. Returns how many; 0: none is left to move.
  [[nodiscard]] std::expected<std::size_t, FileError> move(std::uint64_t now_ms);
  // Removes the files of days whose time is over.
  void drop_old(std::uint64_t now_ms);

 private:
  struct Ended {
    jobs::Row row = 0;
    std::uint64_t ended_ms = 0;
  };
  std::expected<std::vector<Ended>, SqlError> pick(std::uint64_t now_ms);
  std::expected<void, FileError> copy(Day day, std::span<const Ended> ended);
  std::expected<void, SqlError> copy_rows(std::span<const Ended> ended);
  std::expected<void, SqlError> erase(std::span<const Ended> ended, std::uint64_t now_ms);
  [[nodiscard]] std::uint64_t keep_from(std::uint64_t now_ms) const;
  FileError failed(const SqlError& error) const;

  StoreState& state_;
  const StoreDirectory& directory_;
  Database& live_;
};

}  // namespace valkyrie::job_store
