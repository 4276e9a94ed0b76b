// The state behind Router. Private to this folder. One file of functions per concern:
//   router_events.cc    connections and what their sessions tell
//   router_permissions.cc  what the policy says
//   router_calls.cc     a call from its request to its answer
//   router_lanes.cc     lanes and upstream streams; writing a request to an instance
//   router_waiting.cc   calls and streams that wait for room
//   router_room.cc      whom the room at an instance goes to, of those that wait on any shard
//   router_probes.cc    calls of the node's own to see whether instances answer
//   router_streams.cc         a stream from its STREAM_OPEN to its other end
//   router_stream_ends.cc     what passes between the two ends of a stream
//   router_local_services.cc  ends that are local services, and the handles they answer through
//   publish_core.h      publish/subscribe
//   router_shards.cc    messages between shards, routes, credit
#pragma once

#include <array>
#include <expected>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "server/registry/route_table.h"
#include "server/router/publish_core.h"
#include "server/router/router_state.h"
#include "server/router/slab.h"

namespace valkyrie::router {

using protocol::CloseCode;
using protocol::Instant;
using protocol::Outcome;
using protocol::StatusCode;

using Bytes = std::span<const std::byte>;

// A message on its way: end-to-end and hop entries that go on, and the payload. Borrowed.
struct Message {
  Bytes metadata;
  Bytes payload;
};

// What keeps the payload of a message, which then need not be copied; nullptr: nobody does.
using Keeper = std::shared_ptr<const void>;

// The id with its tag, as `user` of a stream or `cookie` of a message.
[[nodiscard]] constexpr std::uint64_t tagged(Tag tag, std::uint64_t id) {
  return static_cast<std::uint64_t>(tag) << Slab<Call>::kIdBits | id;
}
// The two parts of it.
[[nodiscard]] constexpr Tag tag_of(std::uint64_t value) {
  return static_cast<Tag>(value >> Slab<Call>::kIdBits);
}
[[nodiscard]] constexpr std::uint64_t id_of(std::uint64_t value) {
  return value & ((std::uint64_t{1} << Slab<Call>::kIdBits) - 1);
}

// Metadata with a STATUS and nothing else; nothing at all if it is ok.
class StatusMetadata {
 public:
  explicit StatusMetadata(const protocol::Status& status);
  StatusMetadata(const StatusMetadata&) = delete;
  StatusMetadata& operator=(const StatusMetadata&) = delete;

  // Lives as long as this.
  [[nodiscard]] Bytes bytes() const { return bytes_; }

 private:
  std::array<std::byte, protocol::kEntryHeaderBytes + protocol::kStatusBytesMax> buffer_;
  Bytes bytes_;
};

// The code a caller is told when no instance was chosen.
[[nodiscard]] StatusCode refusal_code(registry::NoChoice why);

// Objects of this shard by the id another shard gave them: slots, as ids are dense.
template <class T>
class FarIndex {
 public:
  T*& operator[](std::uint64_t id) {
    const std::size_t index = Slab<T>::index_of(id);
    if (index >= slots_.size()) slots_.resize(index + 1, nullptr);
    return slots_[index];
  }

 private:
  std::vector<T*> slots_;
};

// Not for embeddings: see Router.
class RouterCore final : private LocalPort {
 public:
  RouterCore(const RouterConfig& config, Outbox& outbox);

  void add_local(const LocalServiceInfo& info, LocalService* service);
  ConnectionId attach(protocol::Session& session, std::string_view address,
                      std::string_view identity, void* owner, Instant now,
                      std::shared_ptr<policy::Gate> gate);
  void on_event(ConnectionId connection, const protocol::Event& event, Instant now);
  void detach(ConnectionId connection);
  void* next_dirty();
  void on_message(std::uint32_t from, ShardMessage&& message, Instant now);
  void end_turn();
  [[nodiscard]] std::optional<Instant> deadline() const;
  void on_deadline(Instant now);
  void drain(protocol::Duration grace, Instant now);
  // Lets those go on that waited for what became free. Last in whatever the embedding calls.
  void settle() {
    if (!woken_.empty() || !roomy_.empty()) serve_all();
  }
  std::uint64_t publish(registry::RouteUpdate update);
  [[nodiscard]] std::uint64_t routes_applied() const;
  [[nodiscard]] RouterCensus census() const;

  RouterStats stats;
  RouteObserver* observer = nullptr;
  bool draining = false;

 private:
  using Event = protocol::Event;
  friend class PublishCore;

