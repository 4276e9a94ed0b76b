#include "sdk/cpp/src/incoming.h"

#include <algorithm>
#include <utility>

#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/served_stream.h"
#include "sdk/cpp/src/server.h"

namespace valkyrie {

const Identity& IncomingCall::caller() const noexcept { return incoming_->serving->identity; }

std::string_view IncomingCall::method() const noexcept {
  return incoming_->method != nullptr ? std::string_view(incoming_->method->full_name)
                                      : std::string_view();
}

Duration IncomingCall::remaining() const noexcept {
  if (!incoming_->deadline) return kNoDeadline;
  return std::max(*incoming_->deadline - incoming_->core.now(), Duration::zero());
}

bool IncomingCall::cancelled() const noexcept {
  return incoming_->cancelled.load(std::memory_order_acquire) || remaining() == Duration::zero();
}

std::stop_token IncomingCall::cancel_token() const {
  const std::lock_guard lock(incoming_->mutex);
  if (!incoming_->stop) {
    incoming_->stop.emplace();
    // Nobody else has the source yet: its callbacks cannot run in here.
    if (incoming_->cancelled.load(std::memory_order_acquire)) incoming_->stop->request_stop();
  }
  return incoming_->stop->get_token();
}

const Metadata& IncomingCall::metadata() const noexcept { return incoming_->metadata; }

bool IncomingCall::add_metadata(std::string_view name, std::string_view value) {
  const std::lock_guard lock(incoming_->mutex);
  if (!incoming_->reply_metadata.add(name, value)) return false;
  incoming_->has_reply_metadata.store(true, std::memory_order_release);
  return true;
}

std::string_view IncomingCall::idempotency_key() const noexcept {
  return incoming_->idempotency_key;
}

void IncomingCall::release() noexcept { incoming_->release(); }

namespace {

void answer(detail::Incoming& incoming, BytesView body, const Status& status) {
  if (std::exchange(incoming.answered, true)) return;
  if (incoming.core.on_loop()) {
    incoming.core.server().answer(incoming, body, status);
    return;
  }
  incoming.retain();
  const bool posted = incoming.core.post([&incoming, body = Bytes::copy(body), status] {
    incoming.core.server().answer(incoming, body, status);
    incoming.release();
  });
  if (!posted) incoming.release();
}

}  // namespace

void Reply::send(BytesView body) noexcept {
  if (incoming_ != nullptr) answer(*incoming_, body, {});
}

void Reply::fail(const Status& status) noexcept {
  if (incoming_ != nullptr) answer(*incoming_, {}, status);
}

void Reply::finish(const Result<Bytes>& result) noexcept {
  if (result) {
    send(*result);
  } else {
    fail(result.error());
  }
}

// Inside its handler a dropped reply may be the work of an exception on its way out: the server
// looks when the handler is left.
void Reply::drop() noexcept {
  detail::Incoming& incoming = *std::exchange(incoming_, nullptr);
  if (!incoming.answered) {
    if (incoming.core.on_loop() && incoming.in_handler) {
      incoming.dropped = true;
    } else {
      answer(incoming, {}, Status(StatusCode::internal, "handler dropped its reply"));
    }
  }
  incoming.release();
}

namespace detail {

Incoming::Incoming(Core& its_core) : core(its_core) {}

Incoming::~Incoming() = default;

std::span<const std::byte> Incoming::answer_metadata(const Status& status, MetadataBuffer& buffer) {
  if (!has_reply_metadata.load(std::memory_order_acquire)) {
    if (status.ok()) return {};
    return status_metadata(status, nullptr, buffer);
  }
  const std::lock_guard lock(mutex);
  return status_metadata(status, &reply_metadata, buffer);
}

void Incoming::release() {
  // Alone, nobody can add a reference: no read-modify-write is needed.
  if (references.load(std::memory_order_acquire) != 1 &&
      references.fetch_sub(1, std::memory_order_acq_rel) != 1) {
    return;
  }
  if (core.on_loop()) {
    core.server().recycle(*this);
  } else if (!core.post([this] { core.server().recycle(*this); })) {
    core.bury(*this);
  }
}

}  // namespace detail

}  // namespace valkyrie
