#include "server/job_store/writer.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include <sqlite3.h>

#include "protocol/assert.h"
#include "server/job_store/schema.h"

namespace valkyrie::job_store {
namespace {

std::uint64_t queue_bytes(const Write& write) {
  const std::size_t heap = std::holds_alternative<EncodedJob>(write)
                               ? heap_bytes(std::get<EncodedJob>(write))
                               : heap_bytes(std::get<EncodedUpdate>(write).status);
  return sizeof(Write) + heap;
}

}  // namespace

void WriteQueue::push(Write write) {
  {
    const std::lock_guard lock(mutex_);
    VALKYRIE_ASSERT(!closed_);
    writes_.push_back(std::move(write));
  }
  filled_.notify_one();
}

bool WriteQueue::take(std::vector<Write>& taken) {
  std::unique_lock lock(mutex_);
  filled_.wait(lock, [this] { return !writes_.empty() || closed_; });
  taken.swap(writes_);
  return !taken.empty();
}

void WriteQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  filled_.notify_one();
}

std::expected<std::unique_ptr<Writer>, SqlError> Writer::make(StoreState& state,
                                                              Database database) {
  auto insert_job = database.prepare(kInsertJob);
  if (!insert_job) return std::unexpected(insert_job.error());
  auto insert_spec = database.prepare(kInsertSpec);
  if (!insert_spec) return std::unexpected(insert_spec.error());
  auto update_job = database.prepare(kUpdateJob);
  if (!update_job) return std::unexpected(update_job.error());
  Statements statements{.insert_job = std::move(*insert_job),
                        .insert_spec = std::move(*insert_spec),
                        .update_job = std::move(*update_job)};
  return std::unique_ptr<Writer>(new Writer(state, std::move(database), std::move(statements)));
}

Writer::Writer(StoreState& state, Database database, Statements statements)
    : state_(state), database_(std::move(database)), statements_(std::move(statements)) {
  const auto grew = [](void* self, sqlite3*, const char*, int frames) {
    static_cast<Writer*>(self)->log_grew(static_cast<std::uint64_t>(frames));
    return SQLITE_OK;
  };
  sqlite3_wal_hook(database_.handle(), grew, this);
}

Writer::~Writer() { close(); }

void Writer::start() {
  thread_ = std::thread([this] { run(); });
}

void Writer::push(Write write) {
  state_.queue_bytes += queue_bytes(write);
  queue_.push(std::move(write));
}

void Writer::close() {
  queue_.close();
  state_.space.close();
  if (thread_.joinable()) thread_.join();
}

void Writer::run() {
  std::vector<Write> taken;
  while (queue_.take(taken)) {
    const std::span<const Write> writes(taken);
    for (std::size_t at = 0; at < writes.size(); at += kCommitChangesMax) {
      const auto some = writes.subspan(at, std::min(kCommitChangesMax, writes.size() - at));
      // What comes later builds on what was given up, so nothing may follow.
      if (!commit(some)) return;
    }
    taken.clear();
  }
}

bool Writer::commit(std::span<const Write> writes) {
  while (true) {
    const auto done = try_commit(writes);
    if (done) break;
    if (!done.error().is_full() && !done.error().is_busy()) {
      state_.fail("a commit failed", done.error());
    }
    const bool full = done.error().is_full();
    if (!full || !state_.stuck.exchange(true)) {
      state_.options.log(fmt::format("jobs wait to be written: {}", done.error().text));
    }
    state_.tidier.ring();
    // SQLite itself has waited long for another program; for space the tidier says when to try.
    using std::chrono::milliseconds;
    if (!state_.space.wait(full ? std::nullopt : std::optional(milliseconds(0)))) return false;
  }
  if (state_.stuck.exchange(false)) state_.options.log("jobs are written again");
  std::uint64_t bytes = 0;
  for (const Write& write : writes) bytes += queue_bytes(write);
  state_.queue_bytes -= bytes;
  ++state_.commits;
  state_.durable += writes.size();
  if (state_.tidier_sleeps) state_.tidier.ring();
  state_.options.on_durable();
  return true;
}

std::expected<void, SqlError> Writer::try_commit(std::span<const Write> writes) {
  const Gate::Pass pass = state_.gate.write();
  auto transaction = Transaction::begin(database_);
  if (!transaction) return std::unexpected(transaction.error());
  for (const Write& write : writes) {
    if (auto done = apply(write); !done) return done;
  }
  return transaction->commit();
}

std::expected<void, SqlError> Writer::apply(const Write& write) {
  if (const auto* const job = std::get_if<EncodedJob>(&write)) {
    return insert_row(statements_.insert_job, statements_.insert_spec, *job);
  }
  const auto& update = std::get<EncodedUpdate>(write);
  auto done = update_row(statements_.update_job, update);
  if (!done || database_.changes() == 1) return done;
  return check_missed(update);
}

std::expected<void, SqlError> Writer::check_missed(const EncodedUpdate& update) {
  const auto there =
      database_.number(fmt::format("SELECT count(*) FROM job WHERE row = {}", update.row));
  if (!there) return std::unexpected(there.error());
  // Evidence may come when the job is history: that stays as it was written.
  VALKYRIE_ASSERT(*there == 0 && messages::is_end(update.status.state));
  state_.options.log(fmt::format("row {}: evidence came after its job was moved away", update.row));
  return {};
}

void Writer::log_grew(std::uint64_t frames) {
  const std::uint64_t bytes = frames * kFrameBytes;
  state_.log_bytes = bytes;
  if (bytes > state_.options.log_bytes_max && !state_.behind.exchange(true)) {
    state_.options.log("submits pause until the job store's log is in its file");
  }
  if (bytes > state_.options.log_bytes_max / 4) state_.tidier.ring();
}

}  // namespace valkyrie::job_store