  // router_permissions.cc
  // Why the policy forbids something to the peer of a connection; nullopt if it does not. The text
  // is valid until the next question.
  std::optional<std::string_view> forbidden(policy::Gate* gate, policy::Action action,
                                            const policy::Name& name,
                                            const protocol::MetadataView& metadata);
  // The same of a method that a stream calls, or a request of a binding.
  std::optional<std::string_view> forbidden_call(const OpenInfo& open, std::string_view method,
                                                 const protocol::MetadataView& metadata);
  std::optional<std::string_view> forbidden_call(Binding& binding,
                                                 const protocol::MetadataView& metadata);
  std::optional<std::string_view> forbidden(ConnectionId id, policy::Action action,
                                            std::string_view subject,
                                            const protocol::MetadataView& metadata);
  // Why its limits do not let a call begin, as above; else it has begun, and `lasts` if it counts
  // until it is over.
  std::optional<std::string_view> over_limit(policy::Gate* gate, bool& lasts);
  // The same of a message that is published.
  std::optional<std::string_view> over_rate(ConnectionId id);
  [[nodiscard]] std::optional<protocol::Status> turned_away(Call& call,
                                                            const protocol::MetadataView& metadata);

  // The connection, whose session is going to be used; nullptr if it is gone. Everyone who uses a
  // session asks for it here.
  Connection* touch(ConnectionId id) {
    const Recent& recent = recent_[id % recent_.size()];
    return recent.id == id ? recent.connection : touch_first(id);
  }
  // router_events.cc
  Connection* touch_first(ConnectionId id);
  void forget_touched(ConnectionId id);
  [[nodiscard]] bool is_given_up(const Event& event) const;
  void on_stream_opened(ConnectionId id, const Event& event);
  void on_binding_event(ConnectionId id, Binding& binding, const Event& event);
  void on_upstream_event(Upstream& upstream, const Event& event);
  void on_flushed(const Event& event);
  void leave(Connection& connection);

  // router_calls.cc
  void bind(ConnectionId id, const Event& event);
  [[nodiscard]] std::shared_ptr<OpenInfo> open_info(
      ConnectionId id, const Event& event, std::string_view target,
      std::optional<protocol::Duration> deadline = std::nullopt);
  void unbind(Binding& binding);
  void free_if_done(Binding& binding);
  void on_request(Binding& binding, const Event& event);
  void on_notify(Binding& binding, const Event& event);
  [[nodiscard]] std::vector<const QosRule*> qos_rules(ConnectionId id, std::string_view target);
  [[nodiscard]] std::optional<protocol::QosClass> class_by_rule(
      std::span<const QosRule* const> rules, ConnectionId id, std::string_view method,
      const protocol::MetadataView& metadata);
  [[nodiscard]] protocol::QosClass below_ceiling(protocol::QosClass qos_class, ConnectionId id);
  [[nodiscard]] std::vector<const QosRule*> publisher_qos_rules(ConnectionId id);
  [[nodiscard]] std::uint8_t published_qos(const Publisher& publisher, std::string_view subject,
                                           const Event& event);
  [[nodiscard]] std::uint8_t lowered(std::uint8_t qos, const policy::Gate* gate);
  [[nodiscard]] std::uint8_t reclassed(std::uint8_t qos, std::optional<protocol::QosClass> by_rule);
  [[nodiscard]] std::uint8_t scheduled_qos(const Binding& binding, const Event& event);
  void on_cancel(Call& call);
  void on_abandoned(Call& call);
  void on_response(Call& call, ConnectionId from, const Event& event);
  void on_request_failed(Call& call, const Event& event);
  void route(Call& call, const Message& message);
  bool offer(Call& call, registry::Instance* instance, const Message& message);
  void refuse(Call& call, registry::NoChoice why, std::string_view method);
  void answer_status(Call& call, const protocol::Status& status);
  void count(const Call& call, Bytes answer);
  void complete(Call& call, const Message& answer, const Debt& debt);
  void answered(Call& call, const Message& answer, std::uint8_t qos, const Debt& debt);
  void forget(Call& call);
  void release_request(Call& call);
  [[nodiscard]] std::string_view method_of(const Call& call, Bytes metadata) const;
  void answer_upstream(Call& call, const protocol::Status& status);
  [[nodiscard]] Bytes forwarded(const protocol::MetadataView& metadata);
  [[nodiscard]] Bytes onward(const protocol::MetadataView& metadata);
  [[nodiscard]] Bytes rewritten(const protocol::MetadataView& metadata,
                                std::optional<protocol::Duration> deadline);

