#include "tests/simulation/worker.h"

#include <algorithm>
#include <variant>

#include "tests/simulation/violation.h"

namespace valkyrie::simulation {
namespace {

using messages::JobState;
using protocol::EventType;

// What a full queue holds up is tried again after so long.
constexpr Duration kRetry = 20ms;

}  // namespace

void Worker::join(const std::string& name, std::uint32_t slots, const std::string& zone,
                  std::uint64_t log_bytes_max) {
  stream_ = open_stream(messages::kRunnersService, "Work");
  if (stream_ == 0) return;
  slots_ = slots_most_ = slots;
  log_bytes_max_ = log_bytes_max;
  around_.trace.line(now(), "{}: joins as runner {} with {} slots", number(), name, slots);
  const messages::RunnerHello hello{.name = name,
                                    .instance = "i",
                                    .boot_id = "b",
                                    .version = "1",
                                    .isolation = "namespace",
                                    .slots = slots,
                                    .labels = {{"zone", zone}}};
  static_cast<void>(send(hello));
}

void Worker::offer_slots(std::uint32_t slots) {
  if (!joined_ || !send(messages::RunnerReady{slots})) return;
  around_.trace.line(now(), "{}: has {} slots", number(), slots);
  slots_ = slots;
  slots_most_ = std::max(slots_most_, slots);
}

void Worker::hurry() {
  hurried_ = true;
  steps_.clear();
  for (auto& [token, attempt] : attempts_) {
    attempt.log_left = 0;
    if (attempt.state != State::ended) schedule(token, 1ms);
  }
}

bool Worker::send(const messages::RunnerMessage& message) {
  return send_message(stream_, messages::encode(message));
}

void Worker::start(const messages::Start& start) {
  JobTruth& job = around_.jobs.started(number(), start);
  around_.trace.line(now(), "{}: gets job {} as {}", number(), job.number, start.token);
  const auto busy = std::ranges::count_if(
      attempts_, [](const auto& entry) { return entry.second.state != State::ended; });
  require(static_cast<std::uint32_t>(busy) < slots_most_, "runner {} has {} jobs for {} slots",
          number(), busy + 1, slots_most_);
  attempts_[start.token] = {.job = job.number,
                            .log_left = hurried_ ? 0 : pick(log_bytes_max_ + 1),
                            .limit = start.output_limit};
  if (!start.hold) schedule(start.token, 50ms);
}

void Worker::schedule(std::uint64_t token, Duration within) {
  const auto most = static_cast<std::uint64_t>((hurried_ ? Duration(1us) : within).count());
  steps_.emplace(now() + Duration(pick(most)), token);
}

std::optional<Instant> Worker::deadline() const {
  if (steps_.empty()) return std::nullopt;
  return steps_.begin()->first;
}

void Worker::on_deadline() {
  while (!steps_.empty() && steps_.begin()->first <= now()) {
    const std::uint64_t token = steps_.begin()->second;
    steps_.erase(steps_.begin());
    step(token);
  }
}

// One message of an attempt.
void Worker::step(std::uint64_t token) {
  const auto found = attempts_.find(token);
  if (found == attempts_.end() || found->second.state == State::ended) return;
  Attempt& attempt = found->second;
  bool sent = true;
  if (attempt.state == State::fresh && !attempt.stopped) {
    sent = send(messages::AttemptStarted{.token = token, .held_ns = 0});
    if (sent) attempt.state = State::running;
  } else if (attempt.state == State::running && attempt.log_left > 0 && !attempt.stopped) {
    if (!write_log(token, attempt)) return;  // A wider window goes on.
  } else if (attempt.state == State::running) {
    sent = send(messages::AttemptFinishing{.token = token});
    if (sent) attempt.state = State::finishing;
  } else {
    sent = end(token, attempt);
  }
  if (attempt.state == State::ended) return;
  if (sent) {
    schedule(token, 20ms);
  } else {
    steps_.emplace(now() + kRetry, token);
  }
}

// False if the window is shut.
bool Worker::write_log(std::uint64_t token, Attempt& attempt) {
  std::uint64_t size = std::min<std::uint64_t>(attempt.log_left, messages::kChunkBytesMax);
  if (pick(2) == 0) size = 1 + pick(size);
  if (attempt.cost + messages::kChunkCostBytes + size > attempt.limit) return false;
  JobTruth& job = around_.jobs.of(attempt.job);
  const messages::Chunk chunk{.token = token,
                              .stream = messages::OutputStream::out,
                              .offset = job.log_bytes,
                              .data = log_bytes(job.number, job.log_bytes, size)};
  job.log_bytes += size;  // Before it is sent: it may arrive within the call.
  if (!send(chunk)) {
    job.log_bytes -= size;
    return true;
  }
  attempt.cost += messages::kChunkCostBytes + size;
  attempt.log_left -= size;
  return true;
}

bool Worker::end(std::uint64_t token, Attempt& attempt) {
  JobTruth& job = around_.jobs.of(attempt.job);
  messages::JobResult result;
  result.exit_code = attempt.stopped ? 0 : static_cast<std::int32_t>(job.number % 3);
  if (job.must_succeed) result.exit_code = 0;
  result.state = attempt.stopped         ? JobState::cancelled
                 : result.exit_code == 0 ? JobState::succeeded
                                         : JobState::failed;
  result.reason =
      result.state == JobState::failed ? messages::EndReason::exit : messages::EndReason::none;
  result.output_bytes = job.log_bytes;
  result.evidence.method = "namespace";
  result.evidence.complete = true;
  if (!send(messages::AttemptEnded{.token = token, .result = result})) return false;
  attempt.state = State::ended;
  job.exit_code = result.exit_code;
  job.runner_ended = true;
  around_.trace.line(now(), "{}: job {} is over, {}", number(), job.number,
                     to_string(result.state));
  return true;
}

void Worker::on_message(const messages::NodeMessage& message) {
  if (std::holds_alternative<messages::Welcome>(message)) {
    joined_ = true;
  } else if (const auto* begin = std::get_if<messages::Start>(&message)) {
    start(*begin);
  } else if (const auto* window = std::get_if<messages::Window>(&message)) {
    const auto found = attempts_.find(window->token);
    if (found == attempts_.end()) return;
    require(window->output_limit > found->second.limit, "the window of job {} does not rise",
            found->second.job);
    found->second.limit = window->output_limit;
    schedule(window->token, 1ms);
  } else if (const auto* stop = std::get_if<messages::CancelAttempt>(&message)) {
    const auto found = attempts_.find(stop->token);
    if (found == attempts_.end()) return;
    const JobTruth& job = around_.jobs.of(found->second.job);
    around_.trace.line(now(), "{}: stops job {}", number(), job.number);
    found->second.stopped = true;
    schedule(stop->token, 100ms);
  } else if (const auto* settled = std::get_if<messages::Settled>(&message)) {
    const auto found = attempts_.find(settled->token);
    require(found != attempts_.end() && found->second.state == State::ended,
            "runner {}: a result was settled that was not given", number());
    attempts_.erase(found);
  }
}

void Worker::lose_all() {
  for (const auto& [token, attempt] : attempts_) around_.jobs.of(attempt.job).runner_lost = true;
  attempts_.clear();
  steps_.clear();
  joined_ = false;
  stream_ = 0;
}

void Worker::on_program_event(const protocol::Event& event) {
  if (event.type == EventType::closed) return lose_all();
  if (event.stream != stream_ || stream_ == 0) return;
  switch (event.type) {
    case EventType::data: {
      consume(event);
      const auto whole = whole_message(event);
      if (!whole) return;
      const auto body = messages::decode<messages::NodeMessage>(std::as_bytes(std::span(*whole)));
      require(body.has_value(), "runner {} cannot read what the node says", number());
      return on_message(*body);
    }
    case EventType::end: {
      const auto status = event.metadata.status().value_or(protocol::Status{});
      around_.trace.line(now(), "{}: is dismissed, {}", number(), status.text);
      require(status.code == protocol::StatusCode::aborted ||
                  status.code == protocol::StatusCode::unavailable,
              "runner {} was dismissed: {}", number(), status.text);
      static_cast<void>(session().send_end(event.stream));
      return lose_all();
    }
    case EventType::reset:
    case EventType::stream_closed:
      return lose_all();
    default:
      return;
  }
}

}  // namespace valkyrie::simulation
