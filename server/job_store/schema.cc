#include "server/job_store/schema.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <span>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sqlite3.h>

#include "transport/socket.h"

namespace valkyrie::job_store {
namespace {

// Step i brings a file from version i to i + 1. Steps are never changed once released: files of
// every version are out there. Times are milliseconds since 1970.
constexpr std::array kSteps{
    R"sql(
      -- next_row: no job was ever given this row or a larger one, as far as rows were moved away.
      -- epoch: of the latest start of the node that used this file.
      CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
      INSERT INTO meta VALUES ('next_row', 1), ('epoch', 0);

      CREATE TABLE job(
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        submitter TEXT NOT NULL,
        submitted_ms INTEGER NOT NULL,
        owned INTEGER NOT NULL,
        key BLOB,                    -- 16 bytes of the idempotency key, 16 of its body.
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        token INTEGER NOT NULL,
        runner TEXT NOT NULL,
        stop_state TEXT,             -- NULL: nobody wants it over.
        stop_reason TEXT,
        stop_text TEXT,
        ended_ms INTEGER NOT NULL,   -- 0: not over.
        result BLOB
      ) STRICT;
      -- Only the few that are over and not moved away yet.
      CREATE INDEX job_ended ON job(ended_ms) WHERE ended_ms > 0;

      -- Apart from job, so that a change of state does not write it again.
      CREATE TABLE spec(row INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;

      -- Keys of jobs that were moved away within a day of their submit. hour: since 1970.
      CREATE TABLE idem(
        hour INTEGER NOT NULL,
        row INTEGER NOT NULL,
        key BLOB NOT NULL,
        id TEXT NOT NULL,
        PRIMARY KEY (hour, row)
      ) STRICT, WITHOUT ROWID;
    )sql",
};

// Offsets in the header of a SQLite file.
constexpr std::size_t kHeaderBytes = 100;
constexpr std::size_t kApplicationIdAt = 68;
constexpr std::string_view kMagic{"SQLite format 3\0", 16};

// The first bytes of the file, before SQLite sees it; fewer if it is shorter.
std::expected<std::string, std::string> read_header(const std::string& path) {
  const transport::Socket file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string bytes(kHeaderBytes, '\0');
  const ssize_t count = file ? ::pread(file.fd(), bytes.data(), bytes.size(), 0) : -1;
  if (count < 0) {
    return std::unexpected(
        fmt::format("cannot read {}: {}", path, std::generic_category().message(errno)));
  }
  bytes.resize(static_cast<std::size_t>(count));
  return bytes;
}

std::uint32_t big_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<std::uint8_t>(byte);
  return value;
}

std::string foreign(const std::string& path) {
  return fmt::format(
      "{} is not a job store of Valkyrie; move it away and the node begins with an empty one, or "
      "put the right file back",
      path);
}

// Judges a file by its header, so that SQLite never touches one that is not ours.
std::expected<void, std::string> check_header(const std::string& path) {
  // A transaction that was cut off is rolled back by SQLite first; only ours leave one here.
  if (::access((path + "-journal").c_str(), F_OK) == 0) return {};
  const auto header = read_header(path);
  if (!header) return std::unexpected(header.error());
  if (header->empty()) return {};
  if (header->size() < kHeaderBytes || !header->starts_with(kMagic)) {
    return std::unexpected(damaged(path, "its first bytes are not those of a database"));
  }
  const auto id = big_endian(std::string_view(*header).substr(kApplicationIdAt, 4));
  if (id != kApplicationId) return std::unexpected(foreign(path));
  return {};
}

std::expected<void, SqlError> set_up(Database& database) {
  // No memory map: an I/O error in one is a signal that names neither file nor cause. The cache
  // holds the inner pages of a million jobs; leaves are the kernel's to keep.
  return database.execute(R"sql(
    PRAGMA page_size = 4096;
    PRAGMA mmap_size = 0;
    PRAGMA cache_size = -16384;
    PRAGMA temp_store = MEMORY;
    PRAGMA cell_size_check = ON;
    PRAGMA synchronous = EXTRA;
  )sql");
}

// One step in one transaction. The version is the step's number, so a cut leaves all or nothing.
std::expected<void, SqlError> upgrade(Database& database, std::uint64_t version) {
  auto transaction = Transaction::begin(database);
  if (!transaction) return std::unexpected(transaction.error());
  const std::string sql = fmt::format("{} PRAGMA application_id = {}; PRAGMA user_version = {};",
                                      kSteps[version], kApplicationId, version + 1);
  if (auto done = database.execute(sql.c_str()); !done) return done;
  return transaction->commit();
}

std::expected<void, SqlError> use_log(Database& database) {
  // Checkpoints are a thread's work, never the writer's; a log that had to grow is cut back later.
  return database.execute(R"sql(
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 67108864;
  )sql");
}

// The version of a file that is ours or empty.
std::expected<std::uint64_t, FileError> check_version(Database& database, const std::string& path) {
  const auto version = database.number("PRAGMA user_version");
  if (!version) return std::unexpected(unusable(path, version.error()));
  const auto id = database.number("PRAGMA application_id");
  if (!id) return std::unexpected(unusable(path, id.error()));
  const auto tables = database.number("SELECT count(*) FROM sqlite_schema");
  if (!tables) return std::unexpected(unusable(path, tables.error()));
  const bool empty = *version == 0 && *id == 0 && *tables == 0;
  if (!empty && *id != kApplicationId) return std::unexpected(FileError{foreign(path)});
  if (*version <= kSteps.size()) return *version;
  return std::unexpected(FileError{fmt::format(
      "the job store {} was made by a newer Valkyrie: it has version {}, this program knows {}; "
      "start that Valkyrie again, or restore a backup from before the upgrade",
      path, *version, kSteps.size())});
}

}  // namespace

std::string damaged(const std::string& path, std::string_view why) {
  return fmt::format(
      "the job store {} is damaged: {}; restore its folder from a backup, or move the folder away "
      "and the node begins with an empty one",
      path, why);
}

FileError unusable(const std::string& path, const SqlError& error) {
  const int code = error.code & 0xff;
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) return {damaged(path, error.text)};
  return {.text = fmt::format("cannot use the job store {}: {}{}", path, error.text,
                              error.is_full() ? "; make room on its disk" : ""),
          .may_pass = error.is_full() || error.is_busy()};
}

std::expected<Database, FileError> open_file(const std::string& path, FileKind kind,
                                             const std::string& vfs) {
  if (auto ours = check_header(path); !ours) return std::unexpected(FileError{ours.error()});
  auto database = Database::open(path, vfs);
  if (!database) return std::unexpected(unusable(path, database.error()));
  if (auto done = set_up(*database); !done) return std::unexpected(unusable(path, done.error()));
  const auto version = check_version(*database, path);
  if (!version) return std::unexpected(version.error());
  for (std::uint64_t step = *version; step < kSteps.size(); ++step) {
    if (auto done = upgrade(*database, step); !done) {
      return std::unexpected(unusable(path, done.error()));
    }
  }
  if (kind == FileKind::live) {
    if (auto done = use_log(*database); !done) return std::unexpected(unusable(path, done.error()));
  }
  return std::move(*database);
}

std::expected<Database, FileError> connect_again(const std::string& path, const std::string& vfs) {
  auto database = Database::open(path, vfs);
  if (!database) return std::unexpected(unusable(path, database.error()));
  if (auto done = set_up(*database); !done) return std::unexpected(unusable(path, done.error()));
  if (auto done = use_log(*database); !done) return std::unexpected(unusable(path, done.error()));
  return std::move(*database);
}

}  // namespace valkyrie::job_store
