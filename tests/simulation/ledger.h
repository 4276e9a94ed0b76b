// Every call of a world: what was asked, what a service saw of it, and how it ended. What cannot be
// true throws a Violation at the moment it is told.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/constants.h"
#include "protocol/event.h"
#include "protocol/time.h"

namespace valkyrie::simulation {

// Names a call in its world; never 0.
using CallId = std::uint64_t;

// What a caller asks for.
struct Ask {
  std::string target;  // A service of the world, or the node's own.
  std::uint32_t bytes = 0;
  std::optional<protocol::Duration> deadline{};
  std::uint8_t options = 0;
  std::uint8_t qos = protocol::kQosDefault;
  bool notify = false;
  bool idempotent = false;                          // It may run twice,
  std::optional<protocol::Duration> hedge_after{};  // and does where it takes longer.
  std::uint8_t attempt = 0;                         // Made again so often,
  CallId origin = 0;                                // since this first one.
  bool must_succeed = false;  // Nothing in this world excuses another end than an ok one.
};

// How a service answers.
struct Reply {
  enum class Kind : std::uint8_t { ok, error, shed };
  Kind kind = Kind::ok;
  std::uint32_t bytes = 0;  // Of an ok one.
};

// The codes of what a service says where it says no.
inline constexpr protocol::StatusCode kErrorCode = protocol::StatusCode::internal;
inline constexpr protocol::StatusCode kShedCode = protocol::StatusCode::aborted;

// A call and what became of it.
struct CallRecord {
  CallId id = 0;
  Ask ask;
  std::uint32_t caller = 0;
  protocol::Instant asked{};
  bool taken = true;        // The caller's session took it.
  bool over = false;        // It has its outcome.
  bool ended_here = false;  // By the caller's side, not by a response.
  protocol::StatusCode code = protocol::StatusCode::ok;
  protocol::Outcome outcome = protocol::Outcome::executed;
  bool cancel_asked = false;  // By its caller.
  bool told = false;          // The service, that nobody waits any more.
  std::uint32_t seen_by = 0;  // The service program that saw it; 0: none.
  std::optional<Reply> reply;
};

// See the top of the file.
class Ledger {
 public:
  // A caller is about to send a call, and then: its session did not take it.
  CallRecord& ask(std::uint32_t caller, const Ask& ask, protocol::Instant now);
  void not_taken(CallId id) { record(id).taken = false; }

  // A service got a request or notify; its record.
  CallRecord& seen(std::uint32_t service, std::string_view target, const protocol::Event& event);
  // A service answers.
  void replied(CallId id, const Reply& reply) { record(id).reply = reply; }

  // A caller's session gave a response, or said that none will come.
  void answered(std::uint32_t caller, const protocol::Event& event);
  void failed(std::uint32_t caller, const protocol::Event& event);

  // The call with this id; a Violation if there was none.
  [[nodiscard]] CallRecord& record(CallId id);
  // All calls, in the order they were made.
  [[nodiscard]] const std::vector<CallRecord>& calls() const { return calls_; }

  // At the end of the world: each call has its one outcome, and no caller has repeated more than
  // its budget allows.
  void check_all_over() const;
  // Calls that must succeed have done so, unless younger than `patience`.
  void check_progress(protocol::Instant now, protocol::Duration patience) const;

 private:
  void check_repeat(const CallRecord& call) const;
  void check_budgets() const;
  void end(CallRecord& call, protocol::StatusCode code, protocol::Outcome outcome);
  void check_answer(const CallRecord& call, const protocol::Event& event) const;

  std::vector<CallRecord> calls_;
};

// A call for a message.
std::string describe(const CallRecord& call);

}  // namespace valkyrie::simulation
