#include "tests/simulation/caller.h"

#include <array>
#include <iterator>

#include "protocol/metadata.h"
#include "tests/simulation/pattern.h"

namespace valkyrie::simulation {

using protocol::EventType;

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
  return true;
}

void Caller::consider_retry(CallId id) {
  const CallRecord& call = around_.ledger.record(id);
  Ask again = call.ask;
  if (retries_stopped_ || call.cancel_asked || ++again.attempt == detail::kAttemptsMax) return;
  if (!detail::may_retry(call.code, call.outcome, again.idempotent)) return;
  if (!retry_budget_.spend()) return;
  if (again.origin == 0) again.origin = id;
  const double random = static_cast<double>(pick(1000)) / 1000;
  retries_.emplace(now() + detail::retry_pause(again.attempt, random), again);
}

void Caller::stop_retrying() {
  retries_stopped_ = true;
  retries_.clear();
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
  const auto [id, call] =
      *std::next(running_.begin(), static_cast<std::ptrdiff_t>(pick(running_.size())));
  around_.trace.line(now(), "{}: cancels call {}", number(), id);
  around_.ledger.record(id).cancel_asked = true;
  session().cancel(call.stream, call.correlation);
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
      running_.erase(event.cookie);
      consider_retry(event.cookie);
      return consume(event);
    case EventType::request_failed:
      around_.trace.line(now(), "{}: call {} failed, {} {} {}", number(), event.cookie,
                         to_string(event.code), to_string(event.status), to_string(event.outcome));
      around_.ledger.failed(number(), event);
      running_.erase(event.cookie);
      consider_retry(event.cookie);
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
  if (!deadlines_.empty() && (!next || deadlines_.begin()->first < *next)) {
    next = deadlines_.begin()->first;
  }
  if (!retries_.empty() && (!next || retries_.begin()->first < *next)) {
    next = retries_.begin()->first;
  }
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
  while (!deadlines_.empty() && deadlines_.begin()->first <= now()) {
    const CallId id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    const auto found = running_.find(id);
    if (found == running_.end()) continue;
    around_.trace.line(now(), "{}: call {} is past its deadline", number(), id);
    around_.ledger.record(id).cancel_asked = true;
    session().cancel(found->second.stream, found->second.correlation);
  }
}

}  // namespace valkyrie::simulation
