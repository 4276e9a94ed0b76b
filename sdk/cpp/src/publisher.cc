#include "sdk/cpp/src/publisher.h"

#include <algorithm>
#include <cstring>
#include <fmt/core.h>
#include <utility>

#include "protocol/subject.h"
#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/wire.h"

namespace valkyrie::detail {
namespace {

Status closed() {
  return Status(StatusCode::cancelled, "the client is closed", Outcome::not_executed);
}

// The end-to-end entries of a message, for MessageQueue and try_send().
std::span<const std::byte> encode_pairs(const Metadata* metadata, MetadataBuffer& buffer) {
  if (metadata == nullptr) return {};
  protocol::MetadataWriter writer(buffer);
  for (std::size_t at = 0; auto pair = metadata->next(at);) writer.pair(pair->name, pair->value);
  return writer.finish().value_or(std::span<const std::byte>{});
}

// What differs from the stream's, then the end-to-end entries.
EncodedMetadata publish_metadata(const Message& message, std::string_view stream_subject,
                                 MetadataBuffer& buffer) {
  protocol::MetadataWriter writer(buffer);
  if (message.subject != stream_subject) {
    writer.put(protocol::MetadataKey::subject, message.subject);
  }
  if (message.level > 1) writer.octet(protocol::MetadataKey::ack_level, message.level);
  const auto hop = writer.finish();
  if (!hop) return std::unexpected(protocol::to_string(hop.error()));
  if (message.pairs.empty()) return *hop;
  if (hop->size() + message.pairs.size() > buffer.size()) {
    return std::unexpected("the metadata is too long");
  }
  std::memcpy(buffer.data() + hop->size(), message.pairs.data(), message.pairs.size());
  return std::span(buffer).first(hop->size() + message.pairs.size());
}

}  // namespace

Publisher::Publisher(Core& core) : core_(core) {
  for (Lane& lane : lanes_) lane.publisher = this;
}

Status Publisher::check(Subject subject, BytesView payload) {
  if (const auto error = protocol::check_subject(subject.text(), protocol::SubjectForm::subject)) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("\"{}\" cannot be published to: {}", subject.text(),
                              protocol::to_string(*error)),
                  Outcome::not_executed);
  }
  if (protocol::is_node_subject(subject.text())) {
    return Status(StatusCode::permission_denied,
                  fmt::format("\"{}\" is a subject of the node", subject.text()),
                  Outcome::not_executed);
  }
  const std::uint32_t bytes_max = payload_bytes_max_.load(std::memory_order_relaxed);
  if (bytes_max > 0 && payload.size() > bytes_max) {
    return Status(StatusCode::resource_exhausted, too_large_text(payload.size(), bytes_max),
                  Outcome::not_executed);
  }
  return {};
}

