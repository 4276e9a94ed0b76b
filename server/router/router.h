// Carries calls and streams between the sessions of one shard, other shards and the node's own
// services: docs/spec/calls.md. There is one router for each shard of a node.
//
// Pure: no socket, clock, thread or log. The embedding (the server's shard, or the simulator) owns
// sessions, clock and the links between shards, and loops:
//
//   session.receive(bytes, now);
//   while (const Event* e = session.poll_event()) router.on_event(connection, *e, now);
//   ... the other sessions, router.on_message() for what other shards sent, timers ...
//   while (void* owner = router.next_dirty()) { poll and route the events of its session }
//   router.end_turn();                     // then write what the sessions gather
//   sleep until router.deadline();  router.on_deadline(now);
//
// The router uses the sessions given to it directly; one it has used is dirty: it may have new
// events and output. What peers do never aborts; a broken precondition does.
//
// Not thread-safe: one thread owns a router, its sessions and, on shard 0, the local services.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/session.h"
#include "server/registry/probe.h"
#include "server/registry/service_settings.h"
#include "server/router/local_service.h"
#include "server/router/qos_rules.h"
#include "server/router/shard_message.h"

namespace valkyrie::router {

class RouterCore;

// Names a connection on its shard; never 0, never reused.
using ConnectionId = std::uint64_t;

// Of those that wait for room at a service, how many are asked in vain each time there is some,
// where their methods or versions differ.
inline constexpr std::size_t kWaitersTriedMax = 64;

// Instances a call or stream is offered to before it is refused.
inline constexpr std::size_t kCallOffersMax = 3;

// How a router is set up.
struct RouterConfig {
  std::uint32_t shard = 0;   // Which one it is,
  std::uint32_t shards = 1;  // of how many.
  std::uint32_t seed = 1;    // Of the choice between instances.
  protocol::Duration lane_idle = protocol::kCallStreamIdleDefault;  // Then its stream is ENDed.
  // Bytes of events that wait for a subscription, and for all of a session. Beyond, the option of
  // the subscription says what is lost.
  std::uint64_t subscription_bytes_max = protocol::kQueuedBytesDefault;
  std::uint64_t session_event_bytes_max = protocol::kHeldBytesDefault;
  // How services are treated; null: all by default. The same on every shard.
  std::shared_ptr<const registry::ServiceRules> rules{};
  // Which class the node gives to what passes; null: what was asked for.
  std::shared_ptr<const QosRules> qos{};
};

// Counters since the start.
struct RouterStats {
  std::uint64_t calls = 0;     // Requests taken from callers of this shard.
  std::uint64_t notifies = 0;  // Messages without answer, likewise.
  std::uint64_t notifies_dropped = 0;
  std::uint64_t streams = 0;                // Of kind `stream`, by callers of this shard.
  std::uint64_t moved = 0;                  // Offers that another instance had to be found for.
  std::array<std::uint64_t, 17> answers{};  // By status code; [0] is ok.
  std::uint64_t published = 0;              // Messages from publishers of this shard.
  std::uint64_t publishes_refused = 0;      // Of those.
  std::uint64_t events = 0;                 // Given to sessions of this shard.
  std::uint64_t events_dropped = 0;         // Lost by subscribers here, or with their streams.
  std::uint64_t subscriptions_reset = 0;    // Too slow, with the option to be reset then.
  std::uint64_t reclassed = 0;  // Messages that a rule has given another class than they asked for.
  std::uint64_t above_ceiling = 0;  // Sessions that ended for a frame above their ceiling.
  std::uint64_t slow_peers = 0;     // Sessions given up, as their peer took nothing for too long.
  std::uint64_t slow_streams = 0;   // Streams likewise, or because too much waited for the peer.
};

// What exists now, for metrics and to prove that nothing is kept.
struct RouterCensus {
  std::size_t connections = 0;
  std::size_t bindings = 0;       // `call` streams of callers.
  std::size_t lanes = 0;          // Of those, towards one instance each.
  std::size_t upstreams = 0;      // `call` streams towards instances of this shard.
  std::size_t calls = 0;          // In flight, or with an answer that waits for its caller.
  std::size_t waiting = 0;        // Of those, and of streams, for room at their service;
  std::size_t queue_longest = 0;  // the most at one.
  std::size_t streams = 0;        // Of kind `stream`, by callers of this shard,
  std::size_t stream_ends = 0;    // and what belongs to streams here, callers included.
  std::size_t services = 0;
  std::size_t instances = 0;
  std::size_t probed = 0;           // Of those on this shard.
  std::size_t publishers = 0;       // `publish` streams.
  std::size_t subscriptions = 0;    // `subscribe` streams.
  std::size_t groups = 0;           // With members on any shard.
  std::size_t interests = 0;        // What filters lead to here: subscriptions, groups, shards.
  std::uint64_t events_queued = 0;  // Waiting for subscribers of this shard, not counting one
  std::uint64_t event_bytes_queued = 0;  // for each in its session.
};

// Told, on shard 0, what the registry has to know of the routing.
class RouteObserver {
 public:
  // Every shard has applied the updates up to `revision`.
  virtual void on_routes_applied(std::uint64_t revision) = 0;
  // The calls of an instance, on whatever shard, failed so often in a row that it is to be judged.
  virtual void on_suspect(std::uint64_t instance, protocol::Instant now) = 0;
  // The probes of an instance, on whatever shard, have come to a verdict, which is not `same`;
  // `why` is for people, empty where it is healthy, borrowed.
  virtual void on_probed(std::uint64_t instance, registry::ProbeVerdict verdict,
                         std::string_view why, protocol::Instant now) = 0;

