// What one peer has to pass for everything that it asks of a node: its permissions as they are now,
// its limits, and the record of what was refused.
//
// Pure, as all that asks it may run in the simulator; a node's own is server/ops/session_gate.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "protocol/constants.h"
#include "protocol/time.h"
#include "server/policy/policy.h"

namespace valkyrie::policy {

// Beside the question, what is known of who asks it.
struct Occasion {
  protocol::Instant now{};
  std::span<const std::byte> trace{};  // Value of TRACE; empty: none.
};

// Why a call is not begun.
enum class LimitHit : std::uint8_t { none, rate, in_flight };

// One session's, or one delegated credential's. Any thread: it is asked by whatever part of a node
// does the work, and meanwhile a renewed credential or a policy that was read again changes it.
class Gate {
 public:
  virtual ~Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // What to tell a peer that asks for something it may not do; nullopt if it may.
  [[nodiscard]] virtual std::optional<std::string> denial_of(Action action, const Name& name,
                                                             const Occasion& occasion) = 0;
  // What the identity is given, as it is now.
  [[nodiscard]] virtual Grants grants() const = 0;
  // Changes with what passes: an answer of denial_of() may be kept as long as unchanged() says so.
  [[nodiscard]] virtual std::uint32_t generation() const = 0;
  // Whether nothing has changed since generation() was this.
  [[nodiscard]] virtual bool unchanged(std::uint32_t generation, protocol::Instant now) const = 0;

  // Counts a call that begins against the identity's limits. If it is begun and `lasts` is then
  // true, end_call() is to follow when it is over.
  [[nodiscard]] virtual LimitHit begin_call(protocol::Instant now, bool& lasts) = 0;
  // One that lasted is over.
  virtual void end_call() = 0;
  // Counts a message that nobody waits for; false if it is one too many.
  [[nodiscard]] virtual bool take_message(protocol::Instant now) = 0;
  // What to tell a peer whose call is not begun.
  [[nodiscard]] virtual std::string limit_text(LimitHit hit) const = 0;
  // The class that is given to what asks for `wanted`.
  [[nodiscard]] virtual protocol::QosClass lowered(protocol::QosClass wanted) const = 0;

 protected:
  Gate() = default;
};

// As Gate::denial_of() of a peer that may have none: null may do everything.
[[nodiscard]] inline std::optional<std::string> denial_of(Gate* gate, Action action,
                                                          const Name& name,
                                                          const Occasion& occasion) {
  return gate == nullptr ? std::nullopt : gate->denial_of(action, name, occasion);
}

}  // namespace valkyrie::policy
