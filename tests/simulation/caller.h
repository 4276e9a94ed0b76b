// A client program of a world: calls, and again what failed or is slow and may be; cancels, ends
// and resets its streams, reads late; and opens streams, as the streamer it is.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sdk/cpp/src/retry_policy.h"
#include "tests/simulation/streamer.h"

namespace valkyrie::simulation {

// See the top of the file.
class Caller final : public Streamer {
 public:
  using Streamer::Streamer;

  // Calls, or notifies; whether the session took it.
  bool call(const Ask& ask);
  // Gives up one of its calls.
  void cancel_any();
  // ENDs, or else resets, one of its streams. The next call to the service opens another.
  void leave_stream(bool in_order);
  // From now on it makes no call again.
  void stop_retrying();

  [[nodiscard]] std::optional<Instant> deadline() const override;
  void on_deadline() override;

 private:
  struct Running {
    std::uint32_t stream = 0;
    std::uint32_t correlation = 0;
  };

  void on_call_over(CallId id);
  void on_hedge_due(CallId id);
  void give_up(CallId id);
  [[nodiscard]] std::optional<Ask> another_attempt(const CallRecord& call);
  [[nodiscard]] std::vector<CallId> running_attempts(CallId origin) const;
  void on_program_event(const protocol::Event& event) override;
  std::uint32_t stream_to(const Ask& ask);
  void forget(std::uint32_t stream);

  std::map<std::pair<std::string, std::uint8_t>, std::uint32_t> streams_;
  std::map<CallId, Running> running_;
  std::multimap<Instant, CallId> deadlines_;
  // As the SDK retries.
  valkyrie::detail::RetryBudget retry_budget_;
  std::map<CallId, std::uint8_t> repeats_;  // By first attempt: how many followed.
  std::multimap<Instant, Ask> retries_;
  std::multimap<Instant, CallId> hedges_;
  bool retries_stopped_ = false;
};

}  // namespace valkyrie::simulation
