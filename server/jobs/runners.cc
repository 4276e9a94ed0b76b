// The part of the job plane that deals with runners and their attempts.
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "protocol/assert.h"
#include "server/jobs/job_plane.h"

namespace valkyrie::jobs {

using messages::EndReason;
using messages::JobState;
using protocol::Instant;
using protocol::StatusCode;

namespace {

std::uint64_t cost_of(const messages::Chunk& chunk) {
  return messages::kChunkCostBytes + chunk.data.size();
}

// Messages that wait for a runner to read, at most: four for each slot it may have.
constexpr std::size_t kRunnerOutboxMax = 4u * messages::kRunnerSlotsMax;

bool is_isolation(std::string_view word) {
  return word == "namespace" || word == "cgroup" || word == "none";
}

}  // namespace

std::expected<void, Refused> JobPlane::runner_message(RunnerId id, messages::RunnerMessage message,
                                                      Instant now) {
  auto done = on_message(id, std::move(message), now);
  if (!done) runner_left(id, now);
  return done;
}

std::expected<void, Refused> JobPlane::on_message(RunnerId id, messages::RunnerMessage message,
                                                  Instant now) {
  if (auto* greeting = std::get_if<messages::RunnerHello>(&message)) {
    return hello(id, std::move(*greeting), now);
  }
  const auto runner = runners_.find(id);
  if (runner == runners_.end()) {
    return refuse(StatusCode::failed_precondition, "the first message must be a hello");
  }
  if (const auto* ready = std::get_if<messages::RunnerReady>(&message)) {
    runner->second.slots = ready->slots;
    fill(id, now);
    tell_why_all();
    return {};
  }
  if (const auto* started = std::get_if<messages::AttemptStarted>(&message)) {
    return on_started(id, *started, now);
  }
  if (auto* chunk = std::get_if<messages::Chunk>(&message)) {
    return on_chunk(id, std::move(*chunk), now);
  }
  if (const auto* finishing = std::get_if<messages::AttemptFinishing>(&message)) {
    on_finishing(id, *finishing);
    return {};
  }
  return on_ended(id, std::get<messages::AttemptEnded>(std::move(message)), now);
}

std::expected<void, Refused> JobPlane::hello(RunnerId id, messages::RunnerHello message,
                                             Instant now) {
  if (runners_.contains(id)) return refuse(StatusCode::failed_precondition, "a second hello");
  if (!is_isolation(message.isolation)) {
    return refuse(
        StatusCode::invalid_argument,
        fmt::format("isolation \"{}\" is none of namespace, cgroup, none", message.isolation));
  }
  const auto twin = std::ranges::find_if(
      runners_, [&](const auto& entry) { return entry.second.hello.name == message.name; });
  if (twin != runners_.end() && twin->second.hello.instance != message.instance) {
    return refuse(StatusCode::already_exists,
                  fmt::format("duplicate_runner: a runner named \"{}\" is connected; start this "
                              "one with another --name",
                              message.name));
  }
  if (twin != runners_.end()) {
    const RunnerId old = twin->first;
    runner_left(old, now);
    ready_.emplace_back(
        RunnerDismissed{old, {StatusCode::aborted, "superseded: the runner connected again"}});
  }
  if (runners_.size() >= kRunnersMax) {
    return refuse(StatusCode::resource_exhausted,
                  fmt::format("{} runners are connected, the most this node takes", kRunnersMax));
  }
  // It executes nothing when it comes: what it had before the node's restart is over.
  for (auto lost = unreachable_.find(message.name); lost != unreachable_.end();
       lost = unreachable_.find(message.name)) {
    lose_attempt(lost->second, fmt::format("runner {} came back without it", message.name));
  }
  Runner runner{.hello = std::move(message), .joined = now};
  runner.slots = runner.hello.slots;
  runner.labels = runner.hello.labels;
  // Last, so that no label of the runner's own can stand in for them.
  runner.labels.emplace_back("isolation", runner.hello.isolation);
  runner.labels.emplace_back("runner", runner.hello.name);
  runners_.emplace(id, std::move(runner));
  send(id, messages::Welcome{options_.node});
  if (draining_) send(id, messages::Drain{});
  fill(id, now);
  tell_why_all();
  return {};
}

void JobPlane::runner_left(RunnerId id, Instant) {
  const auto found = runners_.find(id);
  if (found == runners_.end()) return;
  const Runner runner = std::move(found->second);
  runners_.erase(found);  // First, so that nothing is sent to it any more.
  for (const std::uint64_t token : runner.tokens) {
    if (attempts_.at(token).result) continue;  // All of it came.
    lose_attempt(token, fmt::format("runner {} went away", runner.hello.name));
  }
  tell_why_all();
}

JobPlane::Attempt* JobPlane::find_attempt(RunnerId runner, std::uint64_t token) {
  const auto found = attempts_.find(token);
  if (found == attempts_.end() || found->second.runner != runner) {
    ++stale_count_;
    return nullptr;
  }
  return &found->second;
}

std::expected<void, Refused> JobPlane::on_started(RunnerId id,
                                                  const messages::AttemptStarted& message,
                                                  Instant now) {
  const Attempt* attempt = find_attempt(id, message.token);
  if (attempt == nullptr || !attempt->live) return {};
  Live& live = live_.at(attempt->job.row());
  if (live.started) return refuse(StatusCode::failed_precondition, "an attempt started twice");
  live.started = true;
  JobStatus& status = live.record->status;
  if (!status.stop) {
    status.state = JobState::running;
    save(live, message.token);
    set_deadline(live, now + live.timeout_run + kTimeoutRunMargin);
  }
  const auto elapsed = static_cast<std::uint64_t>((now - live.submitted).count());
  emit(live, messages::Running{elapsed - std::min(elapsed, message.held_ns)});
  return {};
}

std::expected<void, Refused> JobPlane::on_chunk(RunnerId id, messages::Chunk chunk, Instant now) {
  Attempt* attempt = find_attempt(id, chunk.token);
  if (attempt == nullptr) return {};
  const std::uint64_t cost = cost_of(chunk);
  if (attempt->result) {
    return refuse(StatusCode::failed_precondition, "output of an attempt after its result");
  }
  if (chunk.data.empty()) return refuse(StatusCode::invalid_argument, "a chunk without bytes");
  if (chunk.offset != attempt->received) {
    return refuse(StatusCode::data_loss, fmt::format("a chunk at byte {} where {} was due",
                                                     chunk.offset, attempt->received));
  }
  if (attempt->cost_received + cost > attempt->cost_limit) {
    return refuse(StatusCode::resource_exhausted, "output beyond its window");
  }
  if (attempt->live && !live_.at(attempt->job.row()).started) {
    return refuse(StatusCode::failed_precondition, "output of an attempt that has not started");
  }
  keep_output(chunk.token, *attempt, std::move(chunk), cost, now);
  return {};
}

void JobPlane::on_finishing(RunnerId id, const messages::AttemptFinishing& message) {
  const Attempt* attempt = find_attempt(id, message.token);
  if (attempt == nullptr || !attempt->live) return;
  Live& live = live_.at(attempt->job.row());
  JobStatus& status = live.record->status;
  if (status.stop) return;
  status.state = JobState::finishing;
  save(live, message.token);
  // What is left is the log's tail, which may wait for our disk as long as it takes.
  set_deadline(live, std::nullopt);
}

std::expected<void, Refused> JobPlane::on_ended(RunnerId id, messages::AttemptEnded message,
                                                Instant now) {
  const std::uint64_t token = message.token;
  const Attempt* attempt = find_attempt(id, token);
  if (attempt != nullptr && attempt->result) {
    return refuse(StatusCode::failed_precondition, "a result came twice");
  }
  if (attempt == nullptr) {
    if (runners_.at(id).outbox.size() >= kRunnerOutboxMax) {
      return refuse(StatusCode::resource_exhausted, "results without end, and answers not read");
    }
    send(id, messages::Settled{token});
    return {};
  }
  messages::JobResult& result = message.result;
  if (result.state != JobState::succeeded && result.state != JobState::failed &&
      result.state != JobState::cancelled) {
    return refuse(StatusCode::invalid_argument,
                  fmt::format("an attempt cannot end {}", to_string(result.state)));
  }
  if (result.output_bytes != attempt->received) {
    return refuse(StatusCode::data_loss,
                  fmt::format("the result speaks of {} bytes of output, {} came",
                              result.output_bytes, attempt->received));
  }
  finish_attempt(token, std::move(result), now);
  return {};
}

void JobPlane::note_late_evidence(const Attempt& attempt, std::uint64_t token,
                                  const messages::JobResult& result) {
  const auto found = records_.find(attempt.job);
  if (found == records_.end() || found->second.status.state != JobState::cancel_unverified ||
      !result.evidence.complete) {
    return;
  }
  JobStatus& status = found->second.status;
  status.state = JobState::cancelled;
  status.result->state = JobState::cancelled;
  status.result->evidence = result.evidence;
  last_change_ = store_.update(attempt.job, token, status);
}

void JobPlane::free_slot(RunnerId id, std::uint64_t token, Instant now) {
  const auto runner = runners_.find(id);
  if (runner == runners_.end()) return;
  runner->second.tokens.erase(token);
  fill(id, now);
}

void JobPlane::fill(RunnerId id, Instant now) {
  if (draining_) return;
  const Runner& runner = runners_.at(id);
  while (runner.tokens.size() < runner.slots) {
    const auto row = queue_.first_for(runner.labels);
    if (!row) return;
    assign(*row, id, now);
  }
}

void JobPlane::place(Row row, Instant now) {
  const Shape& shape = *live_.at(row).shape;
  const std::pair<const RunnerId, Runner>* best = nullptr;
  for (const auto& entry : runners_) {
    const Runner& runner = entry.second;
    if (runner.tokens.size() >= runner.slots) continue;
    if (best != nullptr && best->second.tokens.size() <= runner.tokens.size()) continue;
    if (all_hold(shape.constraints, runner.labels)) best = &entry;
  }
  if (best != nullptr) assign(row, best->first, now);
}

void JobPlane::assign(Row row, RunnerId id, Instant now) {
  Live& live = live_.at(row);
  JobStatus& status = live.record->status;
  Runner& runner = runners_.at(id);
  leave_queue(live);
  const std::uint64_t token = next_token_++;
  const std::uint64_t before = std::exchange(status.token, token);
  status.state = JobState::assigned;
  status.attempt += 1;
  status.runner = runner.hello.name;
  save(live, before);
  const bool hold = !is_durable(live.saved);
  attempts_[token] = {.job = live.record->id,
                      .runner = id,
                      .waits_for_go = hold,
                      .log = {live.record->id, status.attempt},
                      .cost_limit = kOutputWindowBytes};
  runner.tokens.insert(token);
  messages::Start start{.token = token,
                        .job = live.record->id.text(),
                        .attempt = status.attempt,
                        .spec = live.record->spec,
                        .output_limit = kOutputWindowBytes,
                        .hold = hold};
  // The runner enforces it, and must not need to know the node's default.
  const auto run_ms = std::chrono::duration_cast<std::chrono::milliseconds>(live.timeout_run);
  start.spec.timeout_run_ms = static_cast<std::uint64_t>(run_ms.count());
  send(id, std::move(start));
  if (hold) when_durable(live.saved, GoDue{token});
  set_deadline(live, now + live.timeout_start);
  followers_.open_log_for_all(live.record->id, status.attempt);
  emit(live, messages::Assigned{runner.hello.name, status.attempt,
                                static_cast<std::uint64_t>((now - live.submitted).count())});
}

void JobPlane::go(std::uint64_t token) {
  const auto found = attempts_.find(token);
  if (found == attempts_.end() || !found->second.live) return;
  // One that is to stop has been told so, and never ran.
  if (live_.at(found->second.job.row()).record->status.stop) return;
  found->second.waits_for_go = false;
  send(found->second.runner, messages::Go{token});
}

void JobPlane::send(RunnerId id, messages::NodeMessage message) {
  const auto found = runners_.find(id);
  if (found == runners_.end()) return;
  std::deque<messages::NodeMessage>& outbox = found->second.outbox;
  const auto* cancel = std::get_if<messages::CancelAttempt>(&message);
  const auto same = std::ranges::find_if(outbox, [&](const messages::NodeMessage& waiting) {
    const auto* other = std::get_if<messages::CancelAttempt>(&waiting);
    return cancel != nullptr && other != nullptr && other->token == cancel->token;
  });
  if (same != outbox.end()) {
    *same = std::move(message);
    return;
  }
  outbox.push_back(std::move(message));
  if (!std::exchange(found->second.announced, true)) ready_.emplace_back(RunnerReadyToTake{id});
}

const messages::NodeMessage* JobPlane::next_message(RunnerId id) const {
  const auto found = runners_.find(id);
  if (found == runners_.end() || found->second.outbox.empty()) return nullptr;
  return &found->second.outbox.front();
}

void JobPlane::take_message(RunnerId id) {
  Runner& runner = runners_.at(id);
  VALKYRIE_ASSERT(!runner.outbox.empty());
  runner.outbox.pop_front();
  if (runner.outbox.empty()) runner.announced = false;
}

}  // namespace valkyrie::jobs
