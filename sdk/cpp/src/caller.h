// The calling side of a client: bound targets, requests in flight, retries. Private to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocol/session.h"
#include "sdk/cpp/src/retry_policy.h"
#include "sdk/cpp/src/slot.h"
#include "sdk/cpp/src/stream_user.h"
#include "valkyrie/client.h"

namespace valkyrie::detail {

// A target with its defaults, and the `call` stream it has on the connection in use. Made on any
// thread; the second half belongs to the loop.
class Binding final : public StreamUser {
 public:
  Binding(Core& its_core, std::string_view target, const CallOptions& defaults);

  void on_over(Link& its_link, const protocol::Event& event) override;

  Core& core;
  CoreHandle token;    // Of those that a Method refers to.
  std::string target;  // "service/method"
  std::string service;
  std::string method;
  Status error;  // Not ok: every call ends so.
  protocol::Duration deadline;
  std::uint8_t qos;
  bool idempotent;
  Hedging hedging;

  Link* link = nullptr;  // Whose stream it has; nullptr: none.
  std::uint32_t stream = 0;
  std::uint32_t open_streams = 0;  // The old ones on draining connections included.
  std::uint32_t in_flight = 0;
  std::uint64_t used = 0;  // When it was looked up last, of cached ones.
  bool released = false;   // No Method refers to it.
};

class Caller final : public SlotOwner {
 public:
  // Bindings kept for Client::call(): their streams must leave room for others (a node allows 256).
  static constexpr std::size_t kCachedMax = 128;

  explicit Caller(Core& core) : core_(core) {}
  ~Caller();

  // Any thread.
  [[nodiscard]] std::shared_ptr<Binding> bind(Target target, const CallOptions& defaults);
  [[nodiscard]] Slot& call(Binding& binding, BytesView body, const CallOptions& options);
  [[nodiscard]] Slot& call(std::string_view target, BytesView body, const CallOptions& options);
  Result<void> notify(Binding& binding, BytesView body);
  Result<void> notify(std::string_view target, BytesView body);

  // All below on the loop.
  void give_up(Slot& slot, const Status& status) override;
  void on_timer(Slot& slot) override;
  void on_response(Link& link, const protocol::Event& event);
  void on_request_failed(const protocol::Event& event);
  // Hands waiting calls to the session, as far as it takes them.
  void pump();
  // The node behind the connection is leaving: ends its streams.
  void leave(Link& link);
  // Finishes what was given up and about which the session knew no better. True: call again.
  bool end_of_turn();
  // Gives up the calls made for a call whose caller gave up.
  void give_up_children(Incoming& parent);
  // Ends every call that no session has, as cancelled.
  void end_all();
  // Calls that have not ended.
  [[nodiscard]] std::size_t outstanding() const { return outstanding_; }
  [[nodiscard]] bool waiting() const { return !waiting_.empty(); }

 private:
  friend class Binding;

  // What became of an attempt to send: the call is sent or over, has to wait, may be tried again at
  // once, or (of opening its stream) goes on.
  enum class Sending : std::uint8_t { done, wait, again, go_on };

  void prepare(Slot& slot, Binding* binding, const CallOptions& options);
  static void set_repeats(Slot& slot, const CallOptions& options);
  void resolve(Slot& slot, const CallOptions& options);
  Slot& submit(Slot& slot, BytesView body);
  void begin(Slot& slot, BytesView body);
  [[nodiscard]] bool send(Slot& slot, BytesView body);
  [[nodiscard]] Sending try_send(Slot& slot, BytesView body, Link& link);
  [[nodiscard]] Sending open(Slot& slot, Link& link);
  [[nodiscard]] Sending refused(Slot& slot, protocol::SendError error, std::size_t bytes);
  void wait(Slot& slot, BytesView body);
  void unwait(Slot& slot);
  void await_answer(Slot& slot);
  void hedge(Slot& slot);
  void end_attempt(Slot& attempt, Delivery& delivery);
  void drop_attempt(Slot& attempt);
  void cancel_attempts(Slot& slot);
  [[nodiscard]] bool retry(Slot& slot, const Status& status);
  void complete(Slot& slot, Delivery& delivery);
  void fail(Slot& slot, StatusCode code, std::string_view text, Outcome outcome);
  void end_given_up(Slot& slot, Outcome outcome);
  void adopt_by_parent(Slot& slot);
  void leave_parent(Slot& slot);
  [[nodiscard]] Binding& cached(std::string_view target);
  void detach(Binding& binding);
  void release(Binding& binding);
  void dispose_if_idle(Binding& binding);
  [[nodiscard]] bool evict_idle();

  struct TargetHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  Core& core_;
  std::unordered_map<std::string, Binding*, TargetHash, std::equal_to<>> cache_;
  std::uint64_t uses_ = 0;
  std::vector<Binding*> open_;  // Those with a stream on a connection.
  SlotList waiting_;
  std::size_t waiting_bytes_ = 0;
  SlotList retrying_;     // Pause before their next attempt.
  SlotList ending_;       // Given up in this round of the turn.
  SlotList ending_next_;  // In the round before: the session has answered by now, if it can.
  std::size_t outstanding_ = 0;
  bool pumping_ = false;
  RetryBudget retry_budget_;
};

}  // namespace valkyrie::detail
