#include "sdk/cpp/src/stream_side.h"

#include "sdk/cpp/src/wire.h"

namespace valkyrie::detail {
namespace {

// What a message costs beside its payload, so that empty ones do not pile up.
constexpr std::size_t kMessageOverhead = 64;

Status takes_no_more() {
  return Status(StatusCode::failed_precondition, "the stream takes no more", Outcome::not_executed);
}

}  // namespace

std::span<const std::byte> StreamSide::end_metadata(MetadataBuffer&) { return {}; }

Slot& StreamSide::write(Bytes message) {
  Slot& slot = core_.acquire(*this);
  slot.backlog = message.size() + kMessageOverhead;
  slot.payload = std::move(message);
  backlog_.fetch_add(slot.backlog, std::memory_order_relaxed);
  if (!hand_over([this, &slot] { accept_write(slot); })) core_.end_unbegun(slot);
  return slot;
}

bool StreamSide::try_write(Bytes message) {
  if (deaf_.load(std::memory_order_relaxed)) return false;
  if (backlog_.load(std::memory_order_relaxed) >= kTryBacklogMax) return false;
  return write_unattended(std::move(message));
}

bool StreamSide::write_unattended(Bytes message) {
  Slot& slot = core_.acquire(*this);
  slot.hold.store(Hold::dropped, std::memory_order_relaxed);
  slot.done = true;
  slot.backlog = message.size() + kMessageOverhead;
  slot.payload = std::move(message);
  backlog_.fetch_add(slot.backlog, std::memory_order_relaxed);
  if (hand_over([this, &slot] { accept_write(slot); })) return true;
  core_.end_unbegun(slot);
  core_.drop(slot);
  return false;
}

Slot& StreamSide::read() {
  Slot& slot = core_.acquire(*this);
  if (!hand_over([this, &slot] { accept_read(slot); })) core_.end_unbegun(slot);
  return slot;
}

void StreamSide::advance() {
  if (over_ || (stream_ == 0 && !open())) return;
  while (Slot* slot = unsent_.pop()) {
    if (send(*slot)) continue;
    unsent_.push_front(*slot);
    core_.streams().wait_for_room(*this);
    return;
  }
  if (!output_ended_ || end_sent_) return;
  end_sent_ = true;
  MetadataBuffer buffer;
  static_cast<void>(link_->session().send_end(stream_, end_metadata(buffer)));
}

void StreamSide::accept_write(Slot& slot) {
  slot.owed = true;  // A user who drops it now takes back nothing.
  if (over_ || output_ended_) return end_write(slot, status_.ok() ? takes_no_more() : status_);
  if (unsent_.empty() && stream_ != 0 && send(slot)) return;
  unsent_.push_back(slot);
  core_.streams().wait_for_room(*this);
}

// False: it must wait. A slot that waits with the session ends when it is flushed, or with the
// stream, of whose end the session may be about to speak.
bool StreamSide::send(Slot& slot) {
  protocol::Session& session = link_->session();
  protocol::Outgoing data{.payload = BytesView(slot.payload).span(), .qos = qos_};
  if (slot.payload.size() >= protocol::kSharedPayloadBytes) {
    data.owner = std::make_shared<const Bytes>(slot.payload);
  }
  const auto sent = session.send_data(stream_, data);
  if (sent && !sent->waiting) {
    end_write(slot, {});
    return true;
  }
  if (!sent && sent.error() == protocol::SendError::queue_full) return false;
  if (!sent && sent.error() == protocol::SendError::too_large) {
    const std::size_t bytes_max = session.peer().stream_message_bytes_max;
    end_write(slot, Status(StatusCode::resource_exhausted,
                           too_large_text(slot.payload.size(), bytes_max), Outcome::not_executed));
    return true;
  }
  slot.payload = {};  // The session has its copy, or its share.
  waiting_.push_back(slot);
  return true;
}

void StreamSide::end_write(Slot& slot, const Status& status) {
  backlog_.fetch_sub(slot.backlog, std::memory_order_relaxed);
  slot.payload = {};
  slot.owed = false;
  if (slot.done) return core_.settle(slot);
  slot.done = true;
  core_.finish_later(slot, status);
}

void StreamSide::end_writes(const Status& why) {
  for (SlotList* list : {&waiting_, &unsent_}) {
    while (Slot* slot = list->pop()) end_write(*slot, why);
  }
}

void StreamSide::on_flushed(const protocol::Event&) {
  if (Slot* slot = waiting_.pop()) end_write(*slot, {});
}

void StreamSide::end_output() {
  if (output_ended_ || over_) return;
  output_ended_ = true;
  advance();
}

bool StreamSide::abandon_output(const Status& why) {
  deaf_.store(true, std::memory_order_relaxed);
  output_ended_ = true;
  const bool clear = unsent_.empty() && waiting_.empty();
  end_writes(why.ok() ? takes_no_more() : why);
  return clear;
}

void StreamSide::accept_read(Slot& slot) {
  if (reader_ != nullptr) {
    slot.done = true;
    return core_.finish_later(
        slot, Status(StatusCode::failed_precondition, "the stream is being read already",
                     Outcome::not_executed));
  }
  if (!inbox_.empty()) {
    Received received = inbox_.pop();
    return deliver(slot, std::move(received.message), received.cost);
  }
  if (input_ended_) return deliver_end(slot);
  reader_ = &slot;
  let_grow();
}

void StreamSide::consume(std::uint32_t cost) {
  if (link_ != nullptr && cost > 0) link_->session().consume(stream_, cost);
}

void StreamSide::let_grow() {
  if (withheld_ > 0 && expects_message()) consume(std::exchange(withheld_, 0));
}

void StreamSide::deliver(Slot& slot, Bytes message, std::uint32_t cost) {
  consume(cost);
  Delivery delivery;
  delivery.payload = message;
  delivery.owned = std::move(message);
  slot.done = true;
  core_.finish_later(slot, std::move(delivery));
}

void StreamSide::deliver_end(Slot& slot) {
  slot.done = true;
  core_.finish_later(slot, Delivery{.status = status_, .end = status_.ok()});
}

// The parts of a message that somebody waits for give their credit back at once, or it could never
// become whole; other credit returns when the message is read.
void StreamSide::on_data(Link& link, const protocol::Event& event) {
  if (input_ended_) return link.session().consume(event.stream, event.cost);
  if (event.more || assembling_) {
    assembly_.reserve(assembly_.size() + event.payload.size() + event.to_come);
    assembly_.append(BytesView(event.payload).text());
    assembling_ = event.more;
    withheld_ += event.cost;
    if (event.more) return let_grow();
    return on_message(Bytes::take(std::exchange(assembly_, std::string())),
                      std::exchange(withheld_, 0));
  }
  auto keeper = std::as_const(link).session().payload_owner();
  on_message(keeper != nullptr ? Bytes::share(std::move(keeper), event.payload)
                               : Bytes::copy(event.payload),
             event.cost);
}

void StreamSide::on_message(Bytes message, std::uint32_t cost) {
  if (reader_ == nullptr) {
    inbox_.push({.message = std::move(message), .cost = cost});
  } else {
    deliver(*std::exchange(reader_, nullptr), std::move(message), cost);
  }
}

void StreamSide::end_input(Status why, bool drop_unread) {
  status_ = std::move(why);
  input_ended_ = true;
  assembly_ = {};
  consume(std::exchange(withheld_, 0));
  while (drop_unread && !inbox_.empty()) consume(inbox_.pop().cost);
  if (reader_ != nullptr) deliver_end(*std::exchange(reader_, nullptr));
}

void StreamSide::end(Status why) {
  if (over_) return;
  over_ = true;
  link_ = nullptr;
  core_.streams().forget(*this);
  static_cast<void>(abandon_output(why));
  end_input(std::move(why), /*drop_unread=*/false);
}

// A read that is given up leaves the message for the next one; a write cannot be taken back.
void StreamSide::give_up(Slot& slot, const Status& status) {
  if (&slot == reader_) reader_ = nullptr;
  if (slot.done) return;
  slot.done = true;
  if (!slot.owed) core_.finish_later(slot, status);
}

Operation* stream_write(StreamSide& side, Bytes message) { return &side.write(std::move(message)); }

bool stream_try_write(StreamSide& side, Bytes message) {
  return side.try_write(std::move(message));
}

Operation* stream_read(StreamSide& side) { return &side.read(); }

}  // namespace valkyrie::detail
