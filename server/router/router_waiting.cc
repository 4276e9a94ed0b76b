#include "server/router/router_core.h"

namespace valkyrie::router {

using protocol::FrameType;
using protocol::MetadataView;
namespace {

std::optional<protocol::Duration> deadline_of(Bytes metadata, FrameType type) {
  const auto view = protocol::parse_metadata(metadata, type, protocol::MetadataReader::relay);
  return view ? view->deadline() : std::nullopt;
}

}  // namespace

// Keeps a request until its service has an instance. Its bytes stay charged to the caller's
// stream, whose window bounds what one caller can make the node keep.
void RouterCore::park(Call& call, const Message& message) {
  if (parked_.size() >= kWaitingCallsMax) {
    return answer_status(call, {StatusCode::resource_exhausted, Outcome::not_executed,
                                "too many requests wait for an instance"});
  }
  std::optional<protocol::Duration> patience = deadline_of(message.metadata, FrameType::request);
  if (!patience) patience = deadline_of(call.binding->open->metadata, FrameType::stream_open);
  patience = std::min(patience.value_or(protocol::kDeadlineDefault), protocol::kDeadlineMax);
  call.state = Call::State::parked;
  call.parked = std::make_unique<Parked>();
  call.parked->body = body_of(message.metadata, message.payload);
  call.parked->since = now_;
  call.parked->deadline = now_ + *patience;
  parked_.emplace(call.parked->deadline, call.id);
}

// Takes a call out of the queue and keeps its body in place.
void RouterCore::unpark(Call& call) {
  auto [at, last] = parked_.equal_range(call.parked->deadline);
  while (at != last && at->second != call.id) ++at;
  VALKYRIE_ASSERT(at != last);
  parked_.erase(at);
  call.state = Call::State::routing;
}

// Tries the calls whose service has an instance now; all of them when the node drains.
void RouterCore::wake_parked() {
  for (auto at = parked_.begin(); at != parked_.end();) {
    Call& call = *calls_.find(at->second);
    if (!draining && call.binding->service->ready().empty()) {
      ++at;
      continue;
    }
    at = parked_.erase(at);
    call.state = Call::State::routing;
    const std::unique_ptr<Parked> parked = std::move(call.parked);
    const protocol::Duration held = now_ - parked->since;
    Message message{.metadata = parked->body.metadata(), .payload = parked->body.payload()};
    if (held > protocol::kRelayHeld) {
      // The stream's default would count from when the instance gets the request: say what is left.
      const auto view = protocol::parse_metadata(message.metadata, FrameType::request,
                                                 protocol::MetadataReader::relay);
      message.metadata = rewritten(view ? *view : MetadataView(), parked->deadline - now_);
    }
    route(call, message);
    reuse(std::move(parked->body));
  }
}

void RouterCore::expire_parked() {
  while (!parked_.empty() && parked_.begin()->first <= now_) {
    Call& call = *calls_.find(parked_.begin()->second);
    parked_.erase(parked_.begin());
    call.state = Call::State::routing;
    reuse(std::move(call.parked->body));
    const std::string text =
        table_.explain(*call.binding->service, registry::NoChoice::no_instance, {});
    answer_status(call, {StatusCode::deadline_exceeded, Outcome::not_executed, text});
  }
}

}  // namespace valkyrie::router
