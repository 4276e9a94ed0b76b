// The thread that writes: takes every change that queued up while it committed the ones before, and
// commits them together. Private to this folder.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <variant>
#include <vector>

#include "server/job_store/database.h"
#include "server/job_store/record_rows.h"
#include "server/job_store/store_state.h"

namespace valkyrie::job_store {

// Changes in one commit: what is ahead of a change that must be durable soon.
inline constexpr std::size_t kCommitChangesMax = 1024;

using Write = std::variant<EncodedJob, EncodedUpdate>;

// Changes on their way to the writer. Bounded by whoever asks room(); see kQueueBytesMax.
class WriteQueue {
 public:
  void push(Write write);
  // Waits for changes and moves all of them to the empty `taken`. False: closed, and none is left.
  bool take(std::vector<Write>& taken);
  // Nothing may be pushed any more.
  void close();

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::vector<Write> writes_;
  bool closed_ = false;
};

class Writer {
 public:
  // `database` is jobs.db, opened. The thread begins with start().
  static std::expected<std::unique_ptr<Writer>, SqlError> make(StoreState& state,
                                                               Database database);
  // As close().
  ~Writer();

  void start();
  void push(Write write);
  // Commits what is queued and ends the thread. What a full disk refuses is given up.
  void close();

  // Of the connection, while the thread does not run.
  [[nodiscard]] Database& database() { return database_; }

 private:
  struct Statements {
    Statement insert_job;
    Statement insert_spec;
    Statement update_job;
  };
  Writer(StoreState& state, Database database, Statements statements);

  void run();
  // Until they are durable. False: given up at close().
  bool commit(std::span<const Write> writes);
  std::expected<void, SqlError> try_commit(std::span<const Write> writes);
  std::expected<void, SqlError> apply(const Write& write);
  // An update met no row with its token.
  std::expected<void, SqlError> check_missed(const EncodedUpdate& update);
  void log_grew(std::uint64_t frames);

  StoreState& state_;
  Database database_;
  Statements statements_;  // Go before the connection.
  WriteQueue queue_;
  std::thread thread_;
};

}  // namespace valkyrie::job_store
