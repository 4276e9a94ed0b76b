#include "sdk/cpp/src/subscriptions.h"

#include <algorithm>
#include <fmt/core.h>
#include <utility>
#include <vector>

#include "protocol/subject.h"
#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/wire.h"

namespace valkyrie::detail {
namespace {

constexpr std::size_t kGroupBytesMax = 64;
constexpr protocol::Duration kRetryMin = std::chrono::milliseconds{100};
constexpr protocol::Duration kRetryMax = std::chrono::seconds{5};

Status closed() {
  return Status(StatusCode::cancelled, "the client is closed", Outcome::not_executed);
}

bool is_group(std::string_view text) {
  return text.size() <= kGroupBytesMax &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

// Metadata and a filter, or why a node would refuse them.
Status check(Subject filter, const SubscribeOptions& options) {
  if (const auto error = protocol::check_subject(filter.text(), protocol::SubjectForm::filter)) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("\"{}\" cannot be subscribed to: {}", filter.text(),
                              protocol::to_string(*error)),
                  Outcome::not_executed);
  }
  if (protocol::is_node_subject(filter.text())) {
    return Status(StatusCode::permission_denied,
                  fmt::format("\"{}\" is a subject of the node", filter.text()),
                  Outcome::not_executed);
  }
  if (!is_group(options.group)) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("\"{}\" is no group: at most {} visible ASCII characters",
                              options.group, kGroupBytesMax),
                  Outcome::not_executed);
  }
  return {};
}

}  // namespace

SubscriptionCore::SubscriptionCore(CoreHandle core, std::uint64_t id, Subject filter,
                                   const SubscribeOptions& options, PublicationHandler handler)
    : core_(std::move(core)),
      id_(id),
      filter_(filter.text()),
      group_(options.group),
      overflow_(options.overflow),
      no_echo_(options.no_echo),
      handler_(std::move(handler)) {}

Slot& SubscriptionCore::next() {
  Slot& slot = core_->acquire(*this);
  if (core_->on_loop()) {
    accept_next(slot);
  } else if (!core_->post([this, &slot] { accept_next(slot); })) {
    core_->end_unbegun(slot);
  }
  return slot;
}

void SubscriptionCore::drain() {
  if (core_->on_loop()) return accept_drain();
  core_->post([this] { accept_drain(); });
}

void SubscriptionCore::unsubscribe() {
  if (core_->on_loop()) return accept_unsubscribe();
  core_->post([this] { accept_unsubscribe(); });
}

void SubscriptionCore::release() {
  if (core_->on_loop()) return accept_release();
  if (!core_->post([this] { accept_release(); })) delete this;  // The loop's end has ended it.
}

void SubscriptionCore::begin() {
  core_->subscriptions().add(*this);
  if (core_->closing()) return end(closed());
  advance();
}

void SubscriptionCore::end_unbegun() {
  over_ = true;
  status_ = closed();
}

void SubscriptionCore::advance() {
  if (over_ || draining_ || link_ != nullptr || retry_timer_.armed()) return;
  if (given_up_ && !inbox_.empty()) return;
  if (Link* link = core_->link(); link != nullptr) open(*link);
}

void SubscriptionCore::open(Link& link) {
  MetadataBuffer buffer;
  protocol::MetadataWriter writer(buffer);
  writer.put(protocol::MetadataKey::subject, filter_);
  if (!group_.empty()) writer.put(protocol::MetadataKey::group, group_);
  const auto options = static_cast<std::uint8_t>(static_cast<std::uint8_t>(overflow_) |
                                                 (no_echo_ ? protocol::kStreamOptionNoEcho : 0));
  const auto stream = link.session().open_stream(protocol::StreamKind::subscribe, options,
                                                 {.metadata = writer.finish().value()}, number());
  if (stream) {
    link_ = &link;
    stream_ = *stream;
    ++epoch_;
    expected_ = 1;
    end_sent_ = given_up_ = false;
  } else if (stream.error() == protocol::SendError::forbidden) {
    end(Status(StatusCode::permission_denied, "the class is above what the node grants",
               Outcome::not_executed));
  }
}

