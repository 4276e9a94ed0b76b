#include "server/job_store/sqlite_job_store.h"

#include <fmt/format.h>
#include <utility>

#include <sqlite3.h>

#include "protocol/assert.h"
#include "server/job_store/record_rows.h"
#include "server/job_store/restore.h"
#include "server/job_store/schema.h"
#include "server/job_store/tidier.h"
#include "server/job_store/writer.h"

namespace valkyrie::job_store {
namespace {

// Makes sure that the tokens of this start were never given.
std::expected<void, std::string> check_epoch(Database& live, const StoreDirectory& directory,
                                             std::uint32_t epoch) {
  const auto stored = live.number("SELECT value FROM meta WHERE name = 'epoch'");
  if (!stored) return std::unexpected(unusable(directory.live_file(), stored.error()).text);
  if (*stored < epoch) return {};
  return std::unexpected(fmt::format(
      "the job store in {} was used at start {} of its node, and this is start {}: fencing tokens "
      "would be given twice; put the node's whole state directory back, or move this folder away",
      directory.path(), *stored, epoch));
}

std::expected<void, SqlError> take_epoch(Database& live, std::uint32_t epoch) {
  const std::string sql = fmt::format("UPDATE meta SET value = {} WHERE name = 'epoch'", epoch);
  return live.execute(sql.c_str());
}

}  // namespace

// In the order in which they are made; threads go first.
struct SqliteJobStore::Parts {
  Parts(StoreDirectory folder, StoreOptions options)
      : directory(std::move(folder)), state(std::move(options)) {}

  StoreDirectory directory;
  StoreState state;
  std::unique_ptr<Writer> writer;
  std::unique_ptr<Tidier> tidier;
};

std::expected<SqliteJobStore::Opened, std::string> SqliteJobStore::open(
    const std::string& directory, StoreOptions options) {
  VALKYRIE_ASSERT(options.log && options.now_ms);
  auto taken = StoreDirectory::take(directory);
  if (!taken) return std::unexpected(taken.error());
  if (!options.on_durable) options.on_durable = [] {};
  if (!options.space) options.space = [directory] { return disk_space(directory); };
  auto parts = std::make_unique<Parts>(std::move(*taken), std::move(options));
  const std::string file = parts->directory.live_file();
  if (auto kept = parts->directory.keep_private(file); !kept) {
    return std::unexpected(kept.error());
  }
  auto live = open_file(file, FileKind::live, parts->state.options.vfs);
  if (!live) return std::unexpected(live.error().text);
  const std::uint32_t epoch = parts->state.options.epoch;
  if (auto fits = check_epoch(*live, parts->directory, epoch); !fits) {
    return std::unexpected(fits.error());
  }
  auto stored = restore(*live, parts->directory, parts->state.options);
  if (!stored) return std::unexpected(stored.error());
  if (auto done = take_epoch(*live, epoch); !done) {
    return std::unexpected(unusable(file, done.error()).text);
  }
  auto writer = Writer::make(parts->state, std::move(*live));
  if (!writer) return std::unexpected(unusable(file, writer.error()).text);
  parts->writer = std::move(*writer);
  auto beside = connect_again(file, parts->state.options.vfs);
  if (!beside) return std::unexpected(beside.error().text);
  parts->tidier = std::make_unique<Tidier>(parts->state, parts->directory, std::move(*beside));
  parts->writer->start();
  parts->tidier->start();
  std::unique_ptr<SqliteJobStore> store(new SqliteJobStore(std::move(parts)));
  return Opened{.store = std::move(store), .jobs = std::move(*stored)};
}

SqliteJobStore::SqliteJobStore(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

SqliteJobStore::~SqliteJobStore() { close(); }

jobs::Change SqliteJobStore::insert(const jobs::JobRecord& record) {
  parts_->writer->push(encode(record));
  return ++changes_;
}

jobs::Change SqliteJobStore::update(const jobs::JobId& id, std::uint64_t token,
                                    const jobs::JobStatus& status) {
  parts_->writer->push(EncodedUpdate{.row = id.row(), .token = token, .status = encode(status)});
  return ++changes_;
}

jobs::Change SqliteJobStore::durable() const { return parts_->state.durable; }

jobs::StoreRoom SqliteJobStore::room() const {
  const StoreState& state = parts_->state;
  if (state.low || state.stuck) return jobs::StoreRoom::disk_full;
  if (state.behind || state.queue_bytes >= kQueueBytesMax) return jobs::StoreRoom::behind;
  return jobs::StoreRoom::open;
}

void SqliteJobStore::close() {
  if (parts_->writer == nullptr) return;
  parts_->tidier.reset();
  parts_->writer->close();
  StoreState& state = parts_->state;
  if (state.durable < changes_) {
    state.options.log(fmt::format("{} changes of jobs are given up: the disk has no room for them",
                                  changes_ - state.durable));
  }
  Database& live = parts_->writer->database();
  // What is in the log is durable: it is brought into the file to leave one file, not for safety.
  if (auto done = live.execute("PRAGMA wal_checkpoint(TRUNCATE)"); !done) {
    state.options.log(fmt::format("the job store's log stays: {}", done.error().text));
  } else {
    sqlite3_db_config(live.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  }
  parts_->writer.reset();
}

StoreFigures SqliteJobStore::figures() const {
  const StoreState& state = parts_->state;
  return {.commits = state.commits,
          .checkpoints = state.checkpoints,
          .moved = state.moved,
          .looks = state.looks,
          .queue_bytes = state.queue_bytes,
          .log_bytes = state.log_bytes};
}

}  // namespace valkyrie::job_store
