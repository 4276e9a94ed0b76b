// The gate of a session: what its peer may do now, how much, and the record of what was refused it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "protocol/constants.h"
#include "protocol/time.h"
#include "server/ops/usage.h"
#include "server/policy/audit_sink.h"
#include "server/policy/gate.h"
#include "server/policy/policy.h"

namespace valkyrie::server {

// Refusals that a gate writes down at once, beyond one a second. Of those beyond it only the number
// is written, so that nobody fills a disk by asking.
inline constexpr std::uint32_t kRefusalRecordsBurst = 20;

// Whose gate it is.
struct GateOwner {
  std::string who;   // Subject of the identity.
  std::string from;  // Address, for people.
};

// Any thread. No clock: time is an argument.
class SessionGate final : public policy::Gate {
 public:
  // Keeps `audit`, which may be null, by reference. `usage` is that of the identity. At `until`, if
  // it is said, it closes for good.
  SessionGate(policy::Grants grants, GateOwner owner, policy::AuditSink* audit,
              std::shared_ptr<Usage> usage, std::optional<protocol::Instant> until = std::nullopt);

  // From now on the identity may do this.
  void replace(policy::Grants grants);
  // From now on nothing passes; `why` is what peers are told.
  void shut(std::string why);

  // Gate. Writes down what is refused, and acts of administration: one that has to be written down
  // and cannot is refused.
  [[nodiscard]] std::optional<std::string> denial_of(policy::Action action,
                                                     const policy::Name& name,
                                                     const policy::Occasion& occasion) override;
  [[nodiscard]] policy::Grants grants() const override;
  [[nodiscard]] std::uint32_t generation() const override {
    return generation_.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool unchanged(std::uint32_t generation, protocol::Instant now) const override {
    return generation_.load(std::memory_order_acquire) == generation && now < until_;
  }
  [[nodiscard]] policy::LimitHit begin_call(protocol::Instant now, bool& lasts) override;
  void end_call() override { usage_->leave(); }
  [[nodiscard]] bool take_message(protocol::Instant now) override;
  [[nodiscard]] std::string limit_text(policy::LimitHit hit) const override;
  [[nodiscard]] protocol::QosClass lowered(protocol::QosClass wanted) const override;

 private:
  [[nodiscard]] bool record(policy::Action action, const policy::Name& name,
                            const policy::Occasion& occasion, policy::AuditDecision decision,
                            std::string_view reason) const;
  void record_refusal(policy::Action action, const policy::Name& name,
                      const policy::Occasion& occasion, std::string_view reason);
  void take_limits(const policy::RoleLimits& limits);

  const GateOwner owner_;
  policy::AuditSink* const audit_;
  const std::shared_ptr<Usage> usage_;
  const protocol::Instant until_;
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<std::uint32_t> calls_per_second_{0};  // 0: no limit.
  std::atomic<std::uint32_t> in_flight_max_{0};     // The same.
  std::atomic<std::uint8_t> ceiling_{0};

  mutable std::mutex mutex_;  // Guards all below.
  policy::Grants grants_;
  std::string shut_;                // Why; empty: it is not.
  protocol::Instant records_at_{};  // When as many refusals may be written at once as ever.
  std::uint64_t unwritten_ = 0;     // Refusals since the last that was written.
};

}  // namespace valkyrie::server
