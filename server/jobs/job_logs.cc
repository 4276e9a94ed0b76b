// The part of the job plane that deals with the output of attempts, and with ends that wait for it.
#include <fmt/format.h>
#include <utility>

#include "protocol/assert.h"
#include "server/jobs/job_plane.h"

namespace valkyrie::jobs {

using messages::EndReason;
using messages::JobState;
using protocol::Instant;

void JobPlane::keep_output(std::uint64_t token, Attempt& attempt, messages::Chunk chunk,
                           std::uint64_t cost, Instant now) {
  attempt.received += chunk.data.size();
  attempt.cost_received += cost;
  attempt.unwritten.emplace_back(attempt.received, cost);
  logs_open_.emplace(attempt.log, token);
  logs_.append(attempt.log, chunk.stream, chunk.offset, options_.unix_ms(), std::move(chunk.data));
  if (attempt.received > options_.log_bytes_max && attempt.live) {
    stop_job(attempt.job.row(),
             {.state = JobState::failed,
              .reason = EndReason::log_limit,
              .text = fmt::format("wrote more than {} bytes of output", options_.log_bytes_max)},
             kGraceMsDefault, now);
  }
  on_log_news();
}

void JobPlane::on_log_news() {
  while (auto news = logs_.poll()) {
    if (const auto* grew = std::get_if<LogGrew>(&*news)) {
      on_grew(*grew);
    } else if (const auto* safe = std::get_if<LogSafe>(&*news)) {
      on_safe(*safe);
    } else if (auto* read = std::get_if<LogRead>(&*news)) {
      followers_.on_read(std::move(*read));
    } else if (const auto* failed = std::get_if<LogReadFailed>(&*news)) {
      followers_.on_read_failed(*failed);
    } else {
      disk_stalled_ = std::get<LogStalled>(*news).stalled;
    }
  }
}

void JobPlane::on_grew(const LogGrew& news) {
  followers_.on_grew(news);
  const auto open = logs_open_.find(news.log);
  if (open == logs_open_.end()) return;
  Attempt& attempt = attempts_.at(open->second);
  attempt.written = news.written;
  while (!attempt.unwritten.empty() && attempt.unwritten.front().first <= news.written) {
    attempt.cost_written += attempt.unwritten.front().second;
    attempt.unwritten.pop_front();
  }
  open_window(open->second, attempt);
}

void JobPlane::open_window(std::uint64_t token, Attempt& attempt) {
  const std::uint64_t limit = attempt.cost_written + kOutputWindowBytes;
  if (limit - attempt.cost_limit < kOutputWindowBytes / 4) return;  // Not worth a message yet.
  attempt.cost_limit = limit;
  const auto runner = runners_.find(attempt.runner);
  if (runner == runners_.end()) return;
  for (messages::NodeMessage& message : runner->second.outbox) {
    auto* window = std::get_if<messages::Window>(&message);
    if (window == nullptr || window->token != token) continue;
    window->output_limit = limit;
    return;
  }
  send(attempt.runner, messages::Window{token, limit});
}

bool JobPlane::waits_for_disk(const Live& live) const {
  const Attempt& attempt = attempts_.at(live.record->status.token);
  const std::uint64_t largest = messages::kChunkCostBytes + messages::kChunkBytesMax;
  return disk_stalled_ || attempt.cost_received + largest > attempt.cost_limit;
}

// The result stands; it is said once the last byte of the log is safe.
void JobPlane::finish_attempt(std::uint64_t token, messages::JobResult result, Instant now) {
  Attempt& attempt = attempts_.at(token);
  const RunnerId runner = attempt.runner;
  const bool slot_is_free = result.evidence.survivors.empty();
  if (attempt.live) set_deadline(live_.at(attempt.job.row()), std::nullopt);
  attempt.result = std::move(result);
  if (attempt.received == 0) {
    settle(token);
  } else {
    logs_open_.emplace(attempt.log, token);
    logs_.finish(attempt.log);
    on_log_news();
  }
  if (slot_is_free) free_slot(runner, token, now);
}

void JobPlane::on_safe(const LogSafe& news) {
  const auto open = logs_open_.extract(news.log);
  if (open.empty()) return;
  Attempt& attempt = attempts_.at(open.mapped());
  attempt.result->log_sha256.assign(reinterpret_cast<const char*>(news.sha256.data()),
                                    news.sha256.size());
  settle(open.mapped());
}

void JobPlane::settle(std::uint64_t token) {
  Attempt& attempt = attempts_.at(token);
  messages::JobResult result = *std::exchange(attempt.result, std::nullopt);
  const RunnerId runner = attempt.runner;
  const bool holds_slot = !result.evidence.survivors.empty();
  if (attempt.live) {
    const Row row = attempt.job.row();
    end_job(row, conclude(live_.at(row).record->status.stop, std::move(result)));
  } else {
    note_late_evidence(attempt, token, result);
  }
  when_durable(last_change_, SettledDue{runner, token});
  if (!holds_slot || !runners_.contains(runner)) attempts_.erase(token);
}

messages::JobResult JobPlane::conclude(const std::optional<Stop>& stop,
                                       messages::JobResult result) {
  if (stop && result.state != JobState::succeeded) {  // Success while cancelling wins.
    result.state = stop->state;
    result.reason = stop->reason;
    result.text = stop->text;
  }
  if (result.state == JobState::failed && result.reason == EndReason::none) {
    result.reason = EndReason::exit;
  }
  if (result.state == JobState::cancelled) {
    result.reason = EndReason::none;
    if (!result.evidence.complete) result.state = JobState::cancel_unverified;
  }
  return result;
}

void JobPlane::lose_attempt(std::uint64_t token, std::string text) {
  const auto node = attempts_.extract(token);
  const Attempt& attempt = node.mapped();
  std::erase_if(unreachable_, [&](const auto& entry) { return entry.second == token; });
  if (logs_open_.erase(attempt.log) != 0) logs_.finish(attempt.log);
  if (!attempt.live) return;
  const Row row = attempt.job.row();
  const JobStatus& status = live_.at(row).record->status;
  const bool cancelled = status.stop && status.stop->state == JobState::cancelled;
  end_job(row, {.state = cancelled ? JobState::cancel_unverified : JobState::failed,
                .reason = EndReason::runner_lost,
                .text = std::move(text),
                .output_bytes = attempt.received,
                .evidence = {.method = "presumed"}});
}

}  // namespace valkyrie::jobs
