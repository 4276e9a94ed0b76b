#include "server/job_store/database.h"

#include <cerrno>
#include <utility>

#include <sqlite3.h>

#include "protocol/assert.h"

namespace valkyrie::job_store {
namespace {

// How long a statement waits for another program that holds the file, such as a backup.
constexpr int kBusyTimeoutMs = 5'000;

SqlError error_of(sqlite3* connection) {
  return {.code = sqlite3_extended_errcode(connection),
          .system = sqlite3_system_errno(connection),
          .text = sqlite3_errmsg(connection)};
}

}  // namespace

bool SqlError::is_full() const {
  if (code == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE) return true;
  // SQLite knows ENOSPC alone; a quota is the same to us. A failed sync is never that harmless.
  return (code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_TRUNCATE) &&
         (system == ENOSPC || system == EDQUOT);
}

bool SqlError::is_busy() const { return (code & 0xff) == SQLITE_BUSY; }

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void Statement::bind(int at, std::uint64_t value) {
  const int bound = sqlite3_bind_int64(statement_.get(), at, static_cast<sqlite3_int64>(value));
  VALKYRIE_ASSERT(bound == SQLITE_OK);
}

void Statement::bind_text(int at, std::string_view text) {
  // A view of nothing may have no address, which SQLite would take for NULL.
  const char* const data = text.data() == nullptr ? "" : text.data();
  const int bound =
      sqlite3_bind_text64(statement_.get(), at, data, text.size(), nullptr, SQLITE_UTF8);
  VALKYRIE_ASSERT(bound == SQLITE_OK);
}

void Statement::bind_blob(int at, std::string_view bytes) {
  const char* const data = bytes.data() == nullptr ? "" : bytes.data();
  const int bound = sqlite3_bind_blob64(statement_.get(), at, data, bytes.size(), nullptr);
  VALKYRIE_ASSERT(bound == SQLITE_OK);
}

void Statement::bind_null(int at) {
  const int bound = sqlite3_bind_null(statement_.get(), at);
  VALKYRIE_ASSERT(bound == SQLITE_OK);
}

std::expected<bool, SqlError> Statement::step() {
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return std::unexpected(error_of(sqlite3_db_handle(statement_.get())));
}

std::expected<void, SqlError> Statement::run() {
  while (true) {
    const auto row = step();
    if (row && *row) continue;
    reset();
    if (!row) return std::unexpected(row.error());
    return {};
  }
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

std::uint64_t Statement::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

std::string_view Statement::bytes(int column) const {
  const void* const data = sqlite3_column_blob(statement_.get(), column);
  if (data == nullptr) return {};
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return {static_cast<const char*>(data), static_cast<std::size_t>(size)};
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void Database::Close::operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }

std::expected<Database, SqlError> Database::open(const std::string& path, const std::string& vfs) {
  sqlite3* connection = nullptr;
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int opened =
      sqlite3_open_v2(path.c_str(), &connection, flags, vfs.empty() ? nullptr : vfs.c_str());
  VALKYRIE_ASSERT(connection != nullptr);
  Database database(connection);
  if (opened != SQLITE_OK) return std::unexpected(database.last_error());
  sqlite3_busy_timeout(connection, kBusyTimeoutMs);
  // A refused file is left as it was found, its log included.
  sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // A damaged or forged schema must not run functions with effects.
  sqlite3_db_config(connection, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  return database;
}

std::expected<void, SqlError> Database::execute(const char* sql) {
  if (sqlite3_exec(handle(), sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return std::unexpected(last_error());
}

std::expected<Statement, SqlError> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int prepared = sqlite3_prepare_v3(handle(), sql.data(), static_cast<int>(sql.size()),
                                          SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (prepared != SQLITE_OK) return std::unexpected(last_error());
  return Statement(statement);
}

std::expected<std::uint64_t, SqlError> Database::number(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) return std::unexpected(statement.error());
  const auto row = statement->step();
  if (!row) return std::unexpected(row.error());
  return *row ? statement->number(0) : 0;
}

std::uint64_t Database::changes() const {
  return static_cast<std::uint64_t>(sqlite3_changes64(handle()));
}

bool Database::in_transaction() const { return sqlite3_get_autocommit(handle()) == 0; }

SqlError Database::last_error() const { return error_of(handle()); }

std::expected<Transaction, SqlError> Transaction::begin(Database& database) {
  auto begun = database.execute("BEGIN IMMEDIATE");
  if (!begun) return std::unexpected(begun.error());
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  if (database_ == nullptr || !database_->in_transaction()) return;
  // Rolling back needs no disk: what was not committed is only in memory or behind the log's end.
  static_cast<void>(database_->execute("ROLLBACK"));
}

std::expected<void, SqlError> Transaction::commit() { return database_->execute("COMMIT"); }

}  // namespace valkyrie::job_store
