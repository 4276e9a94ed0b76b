// A disk that fails on order: SQLite's I/O layer with faults, and with a record of what a loss of
// power would leave. For tests.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3_vfs;

namespace valkyrie::job_store::testing {

// Registered with SQLite under its name while it lives; works on real files. Any thread.
class FaultVfs {
 public:
  explicit FaultVfs(std::string name);
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;
  ~FaultVfs();

  // For StoreOptions::vfs.
  [[nodiscard]] const std::string& name() const { return name_; }

  // From here on nothing that makes a file longer succeeds: SQLITE_FULL.
  void fill_disk(bool full);
  // The write after `count` more fails once: SQLITE_FULL.
  void refuse_write(std::uint64_t count);
  // Whether that write came.
  [[nodiscard]] bool refused();
  // From here on every sync of files whose names end so fails.
  void break_syncs(std::string suffix);

  // Called before every write, truncation, sync and removal, one at a time.
  void on_step(std::function<void()> step);
  // From inside on_step(): writes to the folder `to` what a power cut at this moment could leave of
  // the files in `from`. What was synced is there; of what was not, each write by itself is there,
  // is not, or in part, as the seed says.
  void cut_power(const std::string& from, const std::string& to, std::uint64_t seed);

  // What is done to a file.
  struct Change {
    // What a power cut can leave undone.
    enum class Kind : std::uint8_t { write, truncate, remove };
    Kind kind = Kind::write;
    std::uint64_t offset = 0;  // Of a write; a truncation's new size.
    std::string data;
  };
  // SQLite opens a file; `existed`: it was there before.
  void opened(const std::string& path, bool existed);
  // It is about to change a file of `size` bytes. nullopt: do it; a code of SQLite: fail with it.
  std::optional<int> changing(const std::string& path, Change change, std::uint64_t size);
  // It is about to sync; as for changing().
  std::optional<int> syncing(const std::string& path);
  // It has removed a file and synced the folder.
  void removed_durably(const std::string& path);

 private:
  // A file as the disk has it, and what only the system's cache has.
  struct Image {
    std::optional<std::string> durable;  // nullopt: no such name.
    std::vector<Change> pending;
  };
  static void apply(const Change& change, std::size_t bytes, std::optional<std::string>& content);

  const std::string name_;
  std::unique_ptr<sqlite3_vfs> vfs_;
  std::mutex mutex_;
  std::map<std::string, Image> images_;
  std::function<void()> step_;
  bool full_ = false;
  std::optional<std::uint64_t> writes_to_refusal_;  // nullopt: none is to come.
  std::optional<std::string> broken_;               // The suffix whose syncs fail.
};

}  // namespace valkyrie::job_store::testing
