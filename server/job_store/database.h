// SQLite's C as values: a connection, a prepared statement, and what went wrong. Private to this
// folder.
//
// A connection and its statements are used by one thread at a time. Nothing here throws.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace valkyrie::job_store {

// Why SQLite refused.
struct SqlError {
  int code = 0;    // SQLite's extended result code.
  int system = 0;  // errno beneath it; 0: none.
  std::string text;

  // No room on the disk: nothing was written, and the same may succeed later.
  [[nodiscard]] bool is_full() const;
  // Another program holds the file.
  [[nodiscard]] bool is_busy() const;
};

// A prepared statement. Parameters and columns are numbered as SQLite does: from 1 and from 0. It
// must go before its Database.
class Statement {
 public:
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  void bind(int at, std::uint64_t value);
  // What is bound is borrowed until the next reset(), run() or bind() of this place.
  void bind_text(int at, std::string_view text);
  void bind_blob(int at, std::string_view bytes);
  void bind_null(int at);

  // True: a row is there. False: none is left. Bound values stay.
  [[nodiscard]] std::expected<bool, SqlError> step();
  // Steps to the end and resets: for statements whose rows, if any, do not matter.
  [[nodiscard]] std::expected<void, SqlError> run();
  void reset();

  [[nodiscard]] std::uint64_t number(int column) const;
  // Text or blob; borrowed until the next step() or reset().
  [[nodiscard]] std::string_view bytes(int column) const;
  [[nodiscard]] bool is_null(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// A connection. Closing it moves nothing out of the write-ahead log: that is asked for by name.
class Database {
 public:
  // Opens or makes the file. `vfs` is a name SQLite knows; empty: its own.
  [[nodiscard]] static std::expected<Database, SqlError> open(const std::string& path,
                                                              const std::string& vfs);

  // Runs one or more statements that take no values.
  [[nodiscard]] std::expected<void, SqlError> execute(const char* sql);
  [[nodiscard]] std::expected<Statement, SqlError> prepare(std::string_view sql);
  // First column of the first row; 0 if there is none.
  [[nodiscard]] std::expected<std::uint64_t, SqlError> number(std::string_view sql);

  // Rows that the last statement changed.
  [[nodiscard]] std::uint64_t changes() const;
  // A transaction is open: SQLite may have rolled it back by itself.
  [[nodiscard]] bool in_transaction() const;
  [[nodiscard]] sqlite3* handle() const { return connection_.get(); }
  // What the last call on this connection failed with.
  [[nodiscard]] SqlError last_error() const;

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  explicit Database(sqlite3* connection) : connection_(connection) {}
  std::unique_ptr<sqlite3, Close> connection_;
};

// A transaction, rolled back unless it was committed.
class Transaction {
 public:
  // Takes the write lock at once; waits if another program has it.
  [[nodiscard]] static std::expected<Transaction, SqlError> begin(Database& database);
  // Of one that was begun otherwise.
  explicit Transaction(Database& database) : database_(&database) {}
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  // An error leaves the file as it was before begin().
  [[nodiscard]] std::expected<void, SqlError> commit();

 private:
  Database* database_;
};

}  // namespace valkyrie::job_store
