// What the threads of a store share. Private to this folder.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

#include "server/job_store/database.h"
#include "server/job_store/sqlite_job_store.h"

namespace valkyrie::job_store {

// Wakes one thread. A ring while nobody waits is kept for the next wait.
class Bell {
 public:
  void ring();
  // Every wait ends at once from here on.
  void close();
  [[nodiscard]] bool is_closed();
  // Until it rings, is closed, or `most` is over; nullopt: no limit. False: closed.
  bool wait(std::optional<std::chrono::milliseconds> most);

 private:
  std::mutex mutex_;
  std::condition_variable rung_;
  bool ringing_ = false;
  bool closed_ = false;
};

// Who may write to jobs.db: the writer most of the time, the tidier now and then. A plain mutex
// would starve the tidier, since the writer takes it again at once under load.
class Gate {
 public:
  // Held while it lives.
  class Pass {
   public:
    explicit Pass(Gate& gate) : gate_(gate) {}
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() { gate_.leave(); }

   private:
    Gate& gate_;
  };
  // For the writer: lets a waiting tidier go first.
  [[nodiscard]] Pass write();
  [[nodiscard]] Pass tidy();

 private:
  void leave();

  std::mutex mutex_;
  std::condition_variable moved_;
  bool held_ = false;
  bool tidier_waits_ = false;
};

struct StoreState {
  explicit StoreState(StoreOptions store_options) : options(std::move(store_options)) {}

  // Logs, and aborts the process: for what makes every later promise worthless.
  [[noreturn]] void fail(std::string_view what) const;
  [[noreturn]] void fail(std::string_view what, const SqlError& error) const;

  const StoreOptions options;
  Gate gate;
  Bell tidier;  // Work for the tidier: the log has grown, the disk is full, it had fallen asleep.
  Bell space;   // For a writer that waits for space: try again.

  std::atomic<jobs::Change> durable = 0;
  std::atomic<std::uint64_t> commits = 0;
  std::atomic<std::uint64_t> checkpoints = 0;
  std::atomic<std::uint64_t> moved = 0;
  std::atomic<std::uint64_t> looks = 0;
  std::atomic<std::uint64_t> queue_bytes = 0;
  std::atomic<std::uint64_t> log_bytes = 0;  // Not checkpointed; written under the gate.
  std::atomic<bool> behind = false;          // The log passed its limit and is not down yet.
  std::atomic<bool> low = false;             // Less is free than is reserved.
  std::atomic<bool> stuck = false;           // A commit was refused for want of space.
  std::atomic<bool> tidier_sleeps = false;   // It waits without limit until it is rung.
};

}  // namespace valkyrie::job_store
