// Records of jobs, behind an interface: in memory here; a durable store answers the same way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "protocol/messages/jobs.h"
#include "protocol/time.h"
#include "server/jobs/job_id.h"

namespace valkyrie::jobs {

// The part of a record that changes.
struct JobStatus {
  messages::JobState state = messages::JobState::queued;
  std::uint32_t attempt = 0;  // Number of the latest; 0: never placed.
  std::uint64_t token = 0;    // Of the latest attempt.
  std::string runner;         // Name, of the latest attempt.
  std::optional<messages::JobResult> result;
};

// A job as it is kept.
struct JobRecord {
  JobId id;
  messages::JobSpec spec;
  protocol::Instant submitted;
  JobStatus status;
};

// What a store makes of a change.
enum class StoreAnswer : std::uint8_t {
  done,
  stale,  // The record has another token, or is gone: whoever asked speaks for a past attempt.
};

// Keeps records. One thread at a time. A call has taken effect when it returns.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // Adds a record; its id is new.
  virtual void insert(JobRecord record) = 0;
  // Changes a record whose token still is `token`.
  virtual StoreAnswer update(const JobId& id, std::uint64_t token, JobStatus status) = 0;
  // Drops a record, if there is one.
  virtual void remove(const JobId& id) = 0;
  // The record, or nullptr. Borrowed until the next call that changes it.
  [[nodiscard]] virtual const JobRecord* find(const JobId& id) const = 0;
  // Calls `visit` for records of a range, the newest first, until it returns false.
  virtual void visit(const JobIdRange& range,
                     const std::function<bool(const JobRecord&)>& visit) const = 0;
  // Records there are.
  [[nodiscard]] virtual std::size_t size() const = 0;
};

// Forgets everything with the process.
class MemoryJobStore final : public JobStore {
 public:
  void insert(JobRecord record) override;
  StoreAnswer update(const JobId& id, std::uint64_t token, JobStatus status) override;
  void remove(const JobId& id) override;
  [[nodiscard]] const JobRecord* find(const JobId& id) const override;
  void visit(const JobIdRange& range,
             const std::function<bool(const JobRecord&)>& visit) const override;
  [[nodiscard]] std::size_t size() const override { return records_.size(); }

 private:
  std::map<JobId, JobRecord> records_;
};

}  // namespace valkyrie::jobs
