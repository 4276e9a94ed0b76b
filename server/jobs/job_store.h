// Where the job plane's records are kept: an interface, and what comes back after a restart.
//
// The plane works from its own memory and never reads its store while it runs. It hands every
// change over at once, gets a number for it, and holds back whatever promises that change until the
// store says that the number is durable. docs/spec/jobs.md, "What an acknowledgement promises".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/messages/jobs.h"
#include "server/jobs/job_id.h"

namespace valkyrie::jobs {

// What a submitter's idempotency key is kept as: SHA-256 of tenant and key, and of the request's
// body, each cut to 16 bytes, so that memory does not depend on what clients choose.
struct SubmitKey {
  std::array<std::uint8_t, 16> key{};
  std::array<std::uint8_t, 16> body{};
  bool operator==(const SubmitKey&) const = default;
};

// Why an attempt is to be stopped, and what its end then is called.
struct Stop {
  messages::JobState state = messages::JobState::cancelled;  // Or failed, with the reason.
  messages::EndReason reason = messages::EndReason::none;
  std::string text;
  bool operator==(const Stop&) const = default;
};

// The part of a record that changes.
struct JobStatus {
  messages::JobState state = messages::JobState::queued;
  std::uint32_t attempt = 0;   // Number of the latest; 0: never placed.
  std::uint64_t token = 0;     // Of the latest attempt.
  std::string runner;          // Name, of the latest attempt.
  std::optional<Stop> stop;    // Somebody wants it over.
  std::uint64_t ended_ms = 0;  // Milliseconds since 1970; 0: not over.
  std::optional<messages::JobResult> result;
  bool operator==(const JobStatus&) const = default;
};

// A job as it is kept.
struct JobRecord {
  JobId id;
  messages::JobSpec spec;
  std::string submitter;  // Who, as the node's identities are written; may be empty.
  bool owned = false;     // By its Jobs/Run stream: it is cancelled when that is over.
  std::optional<SubmitKey> key;
  JobStatus status;
  bool operator==(const JobRecord&) const = default;
};

// Number of a change handed to a store: from 1 at each start, rising by one.
using Change = std::uint64_t;

// Whether a store takes new jobs; changes of jobs it has are taken always.
enum class StoreRoom : std::uint8_t {
  open,
  disk_full,  // Less is free than is kept for the ends of jobs that were accepted.
  behind,     // Written faster than it can be brought into its final place.
};

// Keeps records. One thread at a time calls it; it may work in others.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // A new record; its row is larger than any before.
  virtual Change insert(const JobRecord& record) = 0;
  // The record's status from here on. `token` is the one it had.
  virtual Change update(const JobId& id, std::uint64_t token, const JobStatus& status) = 0;
  // Every change up to this one survives the death of the process and of the machine.
  [[nodiscard]] virtual Change durable() const = 0;
  // May new jobs come?
  [[nodiscard]] virtual StoreRoom room() const = 0;
  // Whether "durable" means more than this process's memory.
  [[nodiscard]] virtual bool keeps() const { return true; }
};

// Promises everything at once and forgets it with the process: for nodes that run from memory.
class MemoryJobStore final : public JobStore {
 public:
  Change insert(const JobRecord&) override { return ++changes_; }
  Change update(const JobId&, std::uint64_t, const JobStatus&) override { return ++changes_; }
  [[nodiscard]] Change durable() const override { return changes_; }
  [[nodiscard]] StoreRoom room() const override { return StoreRoom::open; }
  [[nodiscard]] bool keeps() const override { return false; }

 private:
  Change changes_ = 0;
};

// What a store held when the node started.
struct StoredJobs {
  Row next_row = 1;             // No record was ever given this row or a larger one.
  std::vector<JobRecord> live;  // Not over, by row.
  // Keys of jobs that came within the last 24 hours and are in neither list, by row.
  std::vector<std::pair<SubmitKey, JobId>> keys;
  std::vector<JobRecord> ended;  // The latest ends, by the moment of the end, oldest first.
};

}  // namespace valkyrie::jobs
