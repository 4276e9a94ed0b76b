#include "sdk/cpp/src/opened_stream.h"

#include <utility>

#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/incoming.h"
#include "sdk/cpp/src/wire.h"

namespace valkyrie::detail {
namespace {

std::uint8_t qos_of(const CallOptions& options) {
  const std::uint8_t base =
      options.parent != nullptr ? options.parent->incoming()->qos : protocol::kQosDefault;
  return qos_byte(options.qos, options.urgency, base);
}

}  // namespace

void StreamStop::operator()() const noexcept {
  core->post([core = core, id = id] { core->streams().cancel(id); });
}

OpenedStream::OpenedStream(CoreHandle core, std::uint64_t id, Target target,
                           const CallOptions& options)
    : StreamSide(*core, qos_of(options)),
      token_(std::move(core)),
      id_(id),
      target_(target.text()),
      time_limit_(options.deadline) {
  extras_ = std::make_unique<CallExtras>();
  extras_->idempotency_key = options.idempotency_key;
  if (options.metadata != nullptr) extras_->metadata = *options.metadata;
  if (options.cancel != nullptr) stops_.push_back(*options.cancel);
  if (const IncomingCall* parent = options.parent; parent != nullptr) {
    extras_->trace = parent->incoming()->trace;
    stops_.push_back(parent->cancel_token());
    const Duration left = parent->remaining();
    if (time_limit_ == Duration::zero() || left < time_limit_) time_limit_ = left;
  }
  if (time_limit_ == kNoDeadline) time_limit_ = Duration::zero();
  deadline_ = core_.now() + time_limit_;
}

void OpenedStream::finish() {
  hand_over([this] { end_output(); });
}

void OpenedStream::cancel() {
  hand_over([this] {
    reset(protocol::CloseCode::cancelled,
          Status(StatusCode::cancelled, "the stream was cancelled", Outcome::maybe_executed));
  });
}

Metadata OpenedStream::metadata() const {
  const std::lock_guard lock(mutex_);
  return end_metadata_;
}

void OpenedStream::let_go() {
  if (core_.on_loop()) return accept_let_go();
  if (!core_.post([this] { accept_let_go(); })) delete this;  // The loop's end has ended it.
}

void OpenedStream::accept_let_go() {
  released_ = true;
  if (over_) return dispose_if_done();
  if (!remote_ended_ || !end_sent_) cancel();
}

void OpenedStream::begin() {
  core_.streams().add(*this);
  if (core_.closing()) {
    return conclude(Status(StatusCode::cancelled, "the client is closed", Outcome::not_executed));
  }
  if (const auto parts = split_target(target_); !parts) return conclude(parts.error());
  if (time_limit_ != Duration::zero()) core_.reactor().timers().arm(timer_, deadline_);
  for (const std::stop_token& stop : stops_) {
    stop_callbacks_.push_back(
        std::make_unique<std::stop_callback<StreamStop>>(stop, StreamStop{&core_, id_}));
  }
  advance();
}

bool OpenedStream::open() {
  Link* link = core_.link();
  if (link == nullptr) {
    core_.streams().wait_for_room(*this);
    return false;
  }
  const auto parts = split_target(target_);
  MetadataBuffer buffer;
  protocol::Duration left = time_limit_;
  if (left != Duration::zero()) left = deadline_ - core_.now();
  const auto metadata = open_metadata(*parts, left, extras_.get(), buffer);
  if (!metadata) {
    conclude(Status(StatusCode::invalid_argument, metadata.error(), Outcome::not_executed));
    return false;
  }
  const auto stream = link->session().open_stream(protocol::StreamKind::stream, 0,
                                                  {.metadata = *metadata, .qos = qos_}, number());
  if (stream) {
    bind(*link, *stream);
    bound_ = true;
    return true;
  }
  if (stream.error() == protocol::SendError::forbidden) {
    conclude(Status(StatusCode::permission_denied, "the class is above what the node grants",
                    Outcome::not_executed));
  } else if (stream.error() == protocol::SendError::too_large) {
    conclude(
        Status(StatusCode::invalid_argument, "the metadata is too long", Outcome::not_executed));
  } else {
    core_.streams().wait_for_room(*this);
  }
  return false;
}

// The peer's END ends the call: this side ends its direction too, whatever it had in mind. What it
// could not send yet never will be: then END would wait for ever, and RESET is what is left.
void OpenedStream::on_end(Link& link, const protocol::Event& event) {
  if (over_) return;
  remote_ended_ = true;
  if (const auto pairs = pairs_of(event.metadata)) {
    const std::lock_guard lock(mutex_);
    end_metadata_ = *pairs;
  }
  end_input(status_of(event.metadata), /*drop_unread=*/false);
  const bool clear = abandon_output(status_);
  if (!clear) return link.session().reset(event.stream, protocol::CloseCode::cancelled);
  if (std::exchange(end_sent_, true)) return;
  static_cast<void>(link.session().send_end(event.stream));
}

void OpenedStream::on_over(Link& link, const protocol::Event& event) {
  bound_ = false;
  const bool broken = event.type == protocol::EventType::reset && !remote_ended_;
  if (!over_) return conclude(broken ? status_of_reset(event, link) : status_);
  dispose_if_done();
}

void OpenedStream::on_deadline() {
  reset(protocol::CloseCode::deadline,
        Status(StatusCode::deadline_exceeded,
               "the stream to " + target_ + " took longer than " + duration_text(time_limit_),
               stream_ == 0 ? Outcome::not_executed : Outcome::maybe_executed));
}

void OpenedStream::reset(protocol::CloseCode code, Status status) {
  if (over_) return;
  if (link_ != nullptr) link_->session().reset(stream_, code);
  end_input(status, /*drop_unread=*/true);
  conclude(std::move(status));
}

void OpenedStream::conclude(Status status) {
  if (over_) return;
  timer_.cancel();
  stop_callbacks_.clear();
  core_.streams().remove(*this);
  end(std::move(status));
  if (core_.closing()) core_.check_closing();
  dispose_if_done();
}

// While bound, the session still has its last event for this object.
void OpenedStream::dispose_if_done() {
  if (over_ && released_ && !bound_) delete this;
}

void OpenedStream::end_unbegun() {
  end(Status(StatusCode::cancelled, "the client is closed", Outcome::not_executed));
}

StreamHandle Streams::open(Target target, const CallOptions& options) {
  auto* stream = new OpenedStream(core_.token(), ids_.fetch_add(1) + 1, target, options);
  StreamHandle handle(stream);
  if (core_.on_loop()) {
    stream->begin();
  } else if (!core_.post([stream] { stream->begin(); })) {
    stream->end_unbegun();
  }
  return handle;
}

void Streams::add(OpenedStream& stream) { streams_.emplace(stream.id(), &stream); }

void Streams::remove(const OpenedStream& stream) { streams_.erase(stream.id()); }

void Streams::cancel(std::uint64_t id) {
  if (const auto found = streams_.find(id); found != streams_.end()) found->second->cancel();
}

void Streams::end_all() {
  while (!streams_.empty()) streams_.begin()->second->cancel();
}

void StreamRelease::operator()(OpenedStream* stream) const noexcept { stream->let_go(); }

StreamSide& side_of(OpenedStream& stream) noexcept { return stream; }

void stream_finish(OpenedStream& stream) noexcept { stream.finish(); }

void stream_cancel(OpenedStream& stream) noexcept { stream.cancel(); }

Metadata stream_metadata(const OpenedStream& stream) { return stream.metadata(); }

}  // namespace valkyrie::detail