void SubscriptionCore::on_publication(Link& link, const protocol::Event& event) {
  if (over_) return link.session().consume(event.stream, event.cost);
  const std::uint32_t missed = event.correlation - expected_;
  expected_ = event.correlation + 1;
  failures_ = 0;
  const bool interrupted = std::exchange(interrupted_, false);
  if (!handler_) return keep(event, missed, interrupted);
  handler_({.subject = event.metadata.subject().value_or(""),
            .payload = event.payload,
            .missed = missed,
            .interrupted = interrupted,
            .encoded_metadata = event.metadata.end_bytes()});
  link.session().consume(event.stream, event.cost);
}

// Its credit returns when it is read.
void SubscriptionCore::keep(const protocol::Event& event, std::uint64_t missed, bool interrupted) {
  const std::string_view subject = event.metadata.subject().value_or("");
  const BytesView metadata = event.metadata.end_bytes();
  scratch_.clear();
  scratch_.push_back(static_cast<char>(subject.size()));
  scratch_.push_back(static_cast<char>(metadata.size() >> 8));
  scratch_.push_back(static_cast<char>(metadata.size() & 0xff));
  scratch_.append(subject).append(metadata.text()).append(BytesView(event.payload).text());
  Received received{.block = Bytes::copy(scratch_),
                    .number = missed << 1 | (interrupted ? 1u : 0u),
                    .cost = event.cost,
                    .epoch = epoch_};
  if (reader_ == nullptr) return inbox_.push_back(std::move(received));
  deliver(*std::exchange(reader_, nullptr), std::move(received));
}

void SubscriptionCore::deliver(Slot& slot, Received received) {
  if (link_ != nullptr && received.epoch == epoch_) {
    link_->session().consume(stream_, received.cost);
  }
  Delivery delivery{.payload = received.block, .number = received.number};
  delivery.owned = std::move(received.block);
  slot.done = true;
  core_->finish_later(slot, std::move(delivery));
}

void SubscriptionCore::deliver_end(Slot& slot) {
  slot.done = true;
  core_->finish_later(slot, Delivery{.status = status_, .end = status_.ok()});
}

void SubscriptionCore::accept_next(Slot& slot) {
  if (reader_ != nullptr) {
    slot.done = true;
    return core_->finish_later(
        slot, Status(StatusCode::failed_precondition, "the subscription is being read already",
                     Outcome::not_executed));
  }
  if (!inbox_.empty()) {
    Received received = std::move(inbox_.front());
    inbox_.pop_front();
    deliver(slot, std::move(received));
    if (given_up_) advance();
    return;
  }
  if (over_) return deliver_end(slot);
  reader_ = &slot;
}

void SubscriptionCore::accept_drain() {
  if (over_ || draining_) return;
  draining_ = true;
  retry_timer_.cancel();
  if (link_ == nullptr) return end({});
  if (!std::exchange(end_sent_, true)) static_cast<void>(link_->session().send_end(stream_));
}

void SubscriptionCore::accept_unsubscribe() {
  inbox_.clear();
  end({});
}

void SubscriptionCore::accept_release() {
  released_ = true;
  inbox_.clear();
  if (over_) return dispose_if_done();
  end({});
}

void SubscriptionCore::leave(Link& link) {
  if (link_ != &link || std::exchange(end_sent_, true)) return;
  static_cast<void>(link.session().send_end(stream_));
}

void SubscriptionCore::close() {
  if (handler_) return accept_drain();
  end(closed());
}

void SubscriptionCore::on_end(Link& link, const protocol::Event& event) {
  if (!std::exchange(end_sent_, true)) static_cast<void>(link.session().send_end(event.stream));
}

