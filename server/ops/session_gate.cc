#include "server/ops/session_gate.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <utility>

#include "protocol/hex_text.h"
#include "server/policy/identity.h"

namespace valkyrie::server {
namespace {

using policy::Action;
using policy::AuditDecision;
using policy::LimitHit;
using policy::Name;
using policy::Occasion;

// Of a value of TRACE: the rest is span and flags.
constexpr std::size_t kTraceIdBytes = 16;

constexpr protocol::Duration kRecordInterval = std::chrono::seconds(1);

std::string trace_text(std::span<const std::byte> trace) {
  return trace.size() < kTraceIdBytes ? std::string()
                                      : protocol::hex_text(trace.first(kTraceIdBytes));
}

// Acts on the node itself are written down where they are allowed too.
bool is_recorded(Action action) { return action == Action::administer; }

}  // namespace

SessionGate::SessionGate(policy::Grants grants, GateOwner owner, policy::AuditSink* audit,
                         std::shared_ptr<Usage> usage, std::optional<protocol::Instant> until)
    : owner_(std::move(owner)),
      audit_(audit),
      usage_(std::move(usage)),
      until_(until.value_or(protocol::Instant::max())),
      grants_(std::move(grants)) {
  take_limits(grants_.limits());
}

void SessionGate::take_limits(const policy::RoleLimits& limits) {
  calls_per_second_.store(limits.calls_per_second.value_or(0), std::memory_order_relaxed);
  in_flight_max_.store(limits.in_flight_max.value_or(0), std::memory_order_relaxed);
  const auto ceiling = limits.qos_ceiling.value_or(protocol::QosClass::critical);
  ceiling_.store(static_cast<std::uint8_t>(ceiling), std::memory_order_relaxed);
}

policy::Grants SessionGate::grants() const {
  const std::lock_guard lock(mutex_);
  return grants_;
}

void SessionGate::replace(policy::Grants grants) {
  const std::scoped_lock lock(mutex_);
  grants_ = std::move(grants);
  take_limits(grants_.limits());
  generation_.fetch_add(1, std::memory_order_release);
}

void SessionGate::shut(std::string why) {
  const std::scoped_lock lock(mutex_);
  shut_ = std::move(why);
  generation_.fetch_add(1, std::memory_order_release);
}

std::optional<std::string> SessionGate::denial_of(Action action, const Name& name,
                                                  const Occasion& occasion) {
  const std::scoped_lock lock(mutex_);
  std::string reason = shut_;
  if (occasion.now >= until_) reason = "the credential it was shown with has expired";
  if (reason.empty()) {
    const policy::Decision decision = grants_.decide(action, name);
    if (decision.allowed) {
      if (!is_recorded(action) ||
          record(action, name, occasion, AuditDecision::allowed, decision.reason())) {
        return std::nullopt;
      }
      return "the node cannot write its audit log";
    }
    reason = decision.reason();
  }
  record_refusal(action, name, occasion, reason);
  return fmt::format("{} of {} is not allowed: {}", policy::to_string(action), name_text(name),
                     reason);
}

bool SessionGate::record(Action action, const Name& name, const Occasion& occasion,
                         AuditDecision decision, std::string_view reason) const {
  if (audit_ == nullptr) return true;
  return audit_->write({.who = owner_.who,
                        .action = policy::to_string(action),
                        .what = name_text(name),
                        .from = owner_.from,
                        .decision = decision,
                        .reason = reason,
                        .trace = trace_text(occasion.trace)});
}

void SessionGate::record_refusal(Action action, const Name& name, const Occasion& occasion,
                                 std::string_view reason) {
  if (audit_ == nullptr) return;
  const protocol::Instant next = std::max(records_at_, occasion.now) + kRecordInterval;
  if (next - occasion.now > kRecordInterval * kRefusalRecordsBurst) {
    ++unwritten_;
    return;
  }
  records_at_ = next;
  const std::uint64_t more = std::exchange(unwritten_, 0);
  const std::string why = more == 0
                              ? std::string(reason)
                              : fmt::format("{}; {} more before were not written", reason, more);
  // It is refused either way.
  static_cast<void>(record(action, name, occasion, AuditDecision::refused, why));
}

protocol::QosClass SessionGate::lowered(protocol::QosClass wanted) const {
  return std::max(wanted,
                  static_cast<protocol::QosClass>(ceiling_.load(std::memory_order_relaxed)));
}

LimitHit SessionGate::begin_call(protocol::Instant now, bool& lasts) {
  lasts = false;
  const std::uint32_t in_flight_max = in_flight_max_.load(std::memory_order_relaxed);
  if (in_flight_max != 0 && !usage_->enter(in_flight_max)) return LimitHit::in_flight;
  if (!take_message(now)) {
    if (in_flight_max != 0) usage_->leave();
    return LimitHit::rate;
  }
  lasts = in_flight_max != 0;
  return LimitHit::none;
}

bool SessionGate::take_message(protocol::Instant now) {
  const std::uint32_t rate = calls_per_second_.load(std::memory_order_relaxed);
  return rate == 0 || usage_->take(rate, now);
}

std::string SessionGate::limit_text(LimitHit hit) const {
  if (hit == LimitHit::rate) {
    return fmt::format("{} begins more than the {} calls a second that its roles allow",
                       policy::printable(owner_.who),
                       calls_per_second_.load(std::memory_order_relaxed));
  }
  return fmt::format("{} has as many calls without an answer as its roles allow: {}",
                     policy::printable(owner_.who), in_flight_max_.load(std::memory_order_relaxed));
}

}  // namespace valkyrie::server
