// A disk in memory that fails, fills up, writes less than asked and loses what was not synced when
// the machine dies: as tests like.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "server/log_store/log_disk.h"

namespace valkyrie::log_store::testing {

// What a disk is asked for.
enum class DiskCall : std::uint8_t { open, write, read, truncate, sync, other };

// The disk's memory; outlives the stores that use it. Any thread.
class VirtualLogDisk {
 public:
  // What to open a store with, as often as a test likes. Keeps a reference.
  [[nodiscard]] std::unique_ptr<LogDisk> disk();

  // The machine dies: of what was not synced a file keeps any beginning, its index any bytes; a
  // name that was not synced is there or not. No store may have it open.
  void crash(std::mt19937_64& random);

  // A file's bytes, "" if there is none.
  [[nodiscard]] std::string contents(const std::string& folder, const std::string& name) const;
  [[nodiscard]] bool exists(const std::string& folder, const std::string& name) const;
  // Makes a file be what it is not, and on the disk.
  void replace(const std::string& folder, const std::string& name, std::string contents);
  // When a file was changed last, from now on; Unix time.
  void set_changed(const std::string& folder, const std::string& name, std::uint64_t unix_ms);

  // Bytes that can still be written; nullopt: any.
  void set_room(std::optional<std::uint64_t> bytes);
  // Bytes of a write that are taken at most.
  void set_write_max(std::size_t bytes);
  // Asked before each call with the file's name (or the folder's): an error is what it returns.
  void set_fault(std::function<std::error_code(DiskCall, std::string_view)> fault);

  // Files that are open.
  [[nodiscard]] std::size_t open_files() const;
  // The most that were at once.
  [[nodiscard]] std::size_t open_files_high() const;
  [[nodiscard]] std::uint64_t syncs() const;

 private:
  friend class VirtualFile;
  friend class VirtualDisk;
  struct File {
    std::string bytes;
    std::string synced;
    std::uint64_t changed_ms = 1'790'000'000'000;
    bool name_synced = false;
  };
  using Key = std::pair<std::string, std::string>;  // Folder and name.

  [[nodiscard]] std::error_code fault(DiskCall call, std::string_view name) const;

  mutable std::mutex mutex_;  // Guards all below.
  std::map<Key, std::shared_ptr<File>> files_;
  std::map<std::string, bool> folders_;  // And whether their names are synced.
  std::optional<std::uint64_t> room_;
  std::size_t write_max_ = static_cast<std::size_t>(-1);
  std::function<std::error_code(DiskCall, std::string_view)> fault_;
  std::size_t open_ = 0;
  std::size_t open_high_ = 0;
  std::uint64_t syncs_ = 0;
};

}  // namespace valkyrie::log_store::testing