void SubscriptionCore::on_over(Link& link, const protocol::Event& event) {
  link_ = nullptr;
  stream_ = 0;
  if (over_) return dispose_if_done();
  if (event.type == protocol::EventType::stream_closed) {
    if (draining_) return end({});
    return lost(Status(StatusCode::unavailable, "the node ended the subscription"));
  }
  const Status why = status_of_reset(event, link);
  if (draining_) return end(why);
  if (event.code == protocol::CloseCode::slow_peer && overflow_ != Overflow::reset) {
    given_up_ = true;
  } else if (event.code == protocol::CloseCode::feature) {
    return end(Status(StatusCode::unimplemented, "the node has no publish/subscribe",
                      Outcome::not_executed));
  } else if (why.code() != StatusCode::unavailable) {
    return end(why);
  }
  lost(why);
}

// Subscribes again: at the next connection, or here after a pause.
void SubscriptionCore::lost(const Status& why) {
  interrupted_ = true;
  if (given_up_) {
    core_->log(fmt::format("the node gave up the slow subscriber of {}", filter_));
    return advance();
  }
  if (core_->link() == nullptr) return;
  core_->log(fmt::format("the subscription to {} was lost: {}", filter_, why.to_string()));
  const protocol::Duration bound = std::min(kRetryMax, kRetryMin * (1 << std::min(failures_, 6u)));
  ++failures_;
  const auto pause = static_cast<double>(bound.count()) * core_->random();
  core_->reactor().timers().arm(
      retry_timer_, core_->now() + protocol::Duration(static_cast<std::int64_t>(pause)));
}

void SubscriptionCore::end(Status status) {
  if (over_) return;
  over_ = true;
  status_ = std::move(status);
  retry_timer_.cancel();
  core_->subscriptions().remove(*this);
  if (link_ != nullptr) link_->session().reset(stream_, protocol::CloseCode::cancelled);
  if (reader_ != nullptr) deliver_end(*std::exchange(reader_, nullptr));
  if (core_->closing()) core_->check_closing();
  dispose_if_done();
}

// While it has a stream, the session still has its last event for this object.
void SubscriptionCore::dispose_if_done() {
  if (over_ && released_ && link_ == nullptr) delete this;
}

// A read that is given up leaves the message for the next one.
void SubscriptionCore::give_up(Slot& slot, const Status& status) {
  if (&slot == reader_) reader_ = nullptr;
  if (slot.done) return;
  slot.done = true;
  core_->finish_later(slot, status);
}

Result<SubscriptionHandle> Subscriptions::open(Subject filter, const SubscribeOptions& options,
                                               PublicationHandler handler) {
  if (Status why = check(filter, options); !why.ok()) return std::unexpected(std::move(why));
  auto* one = new SubscriptionCore(core_.token(), ids_.fetch_add(1) + 1, filter, options,
                                   std::move(handler));
  SubscriptionHandle handle(one);
  if (core_.on_loop()) {
    one->begin();
  } else if (!core_.post([one] { one->begin(); })) {
    one->end_unbegun();
    return std::unexpected(closed());
  }
  return handle;
}

template <class F>
void Subscriptions::for_each(F f) {
  std::vector<std::uint64_t> all;
  all.reserve(open_.size());
  for (const auto& [id, one] : open_) all.push_back(id);
  for (const std::uint64_t id : all) {
    if (const auto found = open_.find(id); found != open_.end()) f(*found->second);
  }
}

void Subscriptions::advance() {
  for_each([](SubscriptionCore& one) { one.advance(); });
}

void Subscriptions::leave(Link& link) {
  for_each([&link](SubscriptionCore& one) { one.leave(link); });
}

void Subscriptions::close() {
  for_each([](SubscriptionCore& one) { one.close(); });
}

void Subscriptions::end_all() {
  for_each([](SubscriptionCore& one) { one.end(closed()); });
}

void SubscriptionRelease::operator()(SubscriptionCore* core) const noexcept { core->release(); }

Operation* subscription_next(SubscriptionCore& core) { return &core.next(); }

void subscription_drain(SubscriptionCore& core) noexcept { core.drain(); }

void subscription_cancel(SubscriptionCore& core) noexcept { core.unsubscribe(); }

}  // namespace valkyrie::detail
