#include "sdk/cpp/src/served_stream.h"

#include <utility>

#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/server.h"
#include "sdk/cpp/src/wire.h"

namespace valkyrie::detail {
namespace {

bool takes_one_message(HandlerKind kind) {
  return kind == HandlerKind::unary || kind == HandlerKind::server_stream;
}

bool gives_one_message(HandlerKind kind) {
  return kind == HandlerKind::unary || kind == HandlerKind::client_stream;
}

}  // namespace

ServedStream::ServedStream(Incoming& incoming, Link& link, std::uint32_t stream)
    : StreamSide(incoming.core, incoming.qos), incoming_(incoming) {
  bind(link, stream);
}

void ServedStream::begin() {
  awaits_request_ = takes_one_message(incoming_.method->handler->kind());
  if (!awaits_request_) core_.server().run(incoming_, {});
}

bool ServedStream::expects_message() const {
  return awaits_request_ || StreamSide::expects_message();
}

void ServedStream::on_message(Bytes message, std::uint32_t cost) {
  if (!std::exchange(awaits_request_, false)) {
    return StreamSide::on_message(std::move(message), cost);
  }
  if (cost <= Server::kSmallRequest) {
    consume(cost);
  } else {
    request_cost_ = cost;
  }
  core_.server().run(incoming_, message);
}

void ServedStream::on_end(Link&, const protocol::Event&) {
  if (input_ended_) return;
  end_input({}, /*drop_unread=*/false);
  if (!std::exchange(awaits_request_, false)) return;
  finish({}, Status(StatusCode::invalid_argument, "the stream has ended before its request",
                    Outcome::not_executed));
}

void ServedStream::finish(BytesView body, const Status& status) {
  if (std::exchange(finished_, true)) return;
  if (over_) return core_.server().on_late_return(incoming_);
  awaits_request_ = false;
  consume(std::exchange(request_cost_, 0));
  end_input(Status(StatusCode::failed_precondition, "the call is over", Outcome::executed),
            /*drop_unread=*/true);
  end_status_ = status;
  if (status.ok() && gives_one_message(incoming_.method->handler->kind())) {
    const std::size_t bytes_max = link_->session().peer().stream_message_bytes_max;
    if (body.size() <= bytes_max) {
      write_unattended(Bytes::copy(body));
    } else {
      end_status_ = Status(StatusCode::resource_exhausted, too_large_text(body.size(), bytes_max));
    }
  }
  end_output();
}

std::span<const std::byte> ServedStream::end_metadata(MetadataBuffer& buffer) {
  return incoming_.answer_metadata(end_status_, buffer);
}

void ServedStream::on_over(Link& link, const protocol::Event& event) {
  const bool broken = event.type == protocol::EventType::reset;
  end(broken ? status_of_reset(event, link) : status_);
  core_.server().on_stream_over(incoming_, finished_);
  incoming_.release();
}

IncomingShare share(Incoming& incoming) noexcept {
  incoming.retain();
  return IncomingShare(&incoming);
}

void IncomingRelease::operator()(Incoming* incoming) const noexcept { incoming->release(); }

StreamSide& side_of(Incoming& incoming) noexcept { return *incoming.served; }

}  // namespace valkyrie::detail
