// What the routers of a node's shards say to each other. The embedding carries the messages, each
// pair's in the order in which they were sent, none lost.
//
// Calls are named by the id their origin gave them, in both directions: the origin is the shard of
// the caller's connection. A lane is one caller's stream of calls towards one instance. A stream
// has two ends, each named by the id its own shard gave it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "protocol/constants.h"
#include "server/policy/gate.h"
#include "server/registry/instance.h"
#include "server/registry/probe.h"

namespace valkyrie::router {

// What a lane or stream needs to know of the STREAM_OPEN it serves. Immutable, but for what passes
// its gate; shared by pointer.
struct OpenInfo {
  std::string target;               // SERVICE.
  std::string method;               // METHOD; empty: each request has its own.
  std::vector<std::byte> metadata;  // For the STREAM_OPEN of the next hop.
  std::uint8_t qos = protocol::kQosDefault;
  std::uint32_t shard = 0;       // Of the caller,
  std::uint64_t connection = 0;  // its connection there,
  std::string address;           // and who it is.
  std::string identity;
  std::shared_ptr<policy::Gate> gate;  // What it has to pass; null: it may do everything.
  std::uint64_t key = 0;               // Of AFFINITY or the caller, where calls go by it.
};

// A message to a subject; routers know more of it.
struct Publication;

// Metadata and payload in one buffer, whose memory the shards pass to and fro.
struct Body {
  std::vector<std::byte> bytes;
  std::uint32_t metadata_bytes = 0;

  // What a MetadataWriter wrote or parse_metadata() takes.
  [[nodiscard]] std::span<const std::byte> metadata() const {
    return std::span(bytes).first(metadata_bytes);
  }
  // All after that.
  [[nodiscard]] std::span<const std::byte> payload() const {
    return std::span(bytes).subspan(metadata_bytes);
  }
};

// Why a shard could not give a call or stream to the instance it was sent to.
enum class RefusalReason : std::uint8_t {
  gone,       // The instance is no longer there, or its connection drains.
  busy,       // It has all the calls it takes; `room` comes when there is some.
  full,       // Its connection takes no more for now.
  too_large,  // Its peer does not accept a message this long.
};

// One message. Which fields count is said beside each type.
struct ShardMessage {
  // What it is about.
  enum class Type : std::uint8_t {
    // Shard 0 to all: `route`. Answered by route_applied.
    route,
    // `number`: the revision that was applied.
    route_applied,
    // To shard 0: `number`: the calls of this instance fail.
    suspect,
    // To shard 0: `number`, `verdict` on this instance by its probes, `body` (payload: why).
    probed,
    // Origin to owner: `lane`, `number` (instance id, or index of a local service), `open`.
    lane_open,
    // Origin to owner: `lane` has no call left and takes none any more.
    lane_close,
    // Origin to owner: `id` (call), `lane`, `qos`, `bytes` (cost), `body`.
    request,
    // The same without an answer; `id` is 0.
    notify,
    // Owner to origin: `number` (instance id): after `busy` there is room for one call, which is
    // kept for it.
    room,
    // Origin to owner: `number`: it is not needed.
    room_back,
    // Owner to origin: `id`, `reason`, `body` and `bytes` of the request as they were.
    refused,
    // Owner to origin: `id`, `lane`, `qos`, `stream` and `bytes` (upstream, to give back), `body`.
    response,
    // Origin to owner: `id`; with `more` the answer is not wanted either.
    cancel,
    // Owner to origin: `lane`, `bytes` of requests have left.
    request_credit,
    // Origin to owner: `lane`, `stream`, `bytes` of responses have left.
    response_credit,
    // Origin to owner: `id` (its end), `number` (instance id, or with `more` the index of a local
    // service), `open`.
    stream_open,
    // Owner to origin: `id`, `number` (the owner's end).
    stream_accepted,
    // Owner to origin: `id`, `reason`. There is no end at the owner.
    stream_refused,
    // Either way: `id`, `lane` (the sender's end), `qos`, `more`, `bytes` (cost), `body`.
    stream_data,
    // Either way: `id`, `body` (metadata).
    stream_end,
    // Either way: `id`, `code`, `body` (payload: text). Nothing about the stream follows.
    stream_reset,
    // Either way: `id`: the stream ended in order. Nothing about it follows.
    stream_closed,
    // Either way: `id`, `bytes` of what it sent have left.
    stream_credit,
    // To all: `more`: the sender has subscriptions of a filter (`body`: payload); or not any more.
    interest,
    // To all: `number` members of a group (`body`: metadata is its filter, payload its name) are
    // with the sender; with `more` one of them can take a message at once.
    group,
    // To those with an interest in its subject: `publication`.
    publication,
    // To the one whose members shall have it: `publication`, `body` as of group, `number` (shards
    // it has been sent to).
    group_publication,
    // To the shard of its publisher: `lane` (connection), `stream`, `bytes` were taken by all.
    publication_credit,
  };

  Type type = Type::route;
  std::uint8_t qos = protocol::kQosDefault;
  bool more = false;
  bool has_room = false;   // Of request, notify and stream_open: it is what `room` was kept for,
  bool is_hungry = false;  // and there are more that wait.
  RefusalReason reason = RefusalReason::gone;
  registry::ProbeVerdict verdict = registry::ProbeVerdict::same;
  protocol::CloseCode code = protocol::CloseCode::none;
  std::uint32_t stream = 0;
  std::uint32_t bytes = 0;
  std::uint64_t id = 0;
  std::uint64_t lane = 0;
  std::uint64_t number = 0;
  Body body;
  std::shared_ptr<const OpenInfo> open;
  std::shared_ptr<const registry::RouteUpdate> route;
  std::shared_ptr<const Publication> publication;
};

// Takes messages for other shards.
class Outbox {
 public:
  // Sends to `shard`, which is not the sender's own. May queue, never fails.
  virtual void send(std::uint32_t shard, ShardMessage&& message) = 0;

 protected:
  ~Outbox() = default;
};

}  // namespace valkyrie::router
