#include "tests/simulation/submitter.h"

#include <chrono>
#include <iterator>
#include <variant>

#include "tests/simulation/violation.h"

namespace valkyrie::simulation {

using protocol::EventType;

void Submitter::submit(const std::string& require, bool must_succeed) {
  const std::uint32_t stream = open_stream(messages::kJobsService, "Run");
  if (stream == 0) return;
  JobTruth& job = around_.jobs.submit(number(), must_succeed);
  around_.trace.line(now(), "{}: submits job {} on stream {}", number(), job.number, stream);
  runs_[stream] = {.job = job.number};
  const auto spec = JobBook::spec_of(job, require);
  if (!send_message(stream, messages::encode(messages::RunInput(messages::RunRequest{spec})))) {
    job.given_up = true;
    session().reset(stream, protocol::CloseCode::cancelled);
    forget_stream(stream);
    runs_.erase(stream);
  }
}

void Submitter::cancel(std::uint32_t stream, const Run& run, Duration grace) {
  around_.trace.line(now(), "{}: cancels job {}", number(), run.job);
  around_.jobs.of(run.job).cancel_asked = true;
  messages::CancelRequest request;
  request.grace_ms = static_cast<std::uint64_t>(grace / std::chrono::milliseconds(1));
  static_cast<void>(send_message(stream, messages::encode(messages::RunInput(request))));
}

void Submitter::cancel_any(Duration grace) {
  if (runs_.empty()) return;
  const auto at = std::next(runs_.begin(), static_cast<std::ptrdiff_t>(pick(runs_.size())));
  if (at->second.stage != Stage::ended) cancel(at->first, at->second, grace);
}

void Submitter::cancel_all() {
  for (const auto& [stream, run] : runs_) {
    if (run.stage != Stage::ended) cancel(stream, run, Duration::zero());
  }
}

void Submitter::leave_any(bool in_order) {
  if (runs_.empty()) return;
  const auto at = std::next(runs_.begin(), static_cast<std::ptrdiff_t>(pick(runs_.size())));
  JobTruth& job = around_.jobs.of(at->second.job);
  around_.trace.line(now(), "{}: leaves job {}", number(), job.number);
  job.given_up = job.given_up || !job.ended;
  job.cancel_asked = true;
  forget_stream(at->first);
  if (in_order) {
    static_cast<void>(session().send_end(at->first));
  } else {
    session().reset(at->first, protocol::CloseCode::cancelled);
  }
  runs_.erase(at);
}

void Submitter::advance(Run& run, Stage from, Stage to) {
  require(run.stage == from, "events of job {} come in another order", run.job);
  run.stage = to;
}

void Submitter::on_job_event(Run& run, const messages::JobEvent& event) {
  JobTruth& job = around_.jobs.of(run.job);
  if (std::holds_alternative<messages::Accepted>(event)) {
    advance(run, Stage::submitted, Stage::accepted);
  } else if (std::holds_alternative<messages::Waiting>(event)) {
    require(run.stage == Stage::accepted, "job {} waits after it was placed", run.job);
  } else if (std::holds_alternative<messages::Assigned>(event)) {
    advance(run, Stage::accepted, Stage::assigned);
  } else if (std::holds_alternative<messages::Running>(event)) {
    advance(run, Stage::assigned, Stage::running);
  } else if (const auto* output = std::get_if<messages::Output>(&event)) {
    require(run.stage == Stage::running, "job {} has output before it runs", run.job);
    around_.jobs.got_output(job, *output);
  } else if (std::holds_alternative<messages::Cancelling>(event)) {
    require(around_.jobs.may_be_stopped(job) && !run.cancelling,
            "job {} is stopped by nobody, or twice", run.job);
    run.cancelling = true;
  } else {
    const auto& result = std::get<messages::Ended>(event).result;
    around_.trace.line(now(), "{}: job {} ended, {} {}, {} bytes", number(), run.job,
                       to_string(result.state), to_string(result.reason), job.received);
    require(run.stage != Stage::ended && run.stage != Stage::submitted,
            "job {} ends before it begins or twice", run.job);
    run.stage = Stage::ended;
    around_.jobs.got_end(job, result);
  }
}

void Submitter::on_stream_over(std::uint32_t stream, Run run, const protocol::Event& event) {
  runs_.erase(stream);
  JobTruth& job = around_.jobs.of(run.job);
  if (event.type == EventType::end) {
    const auto status = event.metadata.status().value_or(protocol::Status{});
    const bool refused = run.stage == Stage::submitted;
    require(run.stage == Stage::ended || refused, "the node leaves job {} without an end: {}",
            run.job, status.text);
    require(!refused || status.code == protocol::StatusCode::unavailable,
            "job {} was refused: {}, {}", run.job, to_string(status.code), status.text);
    job.refused = refused;
    static_cast<void>(session().send_end(stream));
  } else if (!job.ended) {
    around_.trace.line(now(), "{}: loses sight of job {}", number(), run.job);
    job.given_up = job.cancel_asked = true;
  }
}

void Submitter::on_program_event(const protocol::Event& event) {
  const auto found = runs_.find(event.stream);
  if (found == runs_.end() || event.stream == 0) {
    if (event.type == EventType::data) consume(event);  // Of a job that was left.
    return;
  }
  switch (event.type) {
    case EventType::data: {
      consume(event);
      const auto whole = whole_message(event);
      if (!whole) return;
      const auto body = messages::decode<messages::JobEvent>(std::as_bytes(std::span(*whole)));
      require(body.has_value(), "submitter {} cannot read an event", number());
      return on_job_event(found->second, *body);
    }
    case EventType::end:
    case EventType::reset:
    case EventType::stream_closed:
      return on_stream_over(event.stream, found->second, event);
    default:
      return;
  }
}

}  // namespace valkyrie::simulation
