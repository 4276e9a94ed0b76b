#include "sdk/cpp/src/streams.h"

#include <algorithm>
#include <utility>

#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/incoming.h"
#include "sdk/cpp/src/wire.h"

namespace valkyrie::detail {

void StreamStop::operator()() const noexcept {
  core->post([core = core, id = id] { core->streams().cancel(id); });
}

StreamCore::StreamCore(CoreHandle core, std::uint64_t id, Target target, const CallOptions& options)
    : core_(std::move(core)), id_(id), target_(target.text()), time_limit_(options.deadline) {
  std::uint8_t base = protocol::kQosDefault;
  extras_ = std::make_unique<CallExtras>();
  extras_->idempotency_key = options.idempotency_key;
  if (options.metadata != nullptr) extras_->metadata = *options.metadata;
  if (options.cancel != nullptr) stops_.push_back(*options.cancel);
  if (const IncomingCall* parent = options.parent; parent != nullptr) {
    base = parent->incoming()->qos;
    extras_->trace = parent->incoming()->trace;
    stops_.push_back(parent->cancel_token());
    const Duration left = parent->remaining();
    if (time_limit_ == Duration::zero() || left < time_limit_) time_limit_ = left;
  }
  if (time_limit_ == kNoDeadline) time_limit_ = Duration::zero();
  qos_ = qos_byte(options.qos, options.urgency, base);
  deadline_ = core_->now() + time_limit_;
}

Slot& StreamCore::write(Bytes message) {
  Slot& slot = core_->acquire(*this);
  backlog_.fetch_add(message.size(), std::memory_order_relaxed);
  if (core_->on_loop()) {
    accept_write(std::move(message), &slot);
  } else if (!core_->post([this, &slot, message = std::move(message)]() mutable {
               accept_write(std::move(message), &slot);
             })) {
    core_->end_unbegun(slot);
  }
  return slot;
}

bool StreamCore::try_write(Bytes message) {
  if (gone_.load(std::memory_order_relaxed)) return false;
  if (backlog_.load(std::memory_order_relaxed) >= kTryBacklogMax) return false;
  backlog_.fetch_add(message.size(), std::memory_order_relaxed);
  if (core_->on_loop()) {
    accept_write(std::move(message), nullptr);
    return true;
  }
  return core_->post([this, message = std::move(message)]() mutable {
    accept_write(std::move(message), nullptr);
  });
}

Slot& StreamCore::read() {
  Slot& slot = core_->acquire(*this);
  if (core_->on_loop()) {
    accept_read(slot);
  } else if (!core_->post([this, &slot] { accept_read(slot); })) {
    core_->end_unbegun(slot);
  }
  return slot;
}

void StreamCore::finish() {
  if (core_->on_loop()) return accept_finish();
  core_->post([this] { accept_finish(); });
}

void StreamCore::cancel() {
  const auto work = [this] {
    reset(protocol::CloseCode::cancelled,
          Status(StatusCode::cancelled, "the stream was cancelled", Outcome::maybe_executed));
  };
  if (core_->on_loop()) return work();
  core_->post(work);
}

void StreamCore::release() {
  if (core_->on_loop()) return accept_release();
  if (!core_->post([this] { accept_release(); })) delete this;  // The loop's end has ended it.
}

void StreamCore::begin() {
  core_->streams().add(*this);
  if (core_->closing()) {
    return end(Status(StatusCode::cancelled, "the client is closed", Outcome::not_executed));
  }
  if (const auto parts = split_target(target_); !parts) return end(parts.error());
  if (time_limit_ != Duration::zero()) core_->reactor().timers().arm(timer_, deadline_);
  for (const std::stop_token& stop : stops_) {
    stop_callbacks_.push_back(
        std::make_unique<std::stop_callback<StreamStop>>(stop, StreamStop{core_.get(), id_}));
  }
  advance();
}

void StreamCore::advance() {
  if (over_) return;
  if (stream_ == 0) {
    if (Link* link = core_->link(); link != nullptr) open(*link);
    if (stream_ == 0) return;
  }
  while (!unsent_.empty() && !over_) {
    if (!send(unsent_.front())) return;
    unsent_.pop_front();
  }
  if (local_ended_ && !end_sent_ && !over_) {
    end_sent_ = true;
    static_cast<void>(link_->session().send_end(stream_));
  }
}

void StreamCore::open(Link& link) {
  const auto parts = split_target(target_);
  MetadataBuffer buffer;
  protocol::Duration left = time_limit_;
  if (left != Duration::zero()) left = deadline_ - core_->now();
  const auto metadata = open_metadata(*parts, left, extras_.get(), buffer);
  if (!metadata) {
    return end(Status(StatusCode::invalid_argument, metadata.error(), Outcome::not_executed));
  }
  const auto stream = link.session().open_stream(protocol::StreamKind::stream, 0,
                                                 {.metadata = *metadata, .qos = qos_}, number());
  if (stream) {
    link_ = &link;
    stream_ = *stream;
    bound_ = true;
    return;
  }
  if (stream.error() == protocol::SendError::forbidden) {
    end(Status(StatusCode::permission_denied, "the class is above what the node grants",
               Outcome::not_executed));
  } else if (stream.error() == protocol::SendError::too_large) {
    end(Status(StatusCode::invalid_argument, "the metadata is too long", Outcome::not_executed));
  }
}

void StreamCore::accept_write(Bytes message, Slot* slot) {
  if (over_ || local_ended_) {
    backlog_.fetch_sub(message.size(), std::memory_order_relaxed);
    if (!status_.ok()) return end_write(slot, status_);
    return end_write(slot, Status(StatusCode::failed_precondition, "the stream takes no more",
                                  Outcome::not_executed));
  }
  if (slot != nullptr) slot->owed = true;
  unsent_.push_back({.message = std::move(message), .slot = slot});
  if (unsent_.size() == 1) advance();
}

// False: it must wait. The slot is the session's until it is flushed.
bool StreamCore::send(Write& write) {
  const std::size_t bytes = write.message.size();
  const auto sent = link_->session().send_data(
      stream_, {.payload = BytesView(write.message).span(), .qos = qos_});
  if (sent && sent->waiting) {
    waiting_.push_back({.bytes = bytes, .slot = write.slot});
    return true;
  }
  if (!sent && sent.error() == protocol::SendError::queue_full) return false;
  backlog_.fetch_sub(bytes, std::memory_order_relaxed);
  if (sent) {
    end_write(write.slot, {});
  } else if (sent.error() == protocol::SendError::too_large) {
    const std::size_t bytes_max = link_->session().peer().stream_message_bytes_max;
    end_write(write.slot, Status(StatusCode::resource_exhausted, too_large_text(bytes, bytes_max),
                                 Outcome::not_executed));
  } else {
    end_write(write.slot,
              Status(StatusCode::unavailable, to_string(sent.error()), Outcome::not_executed));
  }
  return true;
}

void StreamCore::end_write(Slot* slot, const Status& status) {
  if (slot == nullptr) return;
  slot->owed = false;
  if (slot->done) {
    core_->settle(*slot);
  } else {
    slot->done = true;
    core_->finish_later(*slot, status);
  }
}

void StreamCore::on_flushed(const protocol::Event&) {
  if (waiting_.empty()) return;
  const Sent sent = waiting_.front();
  waiting_.pop_front();
  backlog_.fetch_sub(sent.bytes, std::memory_order_relaxed);
  end_write(sent.slot, {});
}

void StreamCore::accept_read(Slot& slot) {
  if (reader_ != nullptr) {
    slot.done = true;
    return core_->finish_later(
        slot, Status(StatusCode::failed_precondition, "the stream is being read already",
                     Outcome::not_executed));
  }
  if (!inbox_.empty()) {
    Received received = std::move(inbox_.front());
    inbox_.pop_front();
    return deliver(slot, std::move(received.message), received.cost);
  }
  if (remote_ended_ || over_) return deliver_end(slot);
  reader_ = &slot;
}

void StreamCore::deliver(Slot& slot, Bytes message, std::uint32_t cost) {
  if (link_ != nullptr && cost > 0) link_->session().consume(stream_, cost);
  Delivery delivery;
  delivery.payload = message;
  delivery.owned = std::move(message);
  slot.done = true;
  core_->finish_later(slot, delivery);
}

void StreamCore::deliver_end(Slot& slot) {
  Delivery delivery{.status = status_, .end = status_.ok()};
  slot.done = true;
  core_->finish_later(slot, delivery);
}

// The parts of a message give their credit back at once, or it could never become whole; its last
// part does when it is read.
void StreamCore::on_data(Link& link, const protocol::Event& event) {
  if (over_) return;
  if (event.more || assembling_) {
    assembly_.append(BytesView(event.payload).text());
    assembling_ = event.more;
    if (event.more) return link.session().consume(event.stream, event.cost);
  }
  Bytes message = assembly_.empty() ? Bytes::copy(event.payload)
                                    : Bytes::take(std::exchange(assembly_, std::string()));
  if (reader_ == nullptr) {
    inbox_.push_back({.message = std::move(message), .cost = event.cost});
  } else {
    deliver(*std::exchange(reader_, nullptr), std::move(message), event.cost);
  }
}

// The peer's END ends the call: this side ends its direction too, whatever it had in mind.
void StreamCore::on_end(Link& link, const protocol::Event& event) {
  if (over_) return;
  remote_ended_ = true;
  gone_.store(true, std::memory_order_relaxed);
  status_ = status_of(event.metadata);
  if (!end_sent_) {
    end_sent_ = true;
    local_ended_ = true;
    static_cast<void>(link.session().send_end(event.stream));
  }
  if (reader_ != nullptr) deliver_end(*std::exchange(reader_, nullptr));
}

void StreamCore::on_over(Link& link, const protocol::Event& event) {
  bound_ = false;
  const bool broken = event.type == protocol::EventType::reset && !remote_ended_;
  if (!over_) return end(broken ? status_of_reset(event, link) : status_);
  dispose_if_done();
}

void StreamCore::on_deadline() {
  reset(protocol::CloseCode::deadline,
        Status(StatusCode::deadline_exceeded,
               "the stream to " + target_ + " took longer than " + duration_text(time_limit_),
               stream_ == 0 ? Outcome::not_executed : Outcome::maybe_executed));
}

void StreamCore::reset(protocol::CloseCode code, Status status) {
  if (over_) return;
  inbox_.clear();
  if (link_ != nullptr) link_->session().reset(stream_, code);
  end(std::move(status));
}

void StreamCore::end(Status status) {
  if (over_) return;
  over_ = true;
  gone_.store(true, std::memory_order_relaxed);
  link_ = nullptr;
  status_ = std::move(status);
  timer_.cancel();
  stop_callbacks_.clear();
  core_->streams().remove(*this);
  const Status why = status_.ok() ? Status(StatusCode::failed_precondition,
                                           "the stream takes no more", Outcome::not_executed)
                                  : status_;
  while (!waiting_.empty()) {
    Slot* slot = waiting_.front().slot;
    waiting_.pop_front();
    end_write(slot, why);
  }
  while (!unsent_.empty()) {
    Slot* slot = unsent_.front().slot;
    unsent_.pop_front();
    end_write(slot, why);
  }
  if (reader_ != nullptr) deliver_end(*std::exchange(reader_, nullptr));
  if (core_->closing()) core_->check_closing();
  dispose_if_done();
}

// While bound, the session still has its last event for this object.
void StreamCore::dispose_if_done() {
  if (over_ && released_ && !bound_) delete this;
}

void StreamCore::end_unbegun() {
  over_ = true;
  gone_.store(true, std::memory_order_relaxed);
  status_ = Status(StatusCode::cancelled, "the client is closed", Outcome::not_executed);
}

void StreamCore::accept_finish() {
  local_ended_ = true;
  advance();
}

void StreamCore::accept_release() {
  released_ = true;
  if (over_) return dispose_if_done();
  if (!remote_ended_ || !end_sent_) cancel();
}

// A read that is given up leaves the message for the next one; a write cannot be taken back.
void StreamCore::give_up(Slot& slot, const Status& status) {
  if (&slot == reader_) reader_ = nullptr;
  if (slot.done) return;
  slot.done = true;
  core_->finish_later(slot, status);
}

StreamHandle Streams::open(Target target, const CallOptions& options) {
  auto* stream = new StreamCore(core_.token(), ids_.fetch_add(1) + 1, target, options);
  StreamHandle handle(stream);
  if (core_.on_loop()) {
    stream->begin();
  } else if (!core_.post([stream] { stream->begin(); })) {
    stream->end_unbegun();
  }
  return handle;
}

void Streams::cancel(std::uint64_t id) {
  if (const auto found = streams_.find(id); found != streams_.end()) found->second->cancel();
}

void Streams::advance() {
  std::vector<std::uint64_t> all;
  for (const auto& [id, stream] : streams_) all.push_back(id);
  for (const std::uint64_t id : all) {
    if (const auto found = streams_.find(id); found != streams_.end()) found->second->advance();
  }
}

void Streams::end_all() {
  while (!streams_.empty()) streams_.begin()->second->cancel();
}

void StreamRelease::operator()(StreamCore* core) const noexcept { core->release(); }

Operation* stream_write(StreamCore& core, Bytes message) { return &core.write(std::move(message)); }

bool stream_try_write(StreamCore& core, Bytes message) {
  return core.try_write(std::move(message));
}

Operation* stream_read(StreamCore& core) { return &core.read(); }

void stream_finish(StreamCore& core) noexcept { core.finish(); }

void stream_cancel(StreamCore& core) noexcept { core.cancel(); }

}  // namespace valkyrie::detail
