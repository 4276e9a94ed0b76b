// The thread behind the writer: brings the write-ahead log into the file, moves jobs that are over
// to the files of their days, and looks at how much of the disk is free. Private to this folder.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

#include "server/job_store/done_files.h"
#include "server/job_store/store_state.h"

namespace valkyrie::job_store {

class Tidier {
 public:
  // `directory` is borrowed. The thread begins with start().
  Tidier(StoreState& state, const StoreDirectory& directory, Database database);
  // As close().
  ~Tidier();

  void start();
  void close();

 private:
  struct Checkpointed {
    std::uint64_t log_frames = 0;
    std::uint64_t done_frames = 0;
  };
  void run();
  void look_at_space();
  void checkpoint_if_due();
  // One passive checkpoint; nullopt: nothing moved, another try may do.
  std::optional<Checkpointed> checkpoint();
  void move_if_due();

  StoreState& state_;
  const StoreDirectory& directory_;
  Database database_;
  DoneFiles done_files_;
  std::uint64_t moved_ms_ = 0;  // When move_if_due() was last through.
  std::thread thread_;
};

}  // namespace valkyrie::job_store
