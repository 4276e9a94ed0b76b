// What the job plane makes of its store after a restart.
#include <algorithm>
#include <utility>

#include "protocol/assert.h"
#include "server/jobs/job_plane.h"

namespace valkyrie::jobs {

using messages::EndReason;
using messages::JobState;
using protocol::Duration;
using protocol::Instant;

void JobPlane::recover(StoredJobs stored, Instant now) {
  VALKYRIE_ASSERT(records_.empty() && next_row_ == 1);
  next_row_ = stored.next_row;
  recover_keys(stored);
  for (JobRecord& record : stored.ended) {
    ended_.push_back(record.id);
    records_.emplace(record.id, std::move(record));
  }
  const std::uint64_t wall_ms = options_.unix_ms();
  for (JobRecord& record : stored.live) {
    last_unix_ms_ = std::max(last_unix_ms_, record.id.unix_ms());
    const auto age =
        Duration(std::chrono::milliseconds(wall_ms - std::min(wall_ms, record.id.unix_ms())));
    recover_job(std::move(record), now - age, now);
  }
}

// Oldest first, since they are forgotten in that order, and the jobs of one request by row.
void JobPlane::recover_keys(const StoredJobs& stored) {
  std::vector<std::pair<SubmitKey, JobId>> keys = stored.keys;
  for (const auto* records : {&stored.ended, &stored.live}) {
    for (const JobRecord& record : *records) {
      if (record.key) keys.emplace_back(*record.key, record.id);
    }
  }
  std::ranges::sort(keys, {}, &std::pair<SubmitKey, JobId>::second);
  for (const auto& [key, id] : keys) remember(key, id);
  forget_old_keys();
}

void JobPlane::recover_job(JobRecord record, Instant submitted, Instant now) {
  const Row row = record.id.row();
  if (record.status.state != JobState::queued) {
    recover_attempt(adopt(std::move(record), nullptr, submitted), now);
    return;
  }
  auto constraints = constraints_of(record.spec);
  Shape* shape = constraints ? queue_.push(row, *std::move(constraints)) : nullptr;
  const Live& live = adopt(std::move(record), shape, submitted);
  if (!constraints) {  // Written by a node that knew more forms of them.
    end_unstarted(row, JobState::failed, EndReason::prepare, constraints.error());
  } else if (shape == nullptr) {
    end_unstarted(row, JobState::failed, EndReason::prepare, too_many_shapes());
  } else if (live.record->owned) {
    end_unstarted(row, JobState::cancelled, EndReason::none,
                  "cancelled: the node restarted, and with it ended the stream that owned the job");
  } else {
    shape->why = why(*shape);
  }
}

void JobPlane::recover_attempt(Live& live, Instant now) {
  const JobStatus& status = live.record->status;
  live.started = status.state != JobState::assigned;
  live.saved = 0;
  const LogId log{live.record->id, status.attempt};
  const std::uint64_t bytes = logs_.length(log);
  attempts_[status.token] = {
      .job = live.record->id, .log = log, .received = bytes, .written = bytes};
  unreachable_.emplace(status.runner, status.token);
  // The runner may still execute it, until its lease is over on its own clock.
  set_deadline(live, now + kLeaseLost);
}

}  // namespace valkyrie::jobs