  // router_lanes.cc
  enum class Written : std::uint8_t { taken, gone, busy, full, too_large };
  Lane& lane_to(Binding& binding, registry::Instance* instance);
  void open_upstream(Lane& lane);
  void enter(Call& call, Lane& lane);
  void enter(Call& call, Upstream& upstream);
  void leave_lane(Call& call);
  void leave_upstream(Call& call);
  void close_lane(Lane& lane);
  void close_upstream(Upstream& upstream);
  void set_idle(Lane& lane);
  void set_busy(Lane& lane);
  Written write(Upstream& upstream, Call& call, const Message& message);
  Written write_to_session(Upstream& upstream, Call& call, const Message& message);
  std::expected<std::uint32_t, protocol::SendError> open_stream(Upstream& upstream,
                                                                protocol::Session& session);
  void serve(Upstream& upstream, Call& call, const Message& message);
  void refuse_method(Upstream& upstream, Call& call, std::string_view method);
  void drop_unflushed(Call*& list);

  // router_waiting.cc
  [[nodiscard]] bool may_wait(const registry::Service& service, registry::NoChoice why,
                              bool for_first, bool found_full) const;
  [[nodiscard]] registry::Choice choose(registry::Service& service, std::string_view method,
                                        std::span<const std::uint64_t> tried, std::uint64_t key);
  void park(Call& call, const Message& message, registry::NoChoice why);
  void park(StreamEnd& end, registry::NoChoice why);
  [[nodiscard]] bool enqueue(registry::Service& service, Waiter& waiter, std::uint8_t qos,
                             bool waited);
  void count_waiting(const WaitQueue& queue);
  void unpark(Waiter& waiter);
  void wake(registry::Service& service);
  void serve_all();
  void serve(std::uint64_t queue);
  bool resume(std::uint64_t what);
  bool resume(Call& call);
  bool resume(StreamEnd& end);
  void expire_parked();
  [[nodiscard]] std::string refusal_text(const registry::Service& service, registry::NoChoice why,
                                         std::string_view method);

  // router_room.cc
  void occupy(registry::Instance& instance);
  void vacate(registry::Instance& instance, bool ours);
  void feed(registry::Instance& instance, bool others_only);
  void post_to_instance(ShardMessage&& message, registry::Instance& instance);
  void take_room(registry::Instance& instance, std::uint32_t from, const ShardMessage& message);
  void on_room(std::uint32_t from, const ShardMessage& message);
  void on_room_back(const ShardMessage& message);
  void note_answer(const registry::Instance& instance, StatusCode code);
  void suspect(std::uint64_t instance);

  // router_probes.cc
  void begin_probes(registry::Instance& instance);
  void end_probes(registry::Instance& instance);
  void run_probes();
  void reschedule(std::uint64_t id, Probed& probed);
  void send_probe(std::uint64_t id, Probed& probed);
  void on_probe_end(const Event& event);
  void on_probe_stream(std::uint64_t id, ConnectionId connection, const Event& event);
  void judge(std::uint64_t id, Probed& probed, registry::ProbeVerdict verdict,
             std::string_view why);
  void on_probed(const ShardMessage& message);

  // router_streams.cc
  void take_stream(ConnectionId id, const Event& event);
  void route(StreamEnd& end);
  bool offer(StreamEnd& end, registry::Instance& instance);
  std::expected<StreamEnd*, RefusalReason> open_instance(std::uint64_t instance,
                                                         const OpenInfo& open, std::uint32_t shard,
                                                         std::uint64_t caller);
  void open_local(StreamEnd& end);
  void connect(StreamEnd& end, std::uint64_t other, std::uint32_t shard);
  void refuse(StreamEnd& end, registry::NoChoice why);
  void refuse(StreamEnd& end, const protocol::Status& status);
  void close_opening(StreamEnd& end);
  void stamp_deadline(Opening& opening);
  void leave_instance(StreamEnd& end);
  void on_stream_message(std::uint32_t from, ShardMessage& message);
  void on_far_open(std::uint32_t from, const ShardMessage& message);
  void on_accepted(std::uint32_t from, const ShardMessage& message);
  void on_stream_refused(const ShardMessage& message);

  // router_stream_ends.cc
  void on_end_event(StreamEnd& end, const Event& event);
  void finish(StreamEnd& end, const Event& event);
  [[nodiscard]] Keeper keeper_of(const StreamEnd& end);
  void hold(StreamEnd& end, const Event& event);
  void on_instance_ended(StreamEnd& end);
  void pass_data(StreamEnd& from, const Message& message, std::uint8_t qos, bool more,
                 std::uint32_t cost, Keeper keeper);
  void pass_end(StreamEnd& from, Bytes metadata);
  void pass_reset(StreamEnd& from, CloseCode code, std::string_view text);
  void pass_closed(StreamEnd& from);
  void give_back(const StreamEnd& end, std::uint32_t bytes);
  void pass_credit(StreamEnd& from, std::uint32_t bytes);
  [[nodiscard]] bool take_data(StreamEnd& to, const Message& message, std::uint8_t qos, bool more,
                               std::uint32_t cost, Keeper keeper);
  void take_end(StreamEnd& to, Bytes metadata);
  void take_reset(StreamEnd& to, CloseCode code, std::string_view text);
  void take_closed(StreamEnd& to);
  void take_credit(StreamEnd& to, std::uint32_t bytes);

