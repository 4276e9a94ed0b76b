// Events on their way to subscribers, and what happens to those of a slow one.
#include "server/router/publish_core.h"
#include "server/router/router_core.h"

namespace valkyrie::router {
namespace {

using protocol::SendError;

// What an event counts in the queue of its subscription: as on the wire.
std::uint64_t cost_of(const Publication& publication) {
  return protocol::kHeaderBytes + publication.bytes.size();
}

}  // namespace

// Gives a message to a subscription: to its session, if that can take it now, else to its queue.
void PublishCore::deliver(Subscription& subscription, Outbound& message) {
  if (subscription.over) return;
  ++subscription.sequence;
  if (subscription.busy) return enqueue(subscription, share(message));
  Connection* connection = core_.touch(subscription.connection);
  const auto sent = connection->session->send_event(subscription.stream, subscription.sequence,
                                                    {.metadata = message.metadata,
                                                     .payload = message.payload,
                                                     .qos = message.qos,
                                                     .relayed = true});
  if (sent) {
    ++core_.stats.events;
  } else if (sent.error() == SendError::queue_full) {
    static_cast<void>(send(subscription, share(message), subscription.sequence));
  } else {
    ++core_.stats.events_dropped;  // Longer than the subscriber takes; or it is leaving.
  }
}

// Gives an event to the session for good. True if the next one may follow at once.
bool PublishCore::send(Subscription& subscription, std::shared_ptr<const Publication> publication,
                       std::uint32_t sequence) {
  protocol::Session& session = *core_.touch(subscription.connection)->session;
  const auto sent = session.send_event(subscription.stream, sequence,
                                       {.metadata = publication->metadata(),
                                        .payload = publication->payload(),
                                        .qos = publication->qos,
                                        .cookie = tagged(Tag::subscription, subscription.id),
                                        .relayed = true,
                                        .owner = publication});
  if (!sent) {
    ++core_.stats.events_dropped;
    return true;
  }
  ++core_.stats.events;
  if (!sent->waiting) return true;
  subscription.busy = true;
  set_ready(subscription, false);
  return false;
}

// Puts an event into the queue; where there is no room the subscriber's option says what is lost.
void PublishCore::enqueue(Subscription& subscription,
                          std::shared_ptr<const Publication> publication) {
  Connection& connection = *core_.touch(subscription.connection);
  const std::uint64_t cost = cost_of(*publication);
  if (publication->payload().size() > connection.session->peer().call_message_bytes_max ||
      !make_room(subscription, connection, cost)) {
    ++core_.stats.events_dropped;
    return;
  }
  subscription.queued_bytes += cost;
  connection.event_bytes += cost;
  queued_bytes_ += cost;
  ++queued_events_;
  subscription.queue.push_back({std::move(publication), subscription.sequence});
}

// False if the new event is the one to lose.
bool PublishCore::make_room(Subscription& subscription, Connection& connection,
                            std::uint64_t bytes) {
  const auto fits = [&] {
    return (subscription.queue.empty() ||
            subscription.queued_bytes + bytes <= core_.config_.subscription_bytes_max) &&
           connection.event_bytes + bytes <= core_.config_.session_event_bytes_max;
  };
  if (fits()) return true;
  if (subscription.policy == protocol::kStreamOptionReset) {
    give_up(subscription, connection);
    return false;
  }
  if (subscription.policy == protocol::kStreamOptionDropNewest) return false;
  while (!subscription.queue.empty() && !fits()) {
    take_front(subscription, connection);
    ++core_.stats.events_dropped;
  }
  return fits();
}

// Takes the oldest event out of the queue.
Subscription::Waiting PublishCore::take_front(Subscription& subscription, Connection& connection) {
  Subscription::Waiting front = std::move(subscription.queue.front());
  const std::uint64_t cost = cost_of(*front.publication);
  subscription.queued_bytes -= cost;
  connection.event_bytes -= cost;
  queued_bytes_ -= cost;
  --queued_events_;
  subscription.queue.pop_front();
  return front;
}

void PublishCore::drop_all(Subscription& subscription, Connection& connection) {
  core_.stats.events_dropped += subscription.queue.size();
  while (!subscription.queue.empty()) take_front(subscription, connection);
}

// Ends a subscription that is too slow, as it asked for.
void PublishCore::give_up(Subscription& subscription, Connection& connection) {
  ++core_.stats.subscriptions_reset;
  drop_all(subscription, connection);
  subscription.over = true;
  connection.session->reset(subscription.stream, CloseCode::slow_peer,
                            "the subscriber is slower than its subjects");
}

// The event that waited in the session has left.
void PublishCore::on_flushed(std::uint64_t id) {
  Subscription* subscription = subscriptions_.find(id);
  if (subscription == nullptr || subscription->over) return;
  subscription->busy = false;
  pump(*subscription);
}

// Sends what is queued until the session keeps one again.
void PublishCore::pump(Subscription& subscription) {
  Connection& connection = *core_.touch(subscription.connection);
  while (!subscription.queue.empty()) {
    Subscription::Waiting next = take_front(subscription, connection);
    if (!send(subscription, std::move(next.publication), next.sequence)) return;
  }
  if (subscription.ending) {
    static_cast<void>(connection.session->send_end(subscription.stream));
  } else {
    set_ready(subscription, true);
  }
}

}  // namespace valkyrie::router
