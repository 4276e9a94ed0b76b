#include "server/jobs/job_plane.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::jobs {

using messages::EndReason;
using messages::JobState;
using protocol::Duration;
using protocol::Instant;
using protocol::StatusCode;

namespace {

// 24 bits of epoch lead a token, 40 of counter follow.
constexpr unsigned kTokenCounterBits = 40;

}  // namespace

JobPlane::JobPlane(JobPlaneOptions options, JobStore& store, LogStore& logs)
    : options_(std::move(options)),
      store_(store),
      logs_(logs),
      followers_(store, logs),
      next_token_((std::uint64_t{options_.epoch} << kTokenCounterBits) + 1) {
  VALKYRIE_ASSERT(options_.unix_ms && options_.random && options_.epoch >> 24 == 0);
}

void JobPlane::cancel_run(FollowerId stream, const messages::CancelRequest& request, Instant now) {
  const auto job = followers_.job_of(stream);
  if (!job || !live_.contains(job->row())) return;
  stop_job(job->row(), {.text = "cancelled by its submitter"},
           request.grace_ms.value_or(kGraceMsDefault), now);
}

void JobPlane::follower_left(FollowerId stream, Instant now) {
  const auto job = followers_.job_of(stream);
  followers_.remove(stream);
  const auto live = job ? live_.find(job->row()) : live_.end();
  if (live == live_.end() || live->second.owner != stream) return;
  stop_job(job->row(), {.text = "cancelled: its submitter went away"}, kGraceMsDefault, now);
}

std::expected<Promise<messages::CancelJobReply>, Refused> JobPlane::cancel(
    const messages::CancelJobRequest& request, Instant now) {
  const auto id = resolve(request.job);
  if (!id) return std::unexpected(id.error());
  if (live_.contains(id->row())) {
    stop_job(id->row(), {.text = "cancelled on request"},
             request.grace_ms.value_or(kGraceMsDefault), now);
  }
  return Promise<messages::CancelJobReply>{{id->text(), records_.at(*id).status.state},
                                           last_change_};
}

void JobPlane::save(Live& live, std::uint64_t token) {
  live.saved = last_change_ = store_.update(live.record->id, token, live.record->status);
}

void JobPlane::when_durable(Change change, Held held) {
  if (is_durable(change)) return release(held);
  held_.emplace(change, held);
}

void JobPlane::on_durable() {
  while (!held_.empty() && is_durable(held_.begin()->first)) {
    const Held held = held_.begin()->second;
    held_.erase(held_.begin());
    release(held);
  }
  followers_.on_durable();
}

void JobPlane::release(const Held& held) {
  if (const auto* settled = std::get_if<SettledDue>(&held)) {
    send(settled->runner, messages::Settled{settled->token});
  } else {
    go(std::get<GoDue>(held).token);
  }
}

void JobPlane::set_deadline(Live& live, std::optional<Instant> at) {
  if (live.deadline) deadlines_.erase({*live.deadline, live.record->id.row()});
  live.deadline = at;
  if (at) deadlines_.emplace(*at, live.record->id.row());
}

void JobPlane::leave_queue(Live& live) {
  if (live.shape != nullptr) queue_.remove(live.record->id.row(), live.shape);
  live.shape = nullptr;
}

void JobPlane::stop_job(Row row, Stop stop, std::uint64_t grace_ms, Instant now) {
  Live& live = live_.at(row);
  if (live.shape != nullptr) {
    end_unstarted(row, stop.state, stop.reason, std::move(stop.text));
    return;
  }
  JobStatus& status = live.record->status;
  const Attempt& attempt = attempts_.at(status.token);
  if (attempt.result) return;  // It is over; only its log is on its way to safety.
  const Instant proof_due = now + std::chrono::milliseconds(grace_ms) + kProofTimeout;
  // Asking again may only make it faster.
  if (status.stop && live.deadline && *live.deadline <= proof_due) return;
  if (!status.stop) {
    const bool cancelled = stop.state == JobState::cancelled;
    status.stop = std::move(stop);
    status.state = cancelled ? JobState::cancelling : JobState::finishing;
    save(live, status.token);
    if (cancelled) emit(live, messages::Cancelling{status.stop->text});
  }
  if (attempt.runner == kNoRunner) return;  // Its lease ends it.
  send(attempt.runner, messages::CancelAttempt{status.token, grace_ms, status.stop->text});
  set_deadline(live, proof_due);
}

void JobPlane::end_job(Row row, messages::JobResult result) {
  const auto found = live_.find(row);
  VALKYRIE_ASSERT(found != live_.end() && messages::is_end(result.state));
  Live& live = found->second;
  JobStatus& status = live.record->status;
  leave_queue(live);
  set_deadline(live, std::nullopt);
  const auto attempt = attempts_.find(status.token);
  if (attempt != attempts_.end()) attempt->second.live = false;
  status.state = result.state;
  status.result = result;
  status.ended_ms = options_.unix_ms();
  save(live, status.token);
  emit(live, messages::Ended{std::move(result)});
  live_spec_bytes_ -= live.spec_bytes;
  ended_.push_back(live.record->id);
  live_.erase(found);
  ++ended_count_;
  while (ended_.size() > options_.ended_jobs_kept) {
    records_.erase(ended_.front());
    ended_.pop_front();
  }
}

