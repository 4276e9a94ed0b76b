#include "server/job_store/done_files.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace valkyrie::job_store {
namespace {

std::uint64_t before(std::uint64_t now_ms, std::chrono::milliseconds span) {
  const auto ms = static_cast<std::uint64_t>(span.count());
  return now_ms - std::min(now_ms, ms);
}

}  // namespace

std::uint64_t DoneFiles::keep_from(std::uint64_t now_ms) const {
  return before(now_ms, state_.options.ended_retention);
}

FileError DoneFiles::failed(const SqlError& error) const {
  return unusable(directory_.live_file(), error);
}

std::expected<std::size_t, FileError> DoneFiles::move(std::uint64_t now_ms) {
  auto ended = pick(now_ms);
  if (!ended) return std::unexpected(failed(ended.error()));
  if (ended->empty()) return 0;
  // One file at a time: those of the first one's day.
  const std::uint64_t day = ended->front().ended_ms / kMsPerDay;
  const auto next = std::ranges::find_if(
      *ended, [day](const Ended& job) { return job.ended_ms / kMsPerDay != day; });
  const std::span<const Ended> moved(ended->begin(), next);
  if ((day + 1) * kMsPerDay > keep_from(now_ms)) {
    if (auto copied = copy(static_cast<Day>(day), moved); !copied) {
      return std::unexpected(copied.error());
    }
  }
  if (auto erased = erase(moved, now_ms); !erased) return std::unexpected(failed(erased.error()));
  state_.moved += moved.size();
  return moved.size();
}

std::expected<std::vector<DoneFiles::Ended>, SqlError> DoneFiles::pick(std::uint64_t now_ms) {
  // Late evidence may still change what is not verified: that stays until its time is over.
  auto statement = live_.prepare(
      "SELECT row, ended_ms FROM job WHERE ended_ms > 0 AND ended_ms < ?1"
      " AND (state <> 'cancel_unverified' OR ended_ms < ?2) ORDER BY ended_ms LIMIT ?3");
  if (!statement) return std::unexpected(statement.error());
  statement->bind(1, before(now_ms, state_.options.ended_stay));
  statement->bind(2, keep_from(now_ms) / kMsPerDay * kMsPerDay);
  statement->bind(3, kMovedMax);
  std::vector<Ended> ended;
  while (true) {
    const auto row = statement->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return ended;
    ended.push_back({.row = statement->number(0), .ended_ms = statement->number(1)});
  }
}

std::expected<void, FileError> DoneFiles::copy(Day day, std::span<const Ended> ended) {
  const std::string file = directory_.done_file(day);
  if (auto made = directory_.keep_private(file); !made) {
    return std::unexpected(FileError{made.error()});
  }
  if (auto opened = open_file(file, FileKind::done, state_.options.vfs); !opened) {
    return std::unexpected(opened.error());
  }
  const auto fails = [&](const SqlError& error) { return std::unexpected(unusable(file, error)); };
  auto attach = live_.prepare("ATTACH ?1 AS done");
  if (!attach) return fails(attach.error());
  attach->bind_text(1, file);
  if (auto done = attach->run(); !done) return fails(done.error());
  auto copied = copy_rows(ended);
  auto detached = live_.execute("DETACH done");
  if (!copied) return fails(copied.error());
  if (!detached) return fails(detached.error());
  return {};
}

std::expected<void, SqlError> DoneFiles::copy_rows(std::span<const Ended> ended) {
  // EXTRA: the journal's end is the commit, and it has to be durable, too.
  if (auto done = live_.execute("PRAGMA done.synchronous = EXTRA; BEGIN"); !done) return done;
  Transaction transaction(live_);
  for (const char* const sql :
       {"INSERT OR REPLACE INTO done.job SELECT * FROM main.job WHERE row = ?1",
        "INSERT OR REPLACE INTO done.spec SELECT * FROM main.spec WHERE row = ?1"}) {
    auto statement = live_.prepare(sql);
    if (!statement) return std::unexpected(statement.error());
    for (const Ended& job : ended) {
      statement->bind(1, job.row);
      if (auto done = statement->run(); !done) return done;
    }
  }
  return transaction.commit();
}

std::expected<void, SqlError> DoneFiles::erase(std::span<const Ended> ended, std::uint64_t now_ms) {
  const Gate::Pass pass = state_.gate.tidy();
  auto transaction = Transaction::begin(live_);
  if (!transaction) return std::unexpected(transaction.error());
  const std::uint64_t keys_from = now_ms - std::min(now_ms, kKeyLifeMs);
  const std::string remember_keys = fmt::format(
      "INSERT OR REPLACE INTO idem SELECT submitted_ms / {}, row, key, id FROM job"
      " WHERE row = ?1 AND key IS NOT NULL AND submitted_ms >= {}",
      kMsPerHour, keys_from);
  for (const std::string_view sql :
       {std::string_view(remember_keys), std::string_view("DELETE FROM job WHERE row = ?1"),
        std::string_view("DELETE FROM spec WHERE row = ?1")}) {
    auto statement = live_.prepare(sql);
    if (!statement) return std::unexpected(statement.error());
    for (const Ended& job : ended) {
      statement->bind(1, job.row);
      if (auto done = statement->run(); !done) return done;
    }
  }
  const jobs::Row last = std::ranges::max(ended, {}, &Ended::row).row;
  const std::string rest = fmt::format(
      "UPDATE meta SET value = max(value, {}) WHERE name = 'next_row';"
      "DELETE FROM idem WHERE hour < {};",
      last + 1, keys_from / kMsPerHour);
  if (auto done = live_.execute(rest.c_str()); !done) return done;
  return transaction->commit();
}

void DoneFiles::drop_old(std::uint64_t now_ms) {
  for (const Day day : directory_.done_days()) {
    if ((std::uint64_t{day} + 1) * kMsPerDay <= keep_from(now_ms)) directory_.remove_done(day);
  }
}

}  // namespace valkyrie::job_store