 protected:
  ~RouteObserver() = default;
};

// The router of one shard.
class Router {
 public:
  // Keeps a reference to `outbox`, which takes what goes to other shards.
  Router(const RouterConfig& config, Outbox& outbox);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // Makes a service of the node known. It is an object on shard 0 and null elsewhere; one without
  // state may be an object on each shard, and then is served where its caller is. It must outlive
  // the router. REQUIRES: the same calls in the same order on every shard, before the first
  // attach().
  void add_local(const LocalServiceInfo& info, LocalService* service);

  // Takes part in a session, which must live until detach(), as must the text of `address`, which
  // is for people. `identity` is the value of IDENTITY (empty: unknown), `gate` what it has to pass
  // (null: it may do everything); `owner` comes back from next_dirty().
  ConnectionId attach(protocol::Session& session, std::string_view address,
                      std::string_view identity, void* owner, protocol::Instant now,
                      std::shared_ptr<policy::Gate> gate = nullptr);
  // Handles an event of the session. REQUIRES: every event of the session comes here, in order.
  void on_event(ConnectionId connection, const protocol::Event& event, protocol::Instant now);
  // Forgets the session. REQUIRES: its closed event was handled.
  void detach(ConnectionId connection);

  // The owner of a session that was used since it was last asked for, nullptr if there is none.
  void* next_dirty();
  // Handles what the router of shard `from` sent.
  void on_message(std::uint32_t from, ShardMessage&& message, protocol::Instant now);
  // Sends the credit that came together in this turn to the shards it belongs to.
  void end_turn();

  // When to call on_deadline(); nullopt means never.
  [[nodiscard]] std::optional<protocol::Instant> deadline() const;
  // Ends idle streams and requests that waited too long; drives the local services.
  void on_deadline(protocol::Instant now);

  // Drains: new calls are answered UNAVAILABLE, not executed; those that run go on; the sessions
  // say GOAWAY and are gone after `grace` at the latest. A second call may shorten the grace.
  void drain(protocol::Duration grace, protocol::Instant now);
  // True after drain().
  [[nodiscard]] bool draining() const;

  // Makes a change of the routes true on every shard, in the order of the calls. Returns its
  // revision. REQUIRES: this is shard 0.
  std::uint64_t publish(registry::RouteUpdate update);
  // The revision that every shard has applied. REQUIRES: this is shard 0.
  [[nodiscard]] std::uint64_t routes_applied() const;
  // Names the one observer, which must outlive the router. Not told of what is applied at once.
  void observe(RouteObserver* observer);

  // Counters and census of this shard.
  [[nodiscard]] const RouterStats& stats() const;
  [[nodiscard]] RouterCensus census() const;

 private:
  std::unique_ptr<RouterCore> core_;
};

}  // namespace valkyrie::router