bool Publisher::reserve(const Message& message) {
  const std::size_t bytes = MessageQueue::bytes_of(message);
  if (waiting_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes <=
      core_.options().waiting_bytes_max) {
    return true;
  }
  waiting_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

// False: the loop has ended, and the message stays with the caller.
bool Publisher::hand_over(const Message& message) {
  // Under the lock: what other threads put beside it must not depend on a post that fails.
  const std::lock_guard lock(mutex_);
  if (!announced_) {
    announced_ = core_.post([this] { take_in(); });
    if (!announced_) return false;
  }
  outbox_.push(message);
  return true;
}

Result<void> Publisher::publish(Subject subject, BytesView payload, const PublishOptions& options) {
  if (Status why = check(subject, payload); !why.ok()) return std::unexpected(std::move(why));
  MetadataBuffer buffer;
  const Message message{.subject = subject.text(),
                        .pairs = encode_pairs(options.metadata, buffer),
                        .payload = payload,
                        .qos = qos_byte(options.qos, options.urgency, protocol::kQosDefault)};
  const bool here = core_.on_loop();
  if (here) {
    if (core_.closing()) return std::unexpected(closed());
    used_ = true;
    Status refusal;
    Lane& lane = lane_of(message);
    if (lane.queue.empty() && send(lane, message, refusal) == Sending::done) {
      if (!refusal.ok()) return std::unexpected(std::move(refusal));
      return {};
    }
  }
  if (!reserve(message)) {
    return fail(StatusCode::resource_exhausted,
                fmt::format("{} bytes of messages wait for the node already",
                            waiting_bytes_.load(std::memory_order_relaxed)),
                Outcome::not_executed);
  }
  if (here) {
    lane_of(message).queue.push(message);
  } else if (!hand_over(message)) {
    return std::unexpected(closed());
  }
  return {};
}

Slot& Publisher::publish_acked(Subject subject, BytesView payload, AckLevel level,
                               const PublishOptions& options) {
  Slot& slot = core_.acquire(*this);
  slot.time_limit = options.deadline > Duration::zero() ? options.deadline : kDeadlineDefault;
  slot.time_limit = std::min<Duration>(slot.time_limit, protocol::kDeadlineMax);
  slot.deadline = core_.now() + slot.time_limit;
  MetadataBuffer buffer;
  const Message message{.subject = subject.text(),
                        .pairs = encode_pairs(options.metadata, buffer),
                        .payload = payload,
                        .slot = &slot,
                        .level = static_cast<std::uint8_t>(level),
                        .qos = qos_byte(options.qos, options.urgency, protocol::kQosDefault)};
  Status why = check(subject, payload);
  if (why.ok() && !reserve(message)) {
    why = Status(StatusCode::resource_exhausted, "too many messages wait for the node",
                 Outcome::not_executed);
  }
  if (core_.on_loop()) {
    begin(slot);
    if (!why.ok()) {
      complete(slot, {.status = std::move(why)});
    } else {
      begin_acked(message);
    }
    return slot;
  }
  const bool taken = why.ok() ? hand_over(message) : core_.post([this, &slot, why] {
    begin(slot);
    complete(slot, {.status = why});
  });
  if (!taken) core_.end_unbegun(slot);
  return slot;
}

Publisher::Lane& Publisher::lane_of(const Message& message) {
  return lanes_[std::min<std::size_t>(message.qos >> 5, lanes_.size() - 1)];
}

void Publisher::begin(Slot& slot) {
  used_ = true;
  ++outstanding_;
  core_.reactor().timers().arm(slot.timer, slot.deadline);
}

// Sends a message whose bytes were reserved, or lets it wait.
void Publisher::begin_acked(const Message& message) {
  Status refusal;
  Lane& lane = lane_of(message);
  if (core_.closing()) {
    refuse(message, refusal, closed());
  } else if (!lane.queue.empty() || send(lane, message, refusal) == Sending::wait) {
    message.slot->waiting = message.slot->owed = true;
    lane.queue.push(message);
    return;
  }
  waiting_bytes_.fetch_sub(MessageQueue::bytes_of(message), std::memory_order_relaxed);
}

// What came from other threads. While the client closes it is still sent; after the end nothing is.
void Publisher::take_in() {
  {
    const std::lock_guard lock(mutex_);
    taken_in_.swap(outbox_);
    announced_ = false;
  }
  used_ = true;
  for (; !taken_in_.empty(); taken_in_.pop()) {
    const Message message = taken_in_.front();
    if (message.slot != nullptr) {
      begin(*message.slot);
      begin_acked(message);
      continue;
    }
    Status refusal;
    Lane& lane = lane_of(message);
    if (!core_.ending() && (!lane.queue.empty() || send(lane, message, refusal) == Sending::wait)) {
      lane.queue.push(message);
      continue;
    }
    waiting_bytes_.fetch_sub(MessageQueue::bytes_of(message), std::memory_order_relaxed);
    report(refusal);
  }
}

Publisher::Sending Publisher::send(Lane& lane, const Message& message, Status& refusal) {
  Link* link = core_.link();
  if (link == nullptr || lane.stalled) return Sending::wait;
  Sending result = try_send(lane, message, *link, refusal);
  if (result == Sending::again) result = try_send(lane, message, *link, refusal);
  return result == Sending::done ? Sending::done : Sending::wait;
}

Publisher::Sending Publisher::try_send(Lane& lane, const Message& message, Link& link,
                                       Status& refusal) {
  if (lane.link != &link) {
    if (const Sending opened = open(lane, message, link, refusal); lane.link != &link) {
      return opened;
    }
  }
  MetadataBuffer buffer;
  const auto metadata = publish_metadata(message, lane.subject, buffer);
  if (!metadata) {
    refuse(message, refusal,
           Status(StatusCode::invalid_argument, metadata.error(), Outcome::not_executed));
    return Sending::done;
  }
  Slot* const slot = message.slot;
  const auto sent = link.session().send_publish(lane.stream,
                                                {.metadata = *metadata,
                                                 .payload = message.payload.span(),
                                                 .qos = message.qos,
                                                 .cookie = reinterpret_cast<std::uint64_t>(slot)},
                                                slot != nullptr);
  if (!sent) return refused(lane, message, sent.error(), refusal);
  lane.stalled = sent->waiting;
  lane.stalled_slot = sent->waiting ? slot : nullptr;
  if (slot != nullptr) {
    slot->waiting = false;
    slot->owed = true;
    slot->link = &link;
    slot->stream = lane.stream;
    slot->correlation = sent->correlation;
  }
  return Sending::done;
}

// The subject of the first message is the stream's: publishers mostly have one.
Publisher::Sending Publisher::open(Lane& lane, const Message& message, Link& link,
                                   Status& refusal) {
  MetadataBuffer buffer;
  protocol::MetadataWriter writer(buffer);
  writer.put(protocol::MetadataKey::subject, message.subject);
  const auto stream = link.session().open_stream(
      protocol::StreamKind::publish, 0, {.metadata = writer.finish().value(), .qos = message.qos},
      lane.number());
  if (!stream) return refused(lane, message, stream.error(), refusal);
  lane.link = &link;
  lane.stream = *stream;
  lane.subject = message.subject;
  lane.stalled = false;
  return Sending::again;
}

Publisher::Sending Publisher::refused(Lane& lane, const Message& message, protocol::SendError error,
                                      Status& refusal) {
  switch (error) {
    case protocol::SendError::too_large: {
      const Link* const link = core_.link();
      const std::size_t bytes_max = link->session().peer().call_message_bytes_max;
      refuse(message, refusal,
             Status(StatusCode::resource_exhausted,
                    too_large_text(message.payload.size(), bytes_max), Outcome::not_executed));
      return Sending::done;
    }
    case protocol::SendError::forbidden:
      refuse(message, refusal,
             Status(StatusCode::permission_denied, "the class is above what the node grants",
                    Outcome::not_executed));
      return Sending::done;
    case protocol::SendError::closed:
    case protocol::SendError::exhausted:
      if (lane.link == nullptr) return Sending::wait;  // It is the session that is closed.
      static_cast<void>(lane.link->session().send_end(lane.stream));
      lane.link = nullptr;
      return Sending::again;
    default:
      return Sending::wait;
  }
}

void Publisher::refuse(const Message& message, Status& refusal, Status why) {
  if (message.slot == nullptr) {
    refusal = std::move(why);
    return;
  }
  message.slot->waiting = message.slot->owed = false;
  complete(*message.slot, {.status = std::move(why)});
}

void Publisher::report(const Status& refusal) {
  if (!refusal.ok()) core_.log("a message was not published: " + refusal.to_string());
}

void Publisher::pump() {
  if (pumping_) return;
  pumping_ = true;
  for (Lane& lane : lanes_) pump(lane);
  pumping_ = false;
}

void Publisher::pump(Lane& lane) {
  while (!lane.queue.empty()) {
    const Message message = lane.queue.front();
    const std::size_t bytes = MessageQueue::bytes_of(message);
    Status refusal;
    if (message.slot != nullptr && message.slot->done) {
      message.slot->waiting = false;
      core_.settle(*message.slot);
    } else if (send(lane, message, refusal) == Sending::wait) {
      return;
    }
    waiting_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    lane.queue.pop();
    report(refusal);
  }
}

bool Publisher::waiting() const {
  return std::ranges::any_of(lanes_,
                             [](const Lane& lane) { return lane.stalled || !lane.queue.empty(); });
}

void Publisher::on_link_ready(const Link& link) {
  payload_bytes_max_.store(link.session().peer().call_message_bytes_max, std::memory_order_relaxed);
}

void Publisher::leave(Link& link) {
  for (Lane& lane : lanes_) {
    if (lane.link != &link) continue;
    static_cast<void>(link.session().send_end(lane.stream));
    lane.link = nullptr;
    lane.stalled = false;
  }
}

void Publisher::end_all() {
  for (Lane& lane : lanes_) {
    for (; !lane.queue.empty(); lane.queue.pop()) {
      const Message message = lane.queue.front();
      waiting_bytes_.fetch_sub(MessageQueue::bytes_of(message), std::memory_order_relaxed);
      if (message.slot == nullptr) continue;
      message.slot->waiting = false;
      if (message.slot->done) {
        core_.settle(*message.slot);
      } else {
        Status unused;
        refuse(message, unused, closed());
      }
    }
  }
}

void Publisher::on_published(const protocol::Event& event) {
  Slot& slot = *reinterpret_cast<Slot*>(event.cookie);
  slot.owed = false;
  if (slot.done) {
    core_.settle(slot);
  } else {
    complete(slot, {.status = status_of(event.metadata), .number = event.level});
  }
  pump();
}

void Publisher::on_request_failed(const protocol::Event& event) {
  Slot& slot = *reinterpret_cast<Slot*>(event.cookie);
  slot.owed = false;
  for (Lane& lane : lanes_) {
    if (lane.stalled_slot != &slot) continue;
    lane.stalled = false;
    lane.stalled_slot = nullptr;
  }
  if (slot.done) return core_.settle(slot);
  if (core_.ending()) {
    return complete(slot, {.status = Status(StatusCode::cancelled, "the client was closed",
                                            static_cast<Outcome>(event.outcome))});
  }
  complete(slot, {.status = status_of_failure(event, *slot.link)});
}

void Publisher::complete(Slot& slot, Delivery delivery) {
  --outstanding_;
  slot.timer.cancel();
  slot.done = true;
  core_.finish_later(slot, std::move(delivery));
  if (core_.closing()) core_.check_closing();
}

void Publisher::on_timer(Slot& slot) {
  if (slot.done) return;
  give_up(slot, Status(StatusCode::deadline_exceeded));
}

// What is handed to a session cannot be taken back once its first byte has left; nobody waits for
// what becomes of it.
void Publisher::give_up(Slot& slot, const Status& status) {
  if (slot.done) return;
  const bool sent = slot.owed && !slot.waiting;
  if (sent) slot.link->session().cancel(slot.stream, slot.correlation);
  const Outcome outcome = sent ? Outcome::maybe_executed : Outcome::not_executed;
  const std::string_view known = sent ? "it may have been published" : "it was not published";
  const std::string text =
      status.code() == StatusCode::deadline_exceeded
          ? fmt::format("no receipt in {}; {}", duration_text(slot.time_limit), known)
          : fmt::format("given up by the publisher; {}", known);
  complete(slot, {.status = Status(status.code(), text, outcome)});
}

void Publisher::Lane::on_flushed(const protocol::Event&) {
  stalled = false;
  stalled_slot = nullptr;
  publisher->pump(*this);
}

void Publisher::Lane::on_end(Link& its_link, const protocol::Event& event) {
  static_cast<void>(its_link.session().send_end(event.stream));
  if (link != &its_link || stream != event.stream) return;
  link = nullptr;
  stalled = false;
}

void Publisher::Lane::on_over(Link& its_link, const protocol::Event& event) {
  const bool mine = link == &its_link && stream == event.stream;
  if (mine) {
    link = nullptr;
    stalled = false;
    stalled_slot = nullptr;
  }
  const bool refused = event.type == protocol::EventType::reset && !event.local &&
                       event.code != protocol::CloseCode::none;
  if (refused) {
    publisher->core_.log("the node takes no more messages of this stream: " +
                         status_of_reset(event, its_link).to_string());
  }
  if (mine) publisher->pump(*this);
}

}  // namespace valkyrie::detail
