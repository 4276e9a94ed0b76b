// What a router keeps for connections, streams and calls. Private to this folder.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/registry/probe.h"
#include "server/registry/service.h"
#include "server/router/router.h"
#include "server/router/wait_queue.h"

namespace valkyrie::router {

struct Binding;
struct Lane;
struct Upstream;

// What the `user` of a stream and the `cookie` of a message stand for, in the top bits of either.
enum class Tag : std::uint8_t {
  none,
  binding,
  upstream,
  stream,
  call,
  publisher,
  subscription,
  probe,
};

// A session of this shard.
struct Connection {
  protocol::Session* session = nullptr;
  void* owner = nullptr;
  std::string_view address;  // Borrowed.
  std::string identity;
  std::shared_ptr<policy::Gate> gate;    // Null: it may do everything.
  std::vector<std::uint64_t> instances;  // Registered from here.
  std::uint64_t event_bytes = 0;         // That wait in the queues of its subscriptions.
  bool dirty = false;                    // In the list of next_dirty().
  bool leaving = false;                  // It drains or is over: nothing new goes there.
};

// An instance of this shard that is probed, as long as it is routed to.
struct Probed {
  registry::Instance* instance = nullptr;
  std::optional<registry::Probe> probe;  // There from the start.
  protocol::Instant due{};               // Its place in the order of what is due.
  std::uint64_t answers = 0;             // Of its gauge, when one was due last.
  std::uint32_t stream = 0;              // 0: not open now.
  std::uint32_t correlation = 0;
};

// Upstream credit that is owed until the caller's session has sent the answer on. The holder is a
// connection of this shard, or else a lane, as its owner knows it.
struct Debt {
  std::uint32_t shard = 0;
  std::uint32_t stream = 0;
  std::uint32_t bytes = 0;
  std::uint64_t holder = 0;
};

// A request that waits for room at its service.
struct Parked {
  Waiter waiter;
  Body body;
};

// A call, or a notify that waits for credit, on its way through this shard. On the shard of its
// caller it has a binding; on that of its instance an upstream; where both are one, both.
struct Call {
  enum class State : std::uint8_t {
    routing,    // No instance yet, or the offer came back.
    parked,     // Waits for room at its service.
    out,        // An instance, a local service or another shard has it.
    unflushed,  // Answered; the answer waits for the caller's credit.
  };

  std::uint64_t id = 0;
  Binding* binding = nullptr;
  Lane* lane = nullptr;          // Beside the binding, while out.
  Upstream* upstream = nullptr;  // While out.
  Call* next = nullptr;          // In Binding::unflushed or Upstream::unflushed.
  Call* previous = nullptr;
  std::unique_ptr<Parked> parked;
  Debt debt;                          // While unflushed.
  protocol::Instant since{};          // When it came, on the shard of its caller.
  std::uint64_t key = 0;              // What consistent_hash goes by.
  std::uint64_t origin_call = 0;      // Without binding: the id on the shard of the caller,
  std::uint32_t origin_shard = 0;     // which is this.
  std::uint32_t correlation = 0;      // Of the caller.
  std::uint32_t upstream_stream = 0;  // What the instance knows it by.
  std::uint32_t upstream_correlation = 0;
  std::uint32_t request_cost = 0;  // Owed to the caller's stream until the request has left.
  State state = State::routing;
  std::uint8_t qos = protocol::kQosDefault;
  std::uint8_t tried_count = 0;
  bool cancelled = false;
  bool notify = false;
  bool limited = false;                               // It counts at its gate until it is over.
  bool found_full = false;                            // Of those tried, one was.
  bool waited = false;                                // It has its place in the queue.
  std::array<std::uint64_t, kCallOffersMax> tried{};  // Instances that did not take it.
};

// A caller's `call` stream: its service and its lanes. It lives until the stream is over and the
// last call was answered.
struct Binding {
  // By instance id; a local service counts as 0.
  struct LaneOf {
    std::uint64_t instance = 0;
    Lane* lane = nullptr;
  };

