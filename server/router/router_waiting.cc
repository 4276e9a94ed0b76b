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
  parked_.emplace(call.parked->deadline, tagged(Tag::call, call.id));
}

// The same for a stream, whose opening keeps what comes on it.
void RouterCore::park(StreamEnd& end) {
  if (parked_.size() >= kWaitingCallsMax) {
    return refuse(end, {StatusCode::resource_exhausted, Outcome::not_executed,
                        "too many requests wait for an instance"});
  }
  Opening& opening = *end.opening;
  opening.parked = true;
  opening.parked_until = opening.deadline.value_or(now_ + protocol::kDeadlineDefault);
  parked_.emplace(opening.parked_until, tagged(Tag::stream, end.id));
}

// Takes a call out of the queue and keeps its body in place.
void RouterCore::unpark(Call& call) {
  erase_parked(call.parked->deadline, tagged(Tag::call, call.id));
  call.state = Call::State::routing;
}

void RouterCore::unpark(StreamEnd& end) {
  erase_parked(end.opening->parked_until, tagged(Tag::stream, end.id));
  end.opening->parked = false;
}

void RouterCore::erase_parked(Instant deadline, std::uint64_t tagged_id) {
  auto [at, last] = parked_.equal_range(deadline);
  while (at != last && at->second != tagged_id) ++at;
  VALKYRIE_ASSERT(at != last);
  parked_.erase(at);
}

// Tries what has an instance now; all of it when the node drains.
void RouterCore::wake_parked() {
  const auto may_go = [this](const registry::Service& service) {
    return draining || !service.ready().empty();
  };
  for (auto at = parked_.begin(); at != parked_.end();) {
    const std::uint64_t id = id_of(at->second);
    Call* const call = tag_of(at->second) == Tag::call ? calls_.find(id) : nullptr;
    StreamEnd* const end = call == nullptr ? ends_.find(id) : nullptr;
    if (!may_go(call != nullptr ? *call->binding->service : *end->opening->service)) {
      ++at;
      continue;
    }
    at = parked_.erase(at);
    if (call != nullptr) {
      wake_call(*call);
    } else {
      end->opening->parked = false;
      route(*end);
    }
  }
}

void RouterCore::wake_call(Call& call) {
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

void RouterCore::expire_parked() {
  while (!parked_.empty() && parked_.begin()->first <= now_) {
    const std::uint64_t parked = parked_.begin()->second;
    parked_.erase(parked_.begin());
    const auto text_for = [&](const registry::Service& service) {
      return table_.explain(service, registry::NoChoice::no_instance, {});
    };
    if (tag_of(parked) == Tag::stream) {
      StreamEnd& end = *ends_.find(id_of(parked));
      end.opening->parked = false;
      const std::string text = text_for(*end.opening->service);
      refuse(end, {StatusCode::deadline_exceeded, Outcome::not_executed, text});
      continue;
    }
    Call& call = *calls_.find(id_of(parked));
    call.state = Call::State::routing;
    reuse(std::move(call.parked->body));
    const std::string text = text_for(*call.binding->service);
    answer_status(call, {StatusCode::deadline_exceeded, Outcome::not_executed, text});
  }
}

}  // namespace valkyrie::router
