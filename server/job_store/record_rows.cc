#include "server/job_store/record_rows.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits>
#include <span>
#include <utility>
#include <variant>

namespace valkyrie::job_store {
namespace {

using jobs::JobId;
using jobs::JobRecord;
using jobs::JobStatus;
using jobs::SubmitKey;

using KeyBytes = std::array<char, 32>;

KeyBytes key_bytes(const SubmitKey& key) {
  KeyBytes bytes{};
  const auto body = std::ranges::copy(key.key, bytes.begin()).out;
  std::ranges::copy(key.body, body);
  return bytes;
}

std::string_view view(const KeyBytes& bytes) { return {bytes.data(), bytes.size()}; }

std::span<const std::byte> as_bytes(std::string_view bytes) {
  return std::as_bytes(std::span(bytes));
}

// The enumerator that a word names. Words are kept, not numbers: people read these tables.
template <class E>
std::optional<E> from_word(std::string_view word) {
  for (unsigned value = 0; value <= std::numeric_limits<std::uint8_t>::max(); ++value) {
    const std::string_view candidate = to_string(static_cast<E>(value));
    if (candidate == word) return static_cast<E>(value);
    if (candidate == "unknown") break;
  }
  return std::nullopt;
}

void bind_status(Statement& statement, const EncodedStatus& status) {
  statement.bind_text(1, to_string(status.state));
  statement.bind(2, status.attempt);
  statement.bind(3, status.token);
  statement.bind_text(4, status.runner);
  if (status.stop) {
    statement.bind_text(5, to_string(status.stop->state));
    statement.bind_text(6, to_string(status.stop->reason));
    statement.bind_text(7, status.stop->text);
  } else {
    for (const int at : {5, 6, 7}) statement.bind_null(at);
  }
  statement.bind(8, status.ended_ms);
  if (status.result.empty()) {
    statement.bind_null(9);
  } else {
    statement.bind_blob(9, status.result);
  }
}

// Reads the status of a row; false: `what` names the column that is damaged.
bool read_status(const Statement& jobs, JobStatus& status, std::string_view& what) {
  const auto state = from_word<messages::JobState>(jobs.bytes(5));
  what = "state";
  if (!state) return false;
  status.state = *state;
  status.attempt = static_cast<std::uint32_t>(jobs.number(6));
  what = "attempt";
  if (status.attempt != jobs.number(6)) return false;
  status.token = jobs.number(7);
  status.runner = jobs.bytes(8);
  if (!jobs.is_null(9)) {
    const auto stop_state = from_word<messages::JobState>(jobs.bytes(9));
    const auto stop_reason = from_word<messages::EndReason>(jobs.bytes(10));
    what = "stop";
    if (!stop_state || !stop_reason) return false;
    status.stop = jobs::Stop{
        .state = *stop_state, .reason = *stop_reason, .text = std::string(jobs.bytes(11))};
  }
  status.ended_ms = jobs.number(12);
  if (!jobs.is_null(13)) {
    auto event = messages::decode<messages::JobEvent>(as_bytes(jobs.bytes(13)));
    what = "result";
    if (!event || !std::holds_alternative<messages::Ended>(*event)) return false;
    status.result = std::move(std::get<messages::Ended>(*event).result);
  }
  return true;
}

}  // namespace

EncodedStatus encode(const JobStatus& status) {
  EncodedStatus encoded{.state = status.state,
                        .attempt = status.attempt,
                        .token = status.token,
                        .runner = status.runner,
                        .stop = status.stop,
                        .ended_ms = status.ended_ms};
  if (status.result) {
    encoded.result = messages::encode(messages::JobEvent(messages::Ended{*status.result}));
  }
  return encoded;
}

EncodedJob encode(const JobRecord& record) {
  return {.id = record.id,
          .name = record.spec.name,
          .submitter = record.submitter,
          .owned = record.owned,
          .key = record.key,
          .spec = messages::encode(record.spec),
          .status = encode(record.status)};
}

std::size_t heap_bytes(const EncodedStatus& status) {
  return status.runner.size() + status.result.size() + (status.stop ? status.stop->text.size() : 0);
}

std::size_t heap_bytes(const EncodedJob& job) {
  return job.name.size() + job.submitter.size() + job.spec.size() + heap_bytes(job.status);
}

std::expected<void, SqlError> insert_row(Statement& job, Statement& spec, const EncodedJob& row) {
  spec.bind(1, row.id.row());
  spec.bind_blob(2, row.spec);
  if (auto done = spec.run(); !done) return done;
  const std::string id = row.id.text();
  KeyBytes key{};
  bind_status(job, row.status);
  job.bind(10, row.id.row());
  job.bind_text(11, id);
  job.bind_text(12, row.name);
  job.bind_text(13, row.submitter);
  job.bind(14, row.id.unix_ms());
  job.bind(15, row.owned ? 1 : 0);
  if (row.key) {
    key = key_bytes(*row.key);
    job.bind_blob(16, view(key));
  } else {
    job.bind_null(16);
  }
  return job.run();
}

std::expected<void, SqlError> update_row(Statement& job, const EncodedUpdate& update) {
  bind_status(job, update.status);
  job.bind(10, update.row);
  job.bind(11, update.token);
  return job.run();
}

std::expected<JobRecord, std::string> read_row(const Statement& jobs) {
  const auto fault = [&](std::string_view what) {
    return std::unexpected(fmt::format("row {} of its jobs has a bad {}", jobs.number(0), what));
  };
  JobRecord record;
  const auto id = read_id(jobs.bytes(1));
  if (!id || id->row() != jobs.number(0)) return fault("id");
  record.id = *id;
  record.submitter = jobs.bytes(2);
  record.owned = jobs.number(3) != 0;
  if (!jobs.is_null(4)) {
    record.key = read_key(jobs.bytes(4));
    if (!record.key) return fault("key");
  }
  std::string_view what;
  if (!read_status(jobs, record.status, what)) return fault(what);
  auto spec = messages::decode<messages::JobSpec>(as_bytes(jobs.bytes(14)));
  if (!spec) return fault("spec");
  record.spec = std::move(*spec);
  return record;
}

std::optional<SubmitKey> read_key(std::string_view bytes) {
  SubmitKey key;
  if (bytes.size() != key.key.size() + key.body.size()) return std::nullopt;
  const auto split = bytes.begin() + static_cast<std::ptrdiff_t>(key.key.size());
  std::transform(bytes.begin(), split, key.key.begin(),
                 [](char byte) { return static_cast<std::uint8_t>(byte); });
  std::transform(split, bytes.end(), key.body.begin(),
                 [](char byte) { return static_cast<std::uint8_t>(byte); });
  return key;
}

std::optional<JobId> read_id(std::string_view text) {
  const auto range = jobs::JobIdRange::of_prefix(text);
  if (!range || range->first != range->last) return std::nullopt;
  return range->first;
}

}  // namespace valkyrie::job_store
