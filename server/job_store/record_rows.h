// Records as rows of the tables `job` and `spec`: encoded where a change is made, bound where it is
// written, decoded after a restart. Private to this folder.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "server/job_store/database.h"
#include "server/jobs/job_store.h"

namespace valkyrie::job_store {

// The part of a row that changes.
struct EncodedStatus {
  messages::JobState state = messages::JobState::queued;
  std::uint32_t attempt = 0;
  std::uint64_t token = 0;
  std::string runner;
  std::optional<jobs::Stop> stop;
  std::uint64_t ended_ms = 0;
  std::string result;  // Encoded; empty: none.
};

// A new row.
struct EncodedJob {
  jobs::JobId id;
  std::string name;
  std::string submitter;
  bool owned = false;
  std::optional<jobs::SubmitKey> key;
  std::string spec;  // Encoded.
  EncodedStatus status;
};

// A row's new status, for the one whose token is still `token`.
struct EncodedUpdate {
  jobs::Row row = 0;
  std::uint64_t token = 0;
  EncodedStatus status;
};

[[nodiscard]] EncodedStatus encode(const jobs::JobStatus& status);
[[nodiscard]] EncodedJob encode(const jobs::JobRecord& record);

// Bytes of the heap that a queued change holds, about.
[[nodiscard]] std::size_t heap_bytes(const EncodedStatus& status);
[[nodiscard]] std::size_t heap_bytes(const EncodedJob& job);

// Statements, and what binds values to them. Values are borrowed until the statement has run.
inline constexpr std::string_view kInsertSpec = "INSERT INTO spec VALUES (?1, ?2)";
inline constexpr std::string_view kInsertJob =
    "INSERT INTO job(state, attempt, token, runner, stop_state, stop_reason, stop_text, ended_ms,"
    " result, row, id, name, submitter, submitted_ms, owned, key)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
inline constexpr std::string_view kUpdateJob =
    "UPDATE job SET state = ?1, attempt = ?2, token = ?3, runner = ?4, stop_state = ?5,"
    " stop_reason = ?6, stop_text = ?7, ended_ms = ?8, result = ?9 WHERE row = ?10 AND token = ?11";

// Runs both inserts.
[[nodiscard]] std::expected<void, SqlError> insert_row(Statement& job, Statement& spec,
                                                       const EncodedJob& row);
[[nodiscard]] std::expected<void, SqlError> update_row(Statement& job, const EncodedUpdate& update);

// What read_row() reads, in its order; to be continued by WHERE.
inline constexpr std::string_view kSelectJobs =
    "SELECT row, id, submitter, owned, key, state, attempt, token, runner, stop_state, stop_reason,"
    " stop_text, ended_ms, result, body FROM job LEFT JOIN spec USING (row) ";

// The record in the row that `jobs` stands on. Total: an error says which row is damaged and how.
[[nodiscard]] std::expected<jobs::JobRecord, std::string> read_row(const Statement& jobs);

// A key and the id of its job as they are kept, 32 bytes and text; nullopt: damaged.
[[nodiscard]] std::optional<jobs::SubmitKey> read_key(std::string_view bytes);
[[nodiscard]] std::optional<jobs::JobId> read_id(std::string_view text);

}  // namespace valkyrie::job_store