void JobPlane::end_unstarted(Row row, JobState state, EndReason reason, std::string text) {
  end_job(row, {.state = state,
                .reason = reason,
                .text = std::move(text),
                .evidence = {.method = "never_started", .complete = true}});
}

void JobPlane::expire(Row row, Instant now) {
  Live& live = live_.at(row);
  if (live.shape != nullptr) {
    end_unstarted(row, JobState::failed, EndReason::timeout_queue,
                  "waited too long: " + live.shape->why.text);
    return;
  }
  const JobStatus& status = live.record->status;
  if (attempts_.at(status.token).runner == kNoRunner) {
    lose_attempt(status.token, "the lease of its runner " + status.runner + " is over");
    return;
  }
  if (!status.stop) {
    const bool started = status.state != JobState::assigned;
    Stop stop{.state = JobState::failed,
              .reason = started ? EndReason::timeout_run : EndReason::timeout_start,
              .text = started ? "ran too long, and its runner did not stop it"
                              : "its runner did not start it in time"};
    stop_job(row, std::move(stop), 0, now);
    return;
  }
  if (waits_for_disk(live)) {
    // The proof follows the log, and the log waits for our disk: our stall is no silence.
    set_deadline(live, now + kProofTimeout);
    return;
  }
  // Without proof the slot stays taken until the runner speaks or goes.
  const bool cancelled = status.stop->state == JobState::cancelled;
  end_job(row, {.state = cancelled ? JobState::cancel_unverified : JobState::failed,
                .reason = status.stop->reason,
                .text = status.stop->text + "; its runner gave no proof in time",
                .output_bytes = attempts_.at(status.token).received,
                .evidence = {.method = "presumed"}});
}

void JobPlane::drain(Instant) {
  draining_ = true;
  for (auto& [id, runner] : runners_) send(id, messages::Drain{});
  std::vector<Row> owned;  // Other jobs wait for the node's next run.
  for (const auto& [key, shape] : queue_.shapes()) {
    std::ranges::copy_if(shape->waiting, std::back_inserter(owned),
                         [&](Row row) { return live_.at(row).record->owned; });
  }
  for (const Row row : owned) {
    end_unstarted(row, JobState::cancelled, EndReason::none, "the node is going down");
  }
}

std::optional<Instant> JobPlane::deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

void JobPlane::on_deadline(Instant now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    expire(deadlines_.begin()->second, now);
  }
}

JobPlaneCounts JobPlane::counts() const {
  JobPlaneCounts counts{.queued = queue_.size(),
                        .live = live_.size(),
                        .runners = runners_.size(),
                        .submitted = submitted_count_,
                        .ended = ended_count_,
                        .held = held_.size() + followers_.held(),
                        .stale = stale_count_};
  for (const auto& [id, runner] : runners_) {
    counts.slots += runner.slots;
    counts.slots_busy += runner.tokens.size();
  }
  return counts;
}

void JobPlane::emit(const Live& live, const messages::JobEvent& event) {
  // What is said of a job may be taken for a promise only where it is one.
  const bool promises = std::holds_alternative<messages::Accepted>(event) ||
                        std::holds_alternative<messages::Cancelling>(event) ||
                        std::holds_alternative<messages::Ended>(event);
  followers_.tell_all(live.record->id, event, promises ? live.saved : 0);
}

std::expected<void, Refused> JobPlane::watch(FollowerId stream,
                                             const messages::WatchJobRequest& request) {
  if (followers_.job_of(stream)) {
    return refuse(StatusCode::invalid_argument, "a stream watches one job; open another");
  }
  const auto id = resolve(request.job);
  if (!id) return std::unexpected(id.error());
  const JobRecord& record = records_.at(*id);
  const JobStatus& status = record.status;
  const auto live = live_.find(id->row());
  followers_.add(stream, *id);
  followers_.tell(stream, messages::Accepted{id->text()},
                  live != live_.end() ? live->second.saved : 0);
  if (live != live_.end() && live->second.shape != nullptr) {
    followers_.tell(stream, live->second.shape->why);
  }
  if (status.attempt != 0) {
    const auto attempt = attempts_.find(status.token);
    followers_.tell(stream, messages::Assigned{status.runner, status.attempt, 0});
    if (live == live_.end() || live->second.started) followers_.tell(stream, messages::Running{});
    followers_.open_log(stream, status.attempt, request.offset,
                        status.result                ? status.result->output_bytes
                        : attempt != attempts_.end() ? attempt->second.written
                                                     : 0);
  }
  if (status.state == JobState::cancelling) {
    followers_.tell(stream, messages::Cancelling{status.stop->text});
  }
  followers_.tell_caught_up(stream);
  if (status.result) followers_.tell(stream, messages::Ended{*status.result}, last_change_);
  on_log_news();
  return {};
}

void JobPlane::take_event(FollowerId stream) {
  followers_.take(stream);
  on_log_news();  // A store that answers at once has read on.
}

std::optional<Ready> JobPlane::poll_ready() {
  if (auto lost = followers_.poll_lost()) {
    return FollowerDismissed{lost->first, {StatusCode::data_loss, std::move(lost->second)}};
  }
  if (const auto stream = followers_.poll_ready()) return FollowerReady{*stream};
  if (ready_.empty()) return std::nullopt;
  Ready ready = std::move(ready_.front());
  ready_.pop_front();
  return ready;
}

}  // namespace valkyrie::jobs
