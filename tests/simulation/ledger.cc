#include "tests/simulation/ledger.h"

#include <map>
#include <utility>

#include "protocol/metadata.h"
#include "sdk/cpp/src/retry_policy.h"
#include "tests/simulation/pattern.h"
#include "tests/simulation/violation.h"

namespace valkyrie::simulation {
namespace {

using protocol::Outcome;
using protocol::StatusCode;
namespace sdk = valkyrie::detail;

// The node's own services do not send the call's id back.
bool is_builtin(const std::string& target) { return target.starts_with("valkyrie."); }

}  // namespace

std::string describe(const CallRecord& call) {
  return fmt::format("call {} of caller {} to {} ({} bytes{})", call.id, call.caller,
                     call.ask.target, call.ask.bytes, call.ask.notify ? ", notify" : "");
}

CallRecord& Ledger::ask(std::uint32_t caller, const Ask& ask, protocol::Instant now) {
  CallRecord& call = calls_.emplace_back();
  call.id = calls_.size();
  call.ask = ask;
  call.caller = caller;
  call.asked = now;
  if (ask.origin != 0) check_repeat(call);
  return call;
}

// What a service may have executed is not made again, unless that does no harm.
void Ledger::check_repeat(const CallRecord& call) const {
  std::uint8_t attempts = 0;
  for (const CallRecord& earlier : calls_) {
    if (earlier.id == call.id) break;
    if (earlier.id != call.ask.origin && earlier.ask.origin != call.ask.origin) continue;
    ++attempts;
    require(earlier.over || !earlier.taken || call.ask.hedge_after,
            "{} is made again as {} before it ended", describe(earlier), call.id);
    require(call.ask.idempotent || earlier.seen_by == 0,
            "{} is made again as {}; but service {} got it", describe(earlier), call.id,
            earlier.seen_by);
  }
  require(attempts == call.ask.attempt && attempts < sdk::kAttemptsMax,
          "{} is attempt {} after {} others", describe(call), call.ask.attempt, attempts);
}

void Ledger::check_budgets() const {
  std::map<std::uint32_t, std::pair<std::uint64_t, std::uint64_t>> counts;
  for (const CallRecord& call : calls_) {
    auto& [firsts, repeats] = counts[call.caller];
    ++(call.ask.origin == 0 ? firsts : repeats);
  }
  for (const auto& [caller, count] : counts) {
    const auto& [firsts, repeats] = count;
    require(repeats <= sdk::RetryBudget::kSavedMax + firsts / sdk::RetryBudget::kCallsEach,
            "caller {} has made {} calls, and {} again", caller, firsts, repeats);
  }
}

CallRecord& Ledger::record(CallId id) {
  require(id > 0 && id <= calls_.size(), "no call has the id {}", id);
  return calls_[id - 1];
}

CallRecord& Ledger::seen(std::uint32_t service, std::string_view target,
                         const protocol::Event& event) {
  const auto key = event.metadata.find(kCallKey);
  require(key.has_value(), "service {} got a request without the caller's metadata", service);
  CallRecord& call = record(id_of(*key));
  require(call.taken, "{} was not taken, but service {} got it", describe(call), service);
  require(call.seen_by == 0, "{} was delivered to service {} and then to {}", describe(call),
          call.seen_by, service);
  require(call.ask.target == target, "{} came to service {}, which serves {}", describe(call),
          service, target);
  require(event.payload.size() == call.ask.bytes && is_pattern(call.id, event.payload),
          "{} came with another payload of {} bytes", describe(call), event.payload.size());
  require(!call.over || call.outcome != Outcome::not_executed,
          "{} ended as {}, not executed; then service {} got it", describe(call),
          to_string(call.code), service);
  const auto left = event.metadata.deadline();
  require(!call.ask.deadline || (left && *left <= *call.ask.deadline),
          "{} came with a later deadline than it was given", describe(call));
  call.seen_by = service;
  return call;
}

void Ledger::answered(std::uint32_t caller, const protocol::Event& event) {
  CallRecord& call = record(event.cookie);
  require(call.caller == caller, "the answer to {} came to caller {}", describe(call), caller);
  const auto status = event.metadata.status().value_or(protocol::Status{});
  end(call, status.code, status.outcome);
  check_answer(call, event);
}

void Ledger::check_answer(const CallRecord& call, const protocol::Event& event) const {
  if (is_builtin(call.ask.target)) {
    require(call.code != StatusCode::ok || call.ask.target != "valkyrie.Node" ||
                (event.payload.size() == call.ask.bytes && is_pattern(call.id, event.payload)),
            "{}: the echo is not what was said", describe(call));
    return;
  }
  const auto key = event.metadata.find(kCallKey);
  if (!key) {  // The node's own word.
    require(call.code != StatusCode::ok, "{} was answered by nobody", describe(call));
    return;
  }
  require(id_of(*key) == call.id, "{} got the answer of call {}", describe(call), id_of(*key));
  require(call.reply.has_value(), "{} was answered before its service did", describe(call));
  const Reply& reply = *call.reply;
  const StatusCode said = reply.kind == Reply::Kind::ok      ? StatusCode::ok
                          : reply.kind == Reply::Kind::error ? kErrorCode
                                                             : kShedCode;
  require(call.code == said, "{}: the service said {}, the caller heard {}", describe(call),
          to_string(said), to_string(call.code));
  if (reply.kind != Reply::Kind::ok) return;
  require(event.payload.size() == reply.bytes && is_pattern(~call.id, event.payload),
          "{}: the answer of {} bytes came as another of {}", describe(call), reply.bytes,
          event.payload.size());
}

void Ledger::failed(std::uint32_t caller, const protocol::Event& event) {
  CallRecord& call = record(event.cookie);
  require(call.caller == caller, "the end of {} came to caller {}", describe(call), caller);
  call.ended_here = true;
  end(call, event.status, event.outcome);
}

void Ledger::end(CallRecord& call, StatusCode code, Outcome outcome) {
  require(call.taken, "{} was not taken, but has an outcome", describe(call));
  require(!call.over, "{} ended as {} and again as {}", describe(call), to_string(call.code),
          to_string(code));
  call.over = true;
  call.code = code;
  call.outcome = outcome;
  require(code != StatusCode::ok || outcome == Outcome::executed, "{} is ok, but {}",
          describe(call), to_string(outcome));
  if (is_builtin(call.ask.target)) return;
  const bool shed = call.reply && call.reply->kind == Reply::Kind::shed;
  require(outcome != Outcome::not_executed || call.seen_by == 0 || (shed && code == kShedCode),
          "{} ended as {}, not executed; but service {} got it", describe(call), to_string(code),
          call.seen_by);
  require(outcome != Outcome::executed || call.reply,
          "{} ended as {}, executed; but no service answered it", describe(call), to_string(code));
  require(!call.ask.must_succeed || code == StatusCode::ok,
          "{} ended as {}, {}; nothing stood in its way", describe(call), to_string(code),
          to_string(outcome));
}

void Ledger::check_all_over() const {
  check_budgets();
  for (const CallRecord& call : calls_) {
    require(call.over || !call.taken || call.ask.notify, "{} never ended", describe(call));
    require(call.seen_by != 0 || !call.taken || !call.ask.notify || !call.ask.must_succeed,
            "{} was dropped; nothing stood in its way", describe(call));
  }
}

void Ledger::check_progress(protocol::Instant now, protocol::Duration patience) const {
  for (const CallRecord& call : calls_) {
    if (!call.ask.must_succeed || call.ask.notify || call.over || !call.taken ||
        call.asked + patience > now)
      continue;
    require(false, "{} waits although nothing stands in its way", describe(call));
  }
}

}  // namespace valkyrie::simulation
