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
// Jobs a list shows where none is asked for.
constexpr std::uint32_t kListLimitDefault = 100;

std::unexpected<Refused> refuse(StatusCode code, std::string text) {
  return std::unexpected(Refused{code, std::move(text)});
}

Duration or_default(std::uint64_t ms, Duration otherwise) {
  return ms == 0 ? otherwise : Duration(std::chrono::milliseconds(ms));
}

std::uint64_t nanoseconds(Duration duration) {
  return static_cast<std::uint64_t>(std::max(duration, Duration::zero()).count());
}

std::size_t size_of(const messages::JobSpec& spec) {
  std::size_t bytes = sizeof(JobRecord) + spec.name.size();
  for (const auto* list : {&spec.argv, &spec.commands, &spec.require}) {
    for (const std::string& entry : *list) bytes += sizeof(entry) + entry.size();
  }
  for (const auto& [name, value] : spec.environment) {
    bytes += 2 * sizeof(name) + name.size() + value.size();
  }
  return bytes;
}

// How a job ends that no runner has seen.
messages::JobResult unstarted_end(JobState state, EndReason reason, std::string text) {
  return {.state = state,
          .reason = reason,
          .text = std::move(text),
          .evidence = {.method = "never_started", .complete = true}};
}

}  // namespace

JobPlane::JobPlane(JobPlaneOptions options, JobStore& store)
    : options_(std::move(options)),
      store_(store),
      next_token_((std::uint64_t{options_.epoch} << kTokenCounterBits) + 1) {
  VALKYRIE_ASSERT(options_.unix_ms && options_.random && options_.epoch >> 24 == 0);
}