  // router_local_services.cc
  [[nodiscard]] std::uint32_t shard_of(std::uint32_t local) const;
  [[nodiscard]] Caller caller_of(const OpenInfo& open) const;
  StreamEnd& make_service_end(std::uint32_t index, std::uint32_t shard, std::uint64_t caller);
  void start_service(StreamEnd& end, const OpenInfo& open);
  void take_service_data(StreamEnd& to, Bytes payload, std::uint8_t qos, bool more,
                         std::uint32_t cost);
  void take_service_credit(StreamEnd& to, std::uint32_t bytes);
  void close_service(StreamEnd& end, CloseCode code);
  [[nodiscard]] StreamEnd* service_end(std::uint64_t id);
  void answer(std::uint64_t call, const protocol::Status& status, Bytes payload) override;
  bool send(std::uint64_t stream, Bytes message, std::uint8_t qos) override;
  [[nodiscard]] bool writable(std::uint64_t stream) const override;
  void consume(std::uint64_t stream, std::uint32_t bytes) override;
  void end(std::uint64_t stream, const protocol::Status& status) override;
  void reset(std::uint64_t stream, CloseCode code, std::string_view text) override;

  // router_shards.cc
  [[nodiscard]] ShardMessage letter(ShardMessage::Type type, std::uint64_t id);
  [[nodiscard]] Body body_of(Bytes metadata, Bytes payload);
  void reuse(Body&& body);
  void post(std::uint32_t shard, ShardMessage&& message);
  void owe(std::uint32_t shard, ShardMessage::Type type, std::uint64_t lane, std::uint32_t stream,
           std::uint32_t bytes);
  void pay(const Debt& debt);
  void apply(const registry::RouteUpdate& update);
  void on_route(const ShardMessage& message);
  void on_call_message(std::uint32_t from, ShardMessage& message);
  void send_request(Call& call, Lane& lane, const Message& message);
  void on_lane_open(std::uint32_t from, const ShardMessage& message);
  void find_instance(Upstream& upstream);
  void on_far_request(std::uint32_t from, ShardMessage& message);
  void on_far_response(std::uint32_t from, ShardMessage& message);
  void on_refused(ShardMessage& message);

  struct Local {
    LocalServiceInfo info;
    LocalService* service = nullptr;
  };

  // A connection that is in dirty_, so that it need not be looked up again.
  struct Recent {
    ConnectionId id = 0;
    Connection* connection = nullptr;
  };

  const RouterConfig config_;
  Outbox& outbox_;
  Instant now_{};
  Instant drain_until_{};  // While draining.
  registry::Random random_;
  registry::RouteTable table_;
  std::vector<Local> locals_;
  std::string denial_;  // What forbidden() says.
  Slab<Connection> connections_;
  Slab<Binding> bindings_;
  Slab<Lane> lanes_;
  Slab<Upstream> upstreams_;
  Slab<Call> calls_;
  mutable Slab<StreamEnd> ends_;
  std::size_t streams_ = 0;  // Ends that are callers.
  PublishCore publish_;
  std::vector<ConnectionId> dirty_;
  std::array<Recent, 16> recent_{};
  Lane* idle_first_ = nullptr;
  Lane* idle_last_ = nullptr;
  Expiry parked_;                       // All that wait.
  mutable Slab<WaitQueue> queues_;      // Of services for which something waits.
  std::vector<std::uint64_t> woken_;    // Of those, where something became free.
  std::vector<std::uint64_t> roomy_;    // Instances with room that other shards wait for.
  registry::Instance* kept_ = nullptr;  // Far, with room for one call of ours, in on_room().
  Slab<Probed> probed_;
  std::set<std::pair<Instant, std::uint64_t>> probes_due_;
  std::vector<std::byte> scratch_;  // Metadata on its way out.
  // Of each other shard.
  std::vector<FarIndex<Upstream>> far_lanes_;
  std::vector<FarIndex<Call>> far_calls_;
  std::vector<std::vector<ShardMessage>> credit_;
  std::vector<std::uint64_t> applied_;
  std::uint64_t revision_ = 0;
  std::vector<std::vector<std::byte>> spare_;
};

}  // namespace valkyrie::router
