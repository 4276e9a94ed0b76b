// How calls end: responses, failures, retries, deadlines, cancellation.
#include <algorithm>
#include <utility>

#include "protocol/assert.h"
#include "sdk/cpp/src/caller.h"
#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/incoming.h"
#include "sdk/cpp/src/wire.h"

namespace valkyrie::detail {
namespace {

constexpr std::uint8_t kAttemptsMax = 3;
// Each call earns a tenth of a retry.
constexpr std::uint32_t kRetryCost = 10;
// Bound of the first pause before a retry; it doubles with each attempt.
constexpr protocol::Duration kRetryPause = std::chrono::milliseconds{20};

}  // namespace

void Caller::on_response(Link& link, const protocol::Event& event) {
  Slot& slot = *reinterpret_cast<Slot*>(event.cookie);
  link.session().consume(event.stream, event.cost);
  slot.owed = false;
  if (slot.done) {
    core_.settle(slot);
  } else {
    Delivery delivery;
    if (!event.metadata.empty()) delivery.status = status_of(event.metadata);
    if (delivery.status.ok()) {
      delivery.payload = event.payload;
    } else if (retry(slot, delivery.status)) {
      return;
    }
    complete(slot, delivery);
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
  if (core_.ending()) {
    fail(slot, StatusCode::cancelled, "the client was closed", outcome);
    return;
  }
  Delivery delivery{.status = status_of_failure(event, *slot.link)};
  if (!retry(slot, delivery.status)) complete(slot, delivery);
}

// True: the call goes on. Only what says that nobody is there is tried again: any other failure
// would come again.
bool Caller::retry(Slot& slot, const Status& status) {
  const bool safe = status.outcome() == Outcome::not_executed || slot.idempotent;
  if (status.code() != StatusCode::unavailable || !safe || !slot.retained || slot.ending) {
    return false;
  }
  if (core_.closing() || slot.attempts >= kAttemptsMax || retry_budget_ < kRetryCost) return false;
  const auto bound = static_cast<double>((kRetryPause * (1 << slot.attempts)).count());
  const protocol::Duration pause{static_cast<std::int64_t>(core_.random() * bound)};
  if (core_.now() + pause >= slot.deadline) return false;
  retry_budget_ -= kRetryCost;
  slot.link = nullptr;
  slot.retrying = true;
  retrying_.push_back(slot);
  core_.reactor().timers().arm(slot.timer, core_.now() + pause);
  return true;
}

void Caller::on_timer(Slot& slot) {
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
  // An attempt before this one may have executed where the call is idempotent; its failure said so.
  if (slot.attempts > 1 && slot.idempotent && outcome == Outcome::not_executed) {
    outcome = Outcome::maybe_executed;
  }
  fail(slot, slot.end_code, given_up_text(slot, outcome), outcome);
}

void Caller::fail(Slot& slot, StatusCode code, std::string_view text, Outcome outcome) {
  Delivery delivery{.status = Status(code, text, outcome)};
  complete(slot, delivery);
}

void Caller::complete(Slot& slot, Delivery& delivery) {
  VALKYRIE_ASSERT(!slot.done);
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