  std::uint64_t id = 0;
  ConnectionId connection = 0;
  registry::Service* service = nullptr;
  std::shared_ptr<const OpenInfo> open;
  std::vector<LaneOf> lanes;
  std::vector<const QosRule*> qos_rules;  // That may match its messages.
  Call* unflushed = nullptr;
  std::uint64_t checked_generation =
      0;                     // Of the service, when the stream's METHOD was found in it.
  std::uint64_t pinned = 0;  // Instance, with option PIN, once there was a request.
  std::uint32_t stream = 0;
  std::uint32_t outstanding = 0;
  bool pin = false;
  bool wait = false;
  bool hashed = false;  // Its calls go by Call::key.
  // Its calls of the stream's METHOD are allowed as long as the gate is at this generation; those
  // of others are asked about one by one.
  bool permitted = false;
  std::uint32_t permitted_at = 0;
  bool over = false;
};

// A binding's way to one instance, kept by the caller's shard.
struct Lane {
  std::uint64_t id = 0;
  Binding* binding = nullptr;
  registry::Instance* instance = nullptr;  // Null: a local service.
  Upstream* upstream = nullptr;            // Null: on another shard.
  Lane* idle_next = nullptr;               // While idle, oldest first.
  Lane* idle_previous = nullptr;
  protocol::Instant idle_since{};
  std::uint32_t shard = 0;
  std::uint32_t outstanding = 0;
  bool idle = false;
};

// The same way, as the shard of the instance keeps it: its `call` stream there.
struct Upstream {
  std::uint64_t id = 0;
  std::uint64_t lane = 0;  // On `origin_shard`.
  std::shared_ptr<const OpenInfo> open;
  std::uint64_t instance_id = 0;           // Of a caller on another shard: whom it asked for.
  registry::Instance* instance = nullptr;  // Null: not known here yet, or a local service,
  LocalService* service = nullptr;         // which is this,
  const LocalServiceInfo* info = nullptr;  // with these methods.
  Call* unflushed = nullptr;               // Notifies that wait for credit.
  std::uint32_t origin_shard = 0;
  std::uint32_t stream = 0;  // 0: not open now.
  std::uint32_t outstanding = 0;
};

// What a stream's caller sent before the other end was there: a part of a message, or END.
struct Piece {
  Body body;
  std::uint32_t cost = 0;
  std::uint8_t qos = protocol::kQosDefault;
  bool more = false;
  bool end = false;
};

// A stream that looks for its other end.
struct Opening {
  registry::Service* service = nullptr;
  std::shared_ptr<const OpenInfo> open;
  std::vector<Piece> pieces;  // At most a window of the stream, as none of it is consumed.
  protocol::Instant since{};
  std::optional<protocol::Instant> deadline;
  Waiter waiter;                                      // Its queue is 0 unless it waits.
  std::array<std::uint64_t, kCallOffersMax> tried{};  // Instances that did not take it.
  std::uint8_t tried_count = 0;
  bool found_full = false;  // Of those tried, one was.
  bool waited = false;      // It has its place in the queue.
  bool wait = false;        // For a first instance too.
};

// The end of a stream that is a local service.
struct ServiceEnd {
  LocalService* service = nullptr;
  std::vector<std::byte> assembly;  // Parts of a message to the service.
  std::uint64_t unsent = 0;         // Bytes it sent that have not left towards the caller.
  bool stopped = false;             // send() said stop.
  bool ended = false;               // It sent END.
};

// One end of a stream through the node, on the shard it belongs to: the caller's session, the
// session of an instance, or a local service. What comes in at one end goes out at the other, and
// its credit returns when it has: so the node holds at most a window of each direction.
struct StreamEnd {
  enum class Kind : std::uint8_t { caller, instance, service };

  std::uint64_t id = 0;
  std::uint64_t other = 0;                 // The other end, on `other_shard`. 0: none yet, or gone.
  ConnectionId connection = 0;             // Of caller and instance.
  registry::Instance* instance = nullptr;  // Counted as busy with it, until the stream is over.
  std::unique_ptr<Opening> opening;        // Of a caller, while there is no other end.
  std::unique_ptr<ServiceEnd> local;       // Of a service.
  std::uint32_t other_shard = 0;
  std::uint32_t stream = 0;   // Of caller and instance.
  std::uint32_t waiting = 0;  // Bytes that wait in the session.
  Kind kind = Kind::caller;
  bool to_service = false;                      // Of a caller: the other end is a local service.
  bool mid_message = false;                     // The last part sent has MORE.
  bool ended = false;                           // END was sent.
  std::optional<protocol::QosClass> qos_class;  // Of a caller: what a rule has given it.
  std::shared_ptr<policy::Gate> gate;           // Of a caller; may be null.
  bool limited = false;                         // It counts there until it is over.
};

}  // namespace valkyrie::router
