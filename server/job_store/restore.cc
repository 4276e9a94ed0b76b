#include "server/job_store/restore.h"

#include <algorithm>
#include <fmt/format.h>
#include <ranges>
#include <unordered_set>
#include <utility>
#include <vector>

#include "server/job_store/record_rows.h"
#include "server/job_store/schema.h"

namespace valkyrie::job_store {
namespace {

using jobs::JobRecord;
using jobs::StoredJobs;

// Reads one file's rows; an error names the file.
class Reader {
 public:
  Reader(Database& database, std::string file) : database_(database), file_(std::move(file)) {}

  std::expected<std::vector<JobRecord>, std::string> records(const std::string& condition) {
    auto statement = database_.prepare(fmt::format("{}{}", kSelectJobs, condition));
    if (!statement) return refused(statement.error());
    std::vector<JobRecord> records;
    while (true) {
      const auto row = statement->step();
      if (!row) return refused(row.error());
      if (!*row) return records;
      auto record = read_row(*statement);
      if (!record) return std::unexpected(damaged(file_, record.error()));
      records.push_back(std::move(*record));
    }
  }

  // Appends keys and ids that `sql` selects.
  std::expected<void, std::string> keys(const std::string& sql, StoredJobs& jobs) {
    auto statement = database_.prepare(sql);
    if (!statement) return refused(statement.error());
    while (true) {
      const auto row = statement->step();
      if (!row) return refused(row.error());
      if (!*row) return {};
      const auto key = read_key(statement->bytes(0));
      const auto id = read_id(statement->bytes(1));
      if (!key || !id) return std::unexpected(damaged(file_, "an idempotency key cannot be read"));
      jobs.keys.emplace_back(*key, *id);
    }
  }

  std::expected<std::uint64_t, std::string> number(std::string_view sql) {
    const auto value = database_.number(sql);
    if (!value) return refused(value.error());
    return *value;
  }

 private:
  std::unexpected<std::string> refused(const SqlError& error) const {
    return std::unexpected(unusable(file_, error).text);
  }

  Database& database_;
  std::string file_;
};

std::string latest_ended(std::size_t count) {
  return fmt::format("WHERE ended_ms > 0 ORDER BY ended_ms DESC, row DESC LIMIT {}", count);
}

// Adds what the newest done files have, until there are enough. A job that a crash left in both
// files is the one of the live file.
std::expected<void, std::string> add_done(const StoreDirectory& directory,
                                          const StoreOptions& options,
                                          std::vector<JobRecord>& ended) {
  std::unordered_set<jobs::Row> known;
  for (const JobRecord& record : ended) known.insert(record.id.row());
  const auto days = directory.done_days();
  for (const Day day : days | std::views::reverse) {
    if (ended.size() >= options.ended_max) break;
    const std::string file = directory.done_file(day);
    auto database = open_file(file, FileKind::done, options.vfs);
    if (!database) return std::unexpected(database.error().text);
    // As many may be known already as are there.
    auto records = Reader(*database, file).records(latest_ended(options.ended_max));
    if (!records) return std::unexpected(records.error());
    for (JobRecord& record : *records) {
      if (known.insert(record.id.row()).second) ended.push_back(std::move(record));
    }
  }
  return {};
}

// Keys young enough of jobs that are over and not among `jobs.ended`, by row.
std::expected<void, std::string> add_keys(Reader& reader, std::uint64_t now_ms, StoredJobs& jobs) {
  const std::uint64_t from = now_ms - std::min(now_ms, kKeyLifeMs);
  const std::string of_ended = fmt::format(
      "SELECT key, id FROM job WHERE ended_ms > 0 AND key IS NOT NULL AND submitted_ms >= {}",
      from);
  if (auto done = reader.keys(of_ended, jobs); !done) return done;
  const std::string of_moved =
      fmt::format("SELECT key, id FROM idem WHERE hour >= {}", from / kMsPerHour);
  if (auto done = reader.keys(of_moved, jobs); !done) return done;
  std::unordered_set<jobs::Row> known;
  for (const JobRecord& record : jobs.ended) known.insert(record.id.row());
  std::erase_if(jobs.keys, [&](const auto& entry) {
    return entry.second.unix_ms() < from || known.contains(entry.second.row());
  });
  std::ranges::sort(jobs.keys, {}, [](const auto& entry) { return entry.second.row(); });
  return {};
}

}  // namespace

std::expected<StoredJobs, std::string> restore(Database& live, const StoreDirectory& directory,
                                               const StoreOptions& options) {
  Reader reader(live, directory.live_file());
  StoredJobs jobs;
  auto records = reader.records("WHERE ended_ms = 0 ORDER BY row");
  if (!records) return std::unexpected(records.error());
  jobs.live = std::move(*records);
  auto ended = reader.records(latest_ended(options.ended_max));
  if (!ended) return std::unexpected(ended.error());
  jobs.ended = std::move(*ended);
  if (auto done = add_done(directory, options, jobs.ended); !done) {
    return std::unexpected(done.error());
  }
  const auto order = [](const JobRecord& record) {
    return std::pair(record.status.ended_ms, record.id.row());
  };
  std::ranges::sort(jobs.ended, {}, order);
  if (jobs.ended.size() > options.ended_max) {
    const auto surplus = static_cast<std::ptrdiff_t>(jobs.ended.size() - options.ended_max);
    jobs.ended.erase(jobs.ended.begin(), jobs.ended.begin() + surplus);
  }
  const auto next_row = reader.number(
      "SELECT max((SELECT value FROM meta WHERE name = 'next_row'),"
      " coalesce((SELECT max(row) FROM job), 0) + 1)");
  if (!next_row) return std::unexpected(next_row.error());
  jobs.next_row = *next_row;
  if (auto done = add_keys(reader, options.now_ms(), jobs); !done) {
    return std::unexpected(done.error());
  }
  return jobs;
}

}  // namespace valkyrie::job_store
