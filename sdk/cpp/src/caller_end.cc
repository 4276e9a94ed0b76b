// How calls end: responses, failures, retries, deadlines, cancellation.
#include <algorithm>
#include <utility>

#include "protocol/assert.h"
#include "sdk/cpp/src/caller.h"
#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/incoming.h"
#include "sdk/cpp/src/wire.h"

namespace valkyrie::detail {

void Caller::on_response(Link& link, const protocol::Event& event) {
  Slot& slot = *reinterpret_cast<Slot*>(event.cookie);
  link.session().consume(event.stream, event.cost);
  slot.owed = false;
  if (slot.done) {
    core_.settle(slot);
  } else {
    Delivery delivery;
    if (!event.metadata.empty()) {
      delivery.status = status_of(event.metadata);
      delivery.object = pairs_of(event.metadata);
    }
    if (delivery.status.ok()) delivery.payload = event.payload;
    end_attempt(slot, delivery);
  }
  if (!waiting_.empty()) pump();
}

void Caller::on_request_failed(const protocol::Event& event) {
  Slot& slot = *reinterpret_cast<Slot*>(event.cookie);
  slot.owed = false;
  if (slot.done) {
    core_.settle(slot);
    return;
  }
  const auto outcome = static_cast<Outcome>(event.outcome);
  if (slot.ending) {
    end_given_up(slot, outcome);
    return;
  }
  Delivery delivery{.status = core_.ending()
                                  ? Status(StatusCode::cancelled, "the client was closed", outcome)
                                  : status_of_failure(event, *slot.link)};
  end_attempt(slot, delivery);
}

// One of the attempts at a call, mostly the only one, is over: what becomes of the call?
void Caller::end_attempt(Slot& attempt, Delivery& delivery) {
  Slot& slot = attempt.primary == nullptr ? attempt : *attempt.primary;
  if (&attempt != &slot) drop_attempt(attempt);
  if (!delivery.status.ok()) {
    const bool unseen = delivery.status.outcome() == Outcome::not_executed;
    slot.maybe_executed = slot.maybe_executed || !unseen;
    // What says nothing about the call does not end it while another attempt may still succeed.
    const bool says_nothing = unseen || delivery.status.code() == StatusCode::unavailable;
    if (says_nothing && (slot.owed || slot.hedges != nullptr)) return;
    if (retry(slot, delivery.status)) return;
    if (unseen && slot.maybe_executed) {
      delivery.status = Status(delivery.status.code(), delivery.status.message(),
                               Outcome::maybe_executed, delivery.status.details());
    }
  }
  if (slot.owed) slot.link->session().cancel(slot.stream, slot.correlation);
  complete(slot, delivery);
}

// The answer is awaited, and where the call is hedged, so is the time of the next attempt.
void Caller::await_answer(Slot& slot) {
  std::uint8_t out = 1;
  for (const Slot* other = slot.hedges; other != nullptr; other = other->next_hedge) ++out;
  const protocol::Instant next = core_.now() + slot.hedge_delay;
  slot.hedge_due =
      out < slot.hedge_attempts && slot.attempts < kAttemptsMax && next < slot.deadline;
  core_.reactor().timers().arm(slot.timer, slot.hedge_due ? next : slot.deadline);
}

// Makes the call once more beside the attempts that are out. Where the connection or the budget do
// not allow it now, the call goes on as it is.
void Caller::hedge(Slot& slot) {
  if (!core_.closing() && core_.link() != nullptr && waiting_.empty() && retry_budget_.spend()) {
    Slot& attempt = core_.acquire(*this);
    attempt.hold.store(Hold::dropped, std::memory_order_relaxed);  // Its end is the call's affair.
    attempt.binding = slot.binding;
    attempt.qos = slot.qos;
    attempt.attempts = slot.attempts;
    attempt.deadline = slot.deadline;
    attempt.primary = &slot;
    attempt.next_hedge = std::exchange(slot.hedges, &attempt);
    const bool is_handled = send(attempt, slot.body());
    if (slot.hedges == &attempt && is_handled) {
      ++slot.attempts;
    } else {
      retry_budget_.give_back();
      if (slot.hedges == &attempt) drop_attempt(attempt);
    }
  }
  await_answer(slot);
}

// Takes a further attempt off its call. The session may still have its last word.
void Caller::drop_attempt(Slot& attempt) {
  Slot** link = &attempt.primary->hedges;
  while (*link != &attempt) link = &(*link)->next_hedge;
  *link = attempt.next_hedge;
  attempt.primary = nullptr;
  attempt.done = true;
  if (!attempt.owed) core_.settle(attempt);
}

// Nobody waits for the further attempts any more.
void Caller::cancel_attempts(Slot& slot) {
  while (Slot* attempt = slot.hedges) {
    attempt->link->session().cancel(attempt->stream, attempt->correlation);
    drop_attempt(*attempt);
  }
}

// True: the call goes on.
bool Caller::retry(Slot& slot, const Status& status) {
  const bool may = may_retry(static_cast<protocol::StatusCode>(status.code()),
                             static_cast<protocol::Outcome>(status.outcome()), slot.repeatable);
  if (!may || !slot.retained || slot.ending) return false;
  if (core_.closing() || slot.attempts >= kAttemptsMax) return false;
  const protocol::Duration pause = retry_pause(slot.attempts, core_.random());
  if (core_.now() + pause >= slot.deadline || !retry_budget_.spend()) return false;
  slot.link = nullptr;
  slot.hedge_due = false;
  slot.retrying = true;
  retrying_.push_back(slot);
  core_.reactor().timers().arm(slot.timer, core_.now() + pause);
  return true;
}

void Caller::on_timer(Slot& slot) {
  if (std::exchange(slot.hedge_due, false)) return hedge(slot);
  if (!slot.retrying) {
    give_up(slot, Status(StatusCode::deadline_exceeded));
    return;
  }
  slot.retrying = false;
  retrying_.remove(slot);
  core_.reactor().timers().arm(slot.timer, slot.deadline);
  if (!waiting_.empty() || !send(slot, slot.body())) wait(slot, slot.body());
}

// What the session still holds fails at once as not executed; of what has left, only the answer
// could tell more, and the caller does not wait for that.
void Caller::give_up(Slot& slot, const Status& status) {
  if (slot.ending) return;
  slot.end_code = status.code();
  slot.maybe_executed = slot.maybe_executed || slot.hedges != nullptr;
  cancel_attempts(slot);
  if (!slot.owed) {
    end_given_up(slot, Outcome::not_executed);
    return;
  }
  slot.link->session().cancel(slot.stream, slot.correlation);
  slot.timer.cancel();
  slot.ending = true;
  ending_.push_back(slot);
  core_.at_end_of_turn();
}

bool Caller::end_of_turn() {
  while (Slot* slot = ending_next_.front()) end_given_up(*slot, Outcome::maybe_executed);
  std::swap(ending_, ending_next_);
  for (Slot* slot = ending_next_.front(); slot != nullptr; slot = slot->next) slot->judged = true;
  return !ending_next_.empty();
}

void Caller::end_given_up(Slot& slot, Outcome outcome) {
  if (slot.maybe_executed && outcome == Outcome::not_executed) outcome = Outcome::maybe_executed;
  fail(slot, slot.end_code, given_up_text(slot, outcome), outcome);
}

void Caller::fail(Slot& slot, StatusCode code, std::string_view text, Outcome outcome) {
  Delivery delivery{.status = Status(code, text, outcome)};
  complete(slot, delivery);
}

void Caller::complete(Slot& slot, Delivery& delivery) {
  VALKYRIE_ASSERT(!slot.done);
  // A further attempt that cannot be made is no end of its call.
  if (slot.primary != nullptr) return drop_attempt(slot);
  if (slot.hedges != nullptr) cancel_attempts(slot);
  if (slot.waiting) unwait(slot);
  if (slot.retrying) retrying_.remove(slot);
  if (slot.ending) (slot.judged ? ending_next_ : ending_).remove(slot);
  slot.timer.cancel();
  if (slot.parent != nullptr) leave_parent(slot);
  if (slot.extras != nullptr) slot.extras.reset();
  slot.done = true;
  --outstanding_;
  Binding& binding = *slot.binding;
  if (--binding.in_flight == 0 && binding.released) release(binding);
  core_.finish(slot, delivery);
  if (core_.closing()) core_.check_closing();
}

// Completions may begin calls, but those end at once while closing. What a session has ends with
// that session.
void Caller::end_all() {
  for (SlotList* list : {&waiting_, &retrying_}) {
    while (Slot* slot = list->front()) {
      fail(*slot, StatusCode::cancelled, "the client was closed", Outcome::not_executed);
    }
  }
}

void Caller::adopt_by_parent(Slot& slot) {
  Incoming& parent = *slot.parent;
  slot.previous_child = nullptr;
  slot.next_child = parent.children;
  if (parent.children != nullptr) parent.children->previous_child = &slot;
  parent.children = &slot;
  slot.adopted = true;
}

void Caller::leave_parent(Slot& slot) {
  Incoming& parent = *std::exchange(slot.parent, nullptr);
  if (slot.adopted) {
    slot.adopted = false;
    (slot.previous_child == nullptr ? parent.children : slot.previous_child->next_child) =
        slot.next_child;
    if (slot.next_child != nullptr) slot.next_child->previous_child = slot.previous_child;
  }
  parent.release();
}

void Caller::give_up_children(Incoming& parent) {
  while (Slot* child = parent.children) {
    leave_parent(*child);
    give_up(*child, Status(StatusCode::cancelled));
  }
}

}  // namespace valkyrie::detail
