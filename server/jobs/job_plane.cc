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

JobPlane::JobPlane(JobPlaneOptions options, JobStore& store)
    : options_(std::move(options)),
      store_(store),
      next_token_((std::uint64_t{options_.epoch} << kTokenCounterBits) + 1) {
  VALKYRIE_ASSERT(options_.unix_ms && options_.random && options_.epoch >> 24 == 0);
}

void JobPlane::cancel_run(SubmitterId submitter, const messages::CancelRequest& request,
                          Instant now) {
  const auto found = submitters_.find(submitter);
  if (found == submitters_.end() || !live_.contains(found->second.row)) return;
  stop_job(found->second.row, {.text = "cancelled by its submitter"},
           request.grace_ms.value_or(kGraceMsDefault), now);
}

void JobPlane::submitter_left(SubmitterId submitter, Instant now) {
  const auto found = submitters_.find(submitter);
  if (found == submitters_.end()) return;
  const Row row = found->second.row;
  std::deque<Outgoing> unread = std::move(found->second.outbox);
  submitters_.erase(found);
  const auto live = live_.find(row);
  if (live == live_.end()) return;
  live->second.submitter.reset();
  // Nobody will read it, so it is as good as read: the attempt must not block on its way out.
  for (const Outgoing& outgoing : unread) took_output(outgoing.token, outgoing.cost);
  stop_job(row, {.text = "cancelled: its submitter went away"}, kGraceMsDefault, now);
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
}

void JobPlane::release(const Held& held) {
  if (const auto* submitter = std::get_if<SubmitterReady>(&held)) {
    ready_.emplace_back(*submitter);
  } else if (const auto* settled = std::get_if<SettledDue>(&held)) {
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
  const Attempt& attempt = attempts_.at(status.token);
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
  if (waits_for_reader(live)) {
    // The proof follows the log, and the log waits for its reader: our stall is no silence.
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
                        .held = held_.size(),
                        .stale = stale_count_};
  for (const auto& [id, runner] : runners_) {
    counts.slots += runner.slots;
    counts.slots_busy += runner.tokens.size();
  }
  return counts;
}

// --- What submitters read ---

void JobPlane::emit(const Live& live, messages::JobEvent event, std::uint64_t cost,
                    std::uint64_t token) {
  if (!live.submitter) return;
  Submitter& submitter = submitters_.at(*live.submitter);
  // What is said of a job may be taken for a promise only where it is one.
  const bool promises = std::holds_alternative<messages::Accepted>(event) ||
                        std::holds_alternative<messages::Cancelling>(event) ||
                        std::holds_alternative<messages::Ended>(event);
  const Change promise = promises ? live.saved : 0;
  auto* last = submitter.outbox.empty() ? nullptr : &submitter.outbox.back();
  const auto* output = std::get_if<messages::Output>(&event);
  auto* last_output = last == nullptr ? nullptr : std::get_if<messages::Output>(&last->event);
  if (output != nullptr && last_output != nullptr && last_output->stream == output->stream &&
      last_output->data.size() + output->data.size() <= messages::kChunkBytesMax) {
    last_output->data += output->data;
    last->cost += cost;
    return;
  }
  if (last != nullptr && std::holds_alternative<messages::Waiting>(event) &&
      std::holds_alternative<messages::Waiting>(last->event)) {
    last->event = std::move(event);  // Only the latest reason matters to who has not read the last.
    return;
  }
  submitter.outbox.push_back(
      {.event = std::move(event), .cost = cost, .token = token, .after = promise});
  if (!std::exchange(submitter.announced, true)) announce(*live.submitter, submitter);
}

void JobPlane::announce(SubmitterId id, const Submitter& submitter) {
  when_durable(submitter.outbox.front().after, SubmitterReady{id});
}

std::optional<Ready> JobPlane::poll_ready() {
  if (ready_.empty()) return std::nullopt;
  Ready ready = std::move(ready_.front());
  ready_.pop_front();
  return ready;
}

const messages::JobEvent* JobPlane::next_event(SubmitterId submitter) const {
  const auto found = submitters_.find(submitter);
  if (found == submitters_.end() || found->second.outbox.empty()) return nullptr;
  const Outgoing& next = found->second.outbox.front();
  return is_durable(next.after) ? &next.event : nullptr;
}

void JobPlane::take_event(SubmitterId id) {
  const auto found = submitters_.find(id);
  VALKYRIE_ASSERT(found != submitters_.end() && !found->second.outbox.empty());
  Submitter& submitter = found->second;
  const Outgoing taken = std::move(submitter.outbox.front());
  submitter.outbox.pop_front();
  submitter.announced = !submitter.outbox.empty();
  if (submitter.announced && !is_durable(submitter.outbox.front().after)) announce(id, submitter);
  if (std::holds_alternative<messages::Ended>(taken.event)) submitters_.erase(found);
  if (taken.cost != 0) took_output(taken.token, taken.cost);
}

}  // namespace valkyrie::jobs
