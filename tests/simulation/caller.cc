#include "tests/simulation/caller.h"

#include <array>
#include <iterator>

#include "protocol/metadata.h"
#include "tests/simulation/pattern.h"

namespace valkyrie::simulation {

using protocol::EventType;

namespace {

CallId origin_of(const CallRecord& call) {
  return call.ask.origin == 0 ? call.id : call.ask.origin;
}

}  // namespace

bool Caller::call(const Ask& ask) {
  const std::uint32_t stream = stream_to(ask);
  if (stream == 0) return false;
  CallRecord& call = around_.ledger.ask(number(), ask, now());
  if (ask.origin == 0) retry_budget_.earn();
  std::array<std::byte, 64> buffer;
  protocol::MetadataWriter writer(buffer);
  if (ask.deadline) writer.deadline(*ask.deadline);
  if (ask.attempt > 0) writer.octet(protocol::MetadataKey::attempt, ask.attempt);
  writer.ignorable(kCallKey, id_bytes(call.id));
  const std::vector<std::byte> payload = pattern(call.id, ask.bytes);
  const protocol::Outgoing message{
      .metadata = *writer.finish(), .payload = payload, .qos = ask.qos, .cookie = call.id};
  const auto sent =
      ask.notify ? session().send_notify(stream, message) : session().send_request(stream, message);
  if (!sent) {
    around_.trace.line(now(), "{}: {} not taken, {}", number(), describe(call),
                       to_string(sent.error()));
    around_.ledger.not_taken(call.id);
    return false;
  }
  around_.trace.line(now(), "{}: {} on stream {}{}", number(), describe(call), stream,
                     sent->waiting ? ", waits" : "");
  if (ask.notify) return true;
  running_[call.id] = {.stream = stream, .correlation = sent->correlation};
  if (ask.deadline) deadlines_.emplace(now() + *ask.deadline, call.id);
  if (ask.hedge_after) hedges_.emplace(now() + *ask.hedge_after, call.id);
  return true;
}

std::vector<CallId> Caller::running_attempts(CallId origin) const {
  std::vector<CallId> found;
  for (const auto& [id, running] : running_) {
    if (origin_of(around_.ledger.record(id)) == origin) found.push_back(id);
  }
  return found;
}

// What to ask for to make a call again, where that is paid for.
std::optional<Ask> Caller::another_attempt(const CallRecord& call) {
  const CallId origin = origin_of(call);
  if (retries_stopped_ || call.cancel_asked) return std::nullopt;
  if (repeats_[origin] + 1 == detail::kAttemptsMax || !retry_budget_.spend()) return std::nullopt;
  Ask again = call.ask;
  again.origin = origin;
  again.attempt = ++repeats_[origin];
  return again;
}

// An answer that tells of the call ends all attempts; else those that are out go on, and after the
// last of them another may be made.
void Caller::on_call_over(CallId id) {
  running_.erase(id);
  const CallRecord& call = around_.ledger.record(id);
  const std::vector<CallId> others = running_attempts(origin_of(call));
  if (!others.empty()) {
    const bool tells = call.code != protocol::StatusCode::unavailable &&
                       call.outcome != protocol::Outcome::not_executed;
    for (const CallId other : tells ? others : std::vector<CallId>()) {
      around_.ledger.record(other).ask.must_succeed = false;  // Another attempt has.
      give_up(other);
    }
    return;
  }
  if (!detail::may_retry(call.code, call.outcome, call.ask.idempotent)) return;
  const auto again = another_attempt(call);
  if (!again) return;
  const double random = static_cast<double>(pick(1000)) / 1000;
  retries_.emplace(now() + detail::retry_pause(again->attempt, random), *again);
}

void Caller::on_hedge_due(CallId id) {
  if (!running_.contains(id)) return;
  if (const auto again = another_attempt(around_.ledger.record(id))) call(*again);
}

void Caller::give_up(CallId id) {
  const Running& running = running_.at(id);
  around_.ledger.record(id).cancel_asked = true;
  session().cancel(running.stream, running.correlation);
}

void Caller::stop_retrying() {
  retries_stopped_ = true;
  retries_.clear();
  hedges_.clear();
}

std::uint32_t Caller::stream_to(const Ask& ask) {
  std::uint32_t& stream = streams_[{ask.target, ask.options}];
  if (stream != 0) return stream;
  std::array<std::byte, 256> buffer;
  protocol::MetadataWriter writer(buffer);
  writer.service(ask.target);
  writer.method(ask.target == "valkyrie.Registry" ? "List" : "Echo");
  stream =
      session()
          .open_stream(protocol::StreamKind::call, ask.options, {.metadata = *writer.finish()}, 0)
          .value_or(0);
  if (stream != 0) note_stream(stream);
  return stream;
}

void Caller::cancel_any() {
  if (running_.empty()) return;
  const CallId id =
      std::next(running_.begin(), static_cast<std::ptrdiff_t>(pick(running_.size())))->first;
  around_.trace.line(now(), "{}: cancels call {}", number(), id);
  give_up(id);
}

void Caller::leave_stream(bool in_order) {
  if (streams_.empty()) return;
  const auto at = std::next(streams_.begin(), static_cast<std::ptrdiff_t>(pick(streams_.size())));
  const std::uint32_t stream = at->second;
  streams_.erase(at);
  forget_stream(stream);
  around_.trace.line(now(), "{}: {} stream {}", number(), in_order ? "ends" : "resets", stream);
  if (in_order) {
    static_cast<void>(session().send_end(stream));
  } else {
    session().reset(stream, protocol::CloseCode::cancelled);
  }
}

void Caller::forget(std::uint32_t stream) {
  std::erase_if(streams_, [&](const auto& entry) { return entry.second == stream; });
}

void Caller::on_program_event(const protocol::Event& event) {
  if (on_stream_event(event)) return;
  switch (event.type) {
    case EventType::response:
      around_.trace.line(now(), "{}: call {} answered, {} bytes", number(), event.cookie,
                         event.payload.size());
      around_.ledger.answered(number(), event);
      on_call_over(event.cookie);
      return consume(event);
    case EventType::request_failed:
      around_.trace.line(now(), "{}: call {} failed, {} {} {}", number(), event.cookie,
                         to_string(event.code), to_string(event.status), to_string(event.outcome));
      around_.ledger.failed(number(), event);
      on_call_over(event.cookie);
      return;
    case EventType::end:
    case EventType::reset:
    case EventType::stream_closed:
      return forget(event.stream);
    case EventType::closed:
      deadlines_.clear();
      stop_retrying();
      return streams_.clear();
    default:
      return;
  }
}

std::optional<Instant> Caller::deadline() const {
  std::optional<Instant> next = stream_deadline();
  const auto consider = [&next](const auto& timers) {
    if (!timers.empty() && (!next || timers.begin()->first < *next)) next = timers.begin()->first;
  };
  consider(deadlines_);
  consider(retries_);
  consider(hedges_);
  return next;
}

// The caller's own timer rules: it gives the call up.
void Caller::on_deadline() {
  on_stream_deadline();
  while (!retries_.empty() && retries_.begin()->first <= now()) {
    const Ask ask = retries_.begin()->second;
    retries_.erase(retries_.begin());
    call(ask);
  }
  while (!hedges_.empty() && hedges_.begin()->first <= now()) {
    const CallId id = hedges_.begin()->second;
    hedges_.erase(hedges_.begin());
    on_hedge_due(id);
  }
  while (!deadlines_.empty() && deadlines_.begin()->first <= now()) {
    const CallId id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (!running_.contains(id)) continue;
    around_.trace.line(now(), "{}: call {} is past its deadline", number(), id);
    give_up(id);
  }
}

}  // namespace valkyrie::simulation