std::expected<JobId, Refused> JobPlane::submit(SubmitterId submitter, messages::JobSpec spec,
                                               Instant now) {
  if (draining_) return refuse(StatusCode::unavailable, "the node is going down; submit elsewhere");
  if (submitters_.contains(submitter)) {
    return refuse(StatusCode::invalid_argument, "a stream runs one job; open another");
  }
  std::vector<Constraint> constraints;
  for (const std::string& text : spec.require) {
    auto constraint = Constraint::parse(text);
    if (!constraint) return refuse(StatusCode::invalid_argument, std::move(constraint.error()));
    constraints.push_back(std::move(*constraint));
  }
  const std::size_t spec_bytes = size_of(spec);
  if (live_.size() >= kLiveJobsMax || live_spec_bytes_ + spec_bytes > kLiveSpecBytesMax) {
    return refuse(StatusCode::resource_exhausted,
                  fmt::format("{} jobs are not over; submit again later", live_.size()));
  }
  const Row row = next_row_;
  Shape* shape = queue_.push(row, std::move(constraints));
  if (shape == nullptr) {
    return refuse(StatusCode::resource_exhausted,
                  fmt::format("jobs with {} different label sets wait already", kShapesMax));
  }
  ++next_row_;
  ++submitted_count_;
  last_unix_ms_ = std::max(last_unix_ms_, options_.unix_ms());
  Live& live = live_[row];
  live = {.id = JobId::make(last_unix_ms_, options_.node_bits, row,
                            static_cast<std::uint16_t>(options_.random())),
          .submitter = submitter,
          .shape = shape,
          .submitted = now,
          .spec_bytes = spec_bytes,
          .timeout_start = or_default(spec.timeout_start_ms, kTimeoutStartDefault),
          .timeout_run = or_default(spec.timeout_run_ms, kTimeoutRunDefault)};
  const JobId id = live.id;
  live_spec_bytes_ += spec_bytes;
  set_deadline(live, now + or_default(spec.timeout_queue_ms, kTimeoutQueueDefault));
  store_.insert({.id = id, .spec = std::move(spec), .submitted = now, .status = live.status});
  submitters_[submitter].row = row;
  emit(live, messages::Accepted{id.text()});
  place(row, now);
  if (live.shape != nullptr) {
    live.shape->why = why(*live.shape);
    emit(live, live.shape->why);
  }
  return id;
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

std::expected<messages::CancelJobReply, Refused> JobPlane::cancel(
    const messages::CancelJobRequest& request, Instant now) {
  const auto id = resolve(request.job);
  if (!id) return std::unexpected(id.error());
  if (live_.contains(id->row())) {
    stop_job(id->row(), {.text = "cancelled on request"},
             request.grace_ms.value_or(kGraceMsDefault), now);
  }
  return messages::CancelJobReply{id->text(), store_.find(*id)->status.state};
}

void JobPlane::save(Live& live, std::uint64_t token) {
  // The plane is the only writer here, so a stale answer would be its own defect.
  const StoreAnswer answer = store_.update(live.id, token, live.status);
  VALKYRIE_ASSERT(answer == StoreAnswer::done);
}

void JobPlane::set_deadline(Live& live, std::optional<Instant> at) {
  if (live.deadline) deadlines_.erase({*live.deadline, live.id.row()});
  live.deadline = at;
  if (at) deadlines_.emplace(*at, live.id.row());
}

void JobPlane::leave_queue(Live& live) {
  if (live.shape != nullptr) queue_.remove(live.id.row(), live.shape);
  live.shape = nullptr;
}

void JobPlane::stop_job(Row row, Stop stop, std::uint64_t grace_ms, Instant now) {
  Live& live = live_.at(row);
  if (live.shape != nullptr) {
    end_job(row, unstarted_end(stop.state, stop.reason, std::move(stop.text)));
    return;
  }
  const Instant proof_due = now + std::chrono::milliseconds(grace_ms) + kProofTimeout;
  // Asking again may only make it faster.
  if (live.stop && live.deadline && *live.deadline <= proof_due) return;
  if (!live.stop) {
    const bool cancelled = stop.state == JobState::cancelled;
    live.stop = std::move(stop);
    live.status.state = cancelled ? JobState::cancelling : JobState::finishing;
    save(live, live.status.token);
    if (cancelled) emit(live, messages::Cancelling{live.stop->text});
  }
  const Attempt& attempt = attempts_.at(live.status.token);
  send(attempt.runner, messages::CancelAttempt{live.status.token, grace_ms, live.stop->text});
  set_deadline(live, proof_due);
}

void JobPlane::end_job(Row row, messages::JobResult result) {
  const auto found = live_.find(row);
  VALKYRIE_ASSERT(found != live_.end() && messages::is_end(result.state));
  Live& live = found->second;
  leave_queue(live);
  set_deadline(live, std::nullopt);
  const auto attempt = attempts_.find(live.status.token);
  if (attempt != attempts_.end()) attempt->second.live = false;
  live.status.state = result.state;
  live.status.result = result;
  save(live, live.status.token);
  emit(live, messages::Ended{std::move(result)});
  live_spec_bytes_ -= live.spec_bytes;
  ended_.push_back(live.id);
  live_.erase(found);
  ++ended_count_;
  while (ended_.size() > options_.ended_jobs_kept) {
    store_.remove(ended_.front());
    ended_.pop_front();
  }
}

void JobPlane::expire(Row row, Instant now) {
  Live& live = live_.at(row);
  if (live.shape != nullptr) {
    end_job(row, unstarted_end(JobState::failed, EndReason::timeout_queue,
                               "waited too long: " + live.shape->why.text));
    return;
  }
  if (!live.stop) {
    const bool started = live.status.state != JobState::assigned;
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
  const bool cancelled = live.stop->state == JobState::cancelled;
  end_job(row, {.state = cancelled ? JobState::cancel_unverified : JobState::failed,
                .reason = live.stop->reason,
                .text = live.stop->text + "; its runner gave no proof in time",
                .output_bytes = attempts_.at(live.status.token).received,
                .evidence = {.method = "presumed"}});
}

void JobPlane::drain(Instant) {
  draining_ = true;
  for (auto& [id, runner] : runners_) send(id, messages::Drain{});
  while (!queue_.shapes().empty()) {
    const Row row = *queue_.shapes().begin()->second->waiting.begin();
    end_job(row, unstarted_end(JobState::cancelled, EndReason::none, "the node is going down"));
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
  submitter.outbox.push_back({.event = std::move(event), .cost = cost, .token = token});
  if (std::exchange(submitter.announced, true)) return;
  ready_.emplace_back(SubmitterReady{*live.submitter});
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
  return &found->second.outbox.front().event;
}

void JobPlane::take_event(SubmitterId id) {
  const auto found = submitters_.find(id);
  VALKYRIE_ASSERT(found != submitters_.end() && !found->second.outbox.empty());
  Submitter& submitter = found->second;
  const Outgoing taken = std::move(submitter.outbox.front());
  submitter.outbox.pop_front();
  if (submitter.outbox.empty()) submitter.announced = false;
  if (std::holds_alternative<messages::Ended>(taken.event)) submitters_.erase(found);
  if (taken.cost != 0) took_output(taken.token, taken.cost);
}

messages::Waiting JobPlane::why(const Shape& shape) const {
  messages::Waiting waiting;
  std::vector<const Runner*> ready;
  for (const auto& [id, runner] : runners_) {
    if (runner.slots != 0) ready.push_back(&runner);
  }
  const auto matching = [&](const Constraint* without) {
    return std::ranges::count_if(ready, [&](const Runner* runner) {
      return std::ranges::all_of(shape.constraints, [&](const Constraint& constraint) {
        return &constraint == without || constraint.holds(runner->labels);
      });
    });
  };
  waiting.runners = static_cast<std::uint32_t>(ready.size());
  waiting.runners_matching = static_cast<std::uint32_t>(matching(nullptr));
  if (runners_.empty()) {
    waiting.reason = messages::WaitReason::no_match;
    waiting.text = "no runner is connected";
  } else if (ready.empty()) {
    waiting.reason = messages::WaitReason::draining;
    waiting.text = fmt::format("every runner drains ({})", runners_.size());
  } else if (waiting.runners_matching == 0) {
    waiting.reason = messages::WaitReason::no_match;
    waiting.text = "no runner matches";
    for (const Constraint& constraint : shape.constraints) {
      const auto alone = std::ranges::count_if(
          ready, [&](const Runner* runner) { return constraint.holds(runner->labels); });
      if (alone == std::ssize(ready)) continue;
      const std::string text = fmt::format("; {}: {} of {}, without it {}", constraint.text(),
                                           alone, ready.size(), matching(&constraint));
      if (waiting.text.size() + text.size() > messages::kTextBytesMax) break;
      waiting.text += text;
    }
  } else {
    waiting.reason = messages::WaitReason::no_capacity;
    waiting.text = fmt::format("all matching runners are busy ({} of {} match)",
                               waiting.runners_matching, waiting.runners);
  }
  return waiting;
}

void JobPlane::tell_why(Shape& shape) {
  messages::Waiting waiting = why(shape);
  if (waiting == shape.why) return;
  shape.why = std::move(waiting);
  for (const Row row : shape.waiting) emit(live_.at(row), shape.why);
}

void JobPlane::tell_why_all() {
  for (auto& [key, shape] : queue_.shapes()) tell_why(*shape);
}

// --- Views ---

std::expected<JobId, Refused> JobPlane::resolve(std::string_view text) const {
  const auto range = JobIdRange::of_prefix(text);
  if (!range || text.empty() || text == "job_") {
    return refuse(StatusCode::invalid_argument, fmt::format("\"{}\" is no job id", text));
  }
  std::vector<JobId> found;
  store_.visit(*range, [&](const JobRecord& record) {
    found.push_back(record.id);
    return found.size() < 2;
  });
  if (found.empty()) return refuse(StatusCode::not_found, fmt::format("no job {}", text));
  if (found.size() > 1) {
    return refuse(StatusCode::invalid_argument,
                  fmt::format("{} begins several job ids; write more of it", text));
  }
  return found.front();
}

messages::JobView JobPlane::view(const JobRecord& record, Instant now) const {
  messages::JobView view{.job = record.id.text(),
                         .name = record.spec.name,
                         .state = record.status.state,
                         .attempt = record.status.attempt,
                         .runner = record.status.runner,
                         .submitted_unix_ms = record.id.unix_ms(),
                         .age_ns = nanoseconds(now - record.submitted),
                         .result = record.status.result,
                         .require = record.spec.require};
  const auto live = live_.find(record.id.row());
  if (live != live_.end() && live->second.shape != nullptr) view.waiting = live->second.shape->why;
  return view;
}

std::expected<messages::JobView, Refused> JobPlane::get(const messages::GetJobRequest& request,
                                                        Instant now) const {
  const auto id = resolve(request.job);
  if (!id) return std::unexpected(id.error());
  return view(*store_.find(*id), now);
}

messages::ListJobsReply JobPlane::list(const messages::ListJobsRequest& request,
                                       Instant now) const {
  const std::size_t limit = request.limit == 0 ? kListLimitDefault : request.limit;
  messages::ListJobsReply reply;
  reply.total = request.live_only ? live_.size() : store_.size();
  store_.visit(*JobIdRange::of_prefix(""), [&](const JobRecord& record) {
    if (request.live_only && messages::is_end(record.status.state)) return true;
    reply.jobs.push_back(view(record, now));
    return reply.jobs.size() < limit;
  });
  return reply;
}

messages::ListRunnersReply JobPlane::list_runners(Instant now) const {
  messages::ListRunnersReply reply;
  for (const auto& [id, runner] : runners_) {
    if (reply.runners.size() == messages::kListEntriesMax) break;
    messages::RunnerView view{.name = runner.hello.name,
                              .boot_id = runner.hello.boot_id,
                              .version = runner.hello.version,
                              .isolation = runner.hello.isolation,
                              .slots = runner.slots,
                              .slots_busy = static_cast<std::uint32_t>(runner.tokens.size()),
                              .draining = runner.slots == 0,
                              .labels = runner.hello.labels,
                              .age_ns = nanoseconds(now - runner.joined)};
    for (const std::uint64_t token : runner.tokens) {
      view.jobs.push_back(attempts_.at(token).job.text());
    }
    reply.runners.push_back(std::move(view));
  }
  std::ranges::sort(reply.runners, {}, &messages::RunnerView::name);
  return reply;
}

}  // namespace valkyrie::jobs
