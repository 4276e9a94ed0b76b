#include "server/ops/shard.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <utility>

#include "protocol/frame_body.h"
#include "server/ops/admission.h"
#include "server/policy/identity.h"
#include "transport/duration_text.h"

namespace valkyrie::server {
namespace {

using transport::CloseCause;
using transport::CloseReason;
using transport::Connection;

// How old the gauges may be that other threads read.
constexpr protocol::Duration kGaugesInterval = std::chrono::milliseconds{10};

// How often the end of a credential is compared with the clock, which may have been set.
constexpr std::chrono::seconds kExpiryLookInterval = std::chrono::minutes{1};

std::string subject_of(const transport::PeerCredentials& credentials) {
  return fmt::format("uid:{}", credentials.uid);
}

policy::WallTime wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

// Who a peer is for the rate limit of log lines: its host or its user.
std::string log_key(const Connection& connection) {
  const auto& credentials = connection.peer_credentials();
  if (credentials) return fmt::format("unix uid {}", credentials->uid);
  const std::string& name = connection.peer_name();
  return name.substr(0, name.rfind(':'));
}

// Ends as they should be.
bool is_orderly(const CloseReason& reason) {
  return reason.cause == CloseCause::session &&
         (reason.code == protocol::CloseCode::none || reason.code == protocol::CloseCode::draining);
}

// The end of a line that stands for more than one.
std::string left_out_text(std::uint64_t count) {
  return count == 0 ? "" : fmt::format(" [{} more of this peer were not logged]", count);
}

std::string_view explain(CloseCause cause) {
  switch (cause) {
    case CloseCause::http_bytes:
      return "; this door speaks valkyrie, not HTTP";
    case CloseCause::tls_bytes:
      return "; this door does not speak TLS";
    case CloseCause::noise_bytes:
      return "; this door does not speak Noise";
    case CloseCause::plain_bytes:
      return "; this door takes nobody without a channel: dial it as tls:// or noise://";
    case CloseCause::garbage:
      return "; its first bytes are of no known protocol";
    case CloseCause::door_timeout:
      return "; it said nothing";
    case CloseCause::half_open_limit:
      return "; too many connections have not said hello";
    default:
      return "";
  }
}

protocol::SessionConfig session_config(const ShardContext& context, protocol::OutputMeter& meter,
                                       protocol::QosClass ceiling) {
  protocol::SessionConfig config;
  config.agent = fmt::format("valkyrie-server/{}", context.identity.version);
  config.node_id = context.identity.name;
  config.reader = protocol::MetadataReader::relay;
  config.limits.requests_in_flight_max = context.options.requests_in_flight_max;
  config.limits.handshake_timeout = context.options.handshake_timeout;
  config.limits.queued_bytes_max = context.options.qos->queued_bytes_max;
  config.limits.stall_timeout = context.options.qos->stall_timeout;
  config.meter = &meter;
  config.shares = context.options.qos->shares;
  config.qos_ceiling = ceiling;
  return config;
}

}  // namespace

// A connection and its place in the router: the handler of its own events, so that nothing is
// looked up per event.
class Shard::Peer final : public transport::ConnectionHandler {
 public:
  Peer(Shard& shard, transport::Socket socket, const protocol::SharedSessionConfig& config,
       const transport::ConnectionOptions& options, std::string prefix, std::size_t place)
      : place_(place),
        door_place(shard.context_.guard, std::move(prefix)),
        shard_(shard),
        connection_(shard.reactor_, std::move(socket), protocol::Role::acceptor, config,
                    shard.pool_, *this, options, &shard.half_open_) {}

  void on_event(Connection& connection, const protocol::Event& event) override {
    router::Router& router = shard_.node_.router();
    const protocol::Instant now = shard_.reactor_.now();
    shard_.meter_.set_now(now);
    if (event.type == protocol::EventType::ready && !let_in(connection, now)) return;
    if (id_ == 0) return;  // It ended before its hello did: no router knows it.
    if (event.type == protocol::EventType::auth) return static_cast<void>(renew());
    // What it asks is answered by the policy as it is now. Its end it may have by the one before.
    if (event.type != protocol::EventType::closed) recheck();
    router.on_event(id_, event, now);
    shard_.reactor_.at_end_of_turn(shard_);
  }

  void on_closed(Connection&, const CloseReason& reason) override { shard_.forget(*this, reason); }

  // Gives a peer that may come in to the router; closes the session of another.
  bool let_in(Connection& connection, protocol::Instant now) {
    if (connection.channel() != nullptr) ++shard_.door_counts_.handshakes;
    const auto admitted = shard_.ask_about(connection);
    if (!admitted) return turn_away(admitted.error());
    const std::string identity = policy::identity_value(admitted->identity);
    if (!take_session(identity)) return false;
    if (!shard_.audit_session(connection, "session.open", admitted->identity)) {
      return refuse("the node cannot write its audit log");
    }
    door_place.settle();
    std::shared_ptr<SessionGate> gate;
    if (!shard_.security_->policy.is_open()) {
      standing_ =
          std::make_unique<Standing>(*this, *admitted, shard_.make_gate(*admitted, connection));
      gate = standing_->gate;
      hold_until(admitted->valid_until);
      if (!connection.session().peer().token.empty()) confirm(admitted->valid_until);
    }
    id_ = shard_.node_.router().attach(connection.session(), connection.peer_name(), identity, this,
                                       now, std::move(gate));
    return true;
  }

  // Holds the peer to the policy of the shard, if it has been let in under an older one.
  void recheck() {
    if (standing_ == nullptr || standing_->epoch == shard_.security_epoch_) return;
    standing_->epoch = shard_.security_epoch_;
    const auto admitted = shard_.ask_about(connection_);
    if (!admitted) return expire(admitted.error().why);
    if (!policy::may_renew(standing_->identity, admitted->identity)) {
      return expire("the node's policy now takes this peer for another");
    }
    stand_as(*admitted);
  }

  // Its number in the router; 0 before the hello.
  [[nodiscard]] router::ConnectionId id() const { return id_; }
  [[nodiscard]] Connection& connection() { return connection_; }

  std::size_t place_;
  DoorPlace door_place;

 private:
  // Of a session that a policy holds: where there is none, there is no memory to spare for it.
  struct Standing {
    Standing(Peer& peer, const AdmittedPeer& admitted, std::shared_ptr<SessionGate> its_gate)
        : identity(admitted.identity),
          gate(std::move(its_gate)),
          epoch(peer.shard_.security_epoch_),
          timer(transport::Timer::calling<&Peer::watch_expiry>(&peer)) {}

    policy::Identity identity;
    std::shared_ptr<SessionGate> gate;
    std::optional<policy::WallTime> until{};
    std::uint32_t epoch;  // Of the policy that it was held against.
    transport::Timer timer;
  };

  bool turn_away(const Refused& refused, std::string_view action = "door.refused") {
    if (refused.code == protocol::CloseCode::unauthenticated) ++shard_.door_counts_.unauthenticated;
    const std::string key = log_key(connection_);
    shard_.audit_refusal(action, key, connection_.peer_name(), refused.why);
    shard_.log_refusal(key, connection_.peer_name(), refused.why);
    connection_.session().close(refused.code, refused.why);
    return false;
  }

  bool refuse(std::string_view why) {
    connection_.session().close(protocol::CloseCode::refused, why);
    return false;
  }

  bool take_session(std::string_view identity) {
    const protocol::Instant now = shard_.reactor_.now();
    if (shard_.context_.guard.take_session(door_place.prefix(), identity, now)) return true;
    return refuse("too many sessions of this identity in a short time");
  }

  // The peer has shown another credential. It counts as another session of its identity: each costs
  // the node as much.
  bool renew() {
    constexpr std::string_view kAction = "session.renew";
    if (standing_ == nullptr) return turn_away({.why = "this node takes no credentials"}, kAction);
    const auto admitted = shard_.ask_about(connection_);
    if (!admitted) return turn_away(admitted.error(), kAction);
    if (!policy::may_renew(standing_->identity, admitted->identity)) {
      return turn_away({.why = "the credential speaks for another than the session"}, kAction);
    }
    if (!take_session(policy::identity_value(admitted->identity))) return false;
    if (!shard_.audit_session(connection_, kAction, admitted->identity)) {
      return refuse("the node cannot write its audit log");
    }
    stand_as(*admitted);
    confirm(admitted->valid_until);
    return true;
  }

  void stand_as(const AdmittedPeer& admitted) {
    standing_->identity = admitted.identity;
    standing_->epoch = shard_.security_epoch_;
    standing_->gate->replace(admitted.grants);
    hold_until(admitted.valid_until);
  }

  void confirm(std::optional<policy::WallTime> until) {
    std::uint32_t seconds = protocol::AuthOkBody::kNoEnd;
    if (until) {
      const auto left = std::max<std::chrono::seconds>(*until - wall_now(), {});
      seconds = static_cast<std::uint32_t>(std::min<std::int64_t>(left.count(), seconds - 1));
    }
    connection_.session().send_auth_ok(seconds);
  }

  void hold_until(std::optional<policy::WallTime> until) {
    standing_->until = until;
    standing_->timer.cancel();
    if (until) watch_expiry();
  }

  // Ends the session when its credential is over. Looks at the clock in between, as it may be set.
  void watch_expiry() {
    const policy::WallTime wall = wall_now();
    if (wall >= *standing_->until) return expire("the credential of this session is over");
    const auto left = std::min<std::chrono::seconds>(*standing_->until - wall, kExpiryLookInterval);
    shard_.reactor_.timers().arm(standing_->timer, shard_.reactor_.now() + left);
  }

  void expire(std::string_view why) {
    // It ends either way.
    static_cast<void>(
        shard_.audit_session(connection_, "session.expired", standing_->identity, why));
    connection_.session().close(protocol::CloseCode::auth_expired, why);
  }

  Shard& shard_;
  router::ConnectionId id_ = 0;
  Connection connection_;
  std::unique_ptr<Standing> standing_;  // Null: no policy, or not let in.
};

// Where the shard accepts, how urgent a class those may use who come in there, and which channels
// it speaks.
class Shard::Door final : private transport::AcceptHandler {
 public:
  Door(Shard& shard, const transport::Listener& listener, protocol::QosClass ceiling,
       protocol::ChannelSource* channels)
      : acceptor(shard.reactor_, listener.fd(shard.index_), listener.shared(), *this),
        shard_(shard),
        ceiling_(ceiling),
        channels_(channels) {}

  transport::Acceptor acceptor;

 private:
  void on_accepted(transport::Socket socket) override {
    shard_.on_accepted(std::move(socket), ceiling_, channels_);
  }
  void on_accept_paused(std::error_code cause) override { shard_.on_accept_paused(cause); }

  Shard& shard_;
  const protocol::QosClass ceiling_;
  protocol::ChannelSource* const channels_;
};

Shard::Shard(std::uint32_t index, std::uint32_t seed, ShardContext& context,
             transport::Reactor& reactor)
    : index_(index),
      context_(context),
      reactor_(reactor),
      half_open_(std::max<std::size_t>(1, context.options.half_open_max / context.options.shards)),
      node_({.shard = index,
             .shards = static_cast<std::uint32_t>(context.options.shards),
             .seed = seed,
             .subscription_bytes_max = context.options.qos->queued_bytes_max,
             .rules = context.options.rules,
             .qos = {context.options.qos, &context.options.qos->rules}},
            context.identity, context.gauges, *this),
      security_(context.security) {
  connection_options_.door_timeout =
      std::min(connection_options_.door_timeout, context.options.handshake_timeout);
  for (std::uint8_t i = 0; i < protocol::kClassWeights.size(); ++i) {
    session_configs_.emplace_back(
        session_config(context, meter_, static_cast<protocol::QosClass>(i)));
  }
  context_.links.attach(index_, reactor_, *this);
}

Shard::~Shard() {
  timer_.cancel();
  doors_.clear();
}

std::expected<void, std::error_code> Shard::accept_from(const transport::Listener& listener,
                                                        protocol::QosClass ceiling,
                                                        protocol::ChannelSource* channels) {
  doors_.push_back(std::make_unique<Door>(*this, listener, ceiling, channels));
  return doors_.back()->acceptor.start();
}

// A session's ceiling is its peer's, mostly that of all, and never above that of its door.
const protocol::SharedSessionConfig& Shard::config_for(const transport::Socket& socket,
                                                       protocol::QosClass ceiling) const {
  const router::QosRules& rules = context_.options.qos->rules;
  protocol::QosClass of_peer = rules.ceiling_of({});
  if (!rules.ceilings().empty()) {
    const auto credentials = transport::peer_credentials(socket.fd());
    if (credentials) of_peer = rules.ceiling_of(subject_of(*credentials));
  }
  return session_configs_[static_cast<std::size_t>(std::max(of_peer, ceiling))];
}

void Shard::on_accepted(transport::Socket socket, protocol::QosClass ceiling,
                        protocol::ChannelSource* channels) {
  if (std::exchange(accept_paused_, false)) {
    context_.log.info("accepting connections again (shard {})", index_);
  }
  std::string prefix = context_.guard.prefix_of(socket.fd());
  const policy::Admission admission = context_.guard.admit(prefix, reactor_.now());
  if (admission != policy::Admission::admitted) return refuse(prefix, admission);
  const protocol::SharedSessionConfig& config = config_for(socket, ceiling);
  transport::ConnectionOptions options = connection_options_;
  options.channels = channels;
  options.handshakes = context_.handshakes;
  auto peer = std::make_unique<Peer>(*this, std::move(socket), config, options, std::move(prefix),
                                     peers_.size());
  if (const auto started = peer->connection().start(); !started) {
    context_.log.warn("dropped {}: {}", peer->connection().peer_name(), started.error().message());
    return;
  }
  peers_.push_back(std::move(peer));
}

void Shard::on_accept_paused(std::error_code cause) {
  if (std::exchange(accept_paused_, true)) return;
  context_.log.warn(
      "accepting pauses (shard {}): {}; it goes on when connections close. Raise the limit of open "
      "files (ulimit -n, LimitNOFILE=) if this is normal load",
      index_, cause.message());
}

void Shard::post(std::function<void()> work) {
  reactor_.post([this, work = std::move(work)] {
    meter_.set_now(reactor_.now());
    work();
    reactor_.at_end_of_turn(*this);
  });
}

void Shard::on_message(std::size_t from, router::ShardMessage&& message) {
  meter_.set_now(reactor_.now());
  node_.router().on_message(static_cast<std::uint32_t>(from), std::move(message), reactor_.now());
  reactor_.at_end_of_turn(*this);
}

void Shard::send(std::uint32_t shard, router::ShardMessage&& message) {
  context_.links.send(index_, shard, std::move(message));
}

void Shard::on_end_of_turn() {
  router::Router& router = node_.router();
  while (void* owner = router.next_dirty()) {
    // Asking for the session is what makes it write, and hand out its events, in this turn.
    static_cast<void>(static_cast<Peer*>(owner)->connection().session());
  }
  router.end_turn();
  store_gauges();
  if (const auto deadline = router.deadline()) wake_at(*deadline);
}

// A turn that comes too soon after the last copy leaves its numbers to the timer.
void Shard::store_gauges() {
  if (reactor_.now() < gauges_due_) return wake_at(gauges_due_);
  gauges_due_ = reactor_.now() + kGaugesInterval;
  node_.store_gauges();
  context_.gauges.store(index_, meter_);
  context_.gauges.store(index_, door_counts_);
}

void Shard::wake_at(protocol::Instant instant) {
  if (!timer_.armed() || timer_.deadline() > instant) reactor_.timers().arm(timer_, instant);
}

void Shard::on_timer() {
  const protocol::Instant now = reactor_.now();
  const auto deadline = node_.router().deadline();
  if (deadline && *deadline <= now) node_.router().on_deadline(now);
  reactor_.at_end_of_turn(*this);
}

void Shard::forget(Peer& peer, const CloseReason& reason) {
  if (peer.id() != 0) {
    node_.router().detach(peer.id());
  } else if (!is_orderly(reason)) {
    audit_refusal("door.refused", log_key(peer.connection()), peer.connection().peer_name(),
                  transport::to_string(reason));
  }
  if (peer.connection().in_handshake() && peer.id() == 0) ++door_counts_.handshakes_failed;
  count_pq_refusal(reason);
  count_end(peer, reason);
  reactor_.at_end_of_turn(*this);
  log_close(peer.connection(), reason);
  const std::size_t place = peer.place_;
  std::swap(peers_[place], peers_.back());
  peers_[place]->place_ = place;
  peers_.pop_back();
  for (const auto& door : doors_) door->acceptor.connection_closed();
  check_drained();
}

std::expected<AdmittedPeer, Refused> Shard::ask_about(Connection& connection) const {
  return admit(*security_, context_.noise, connection, wall_now());
}

std::shared_ptr<SessionGate> Shard::make_gate(const AdmittedPeer& peer,
                                              const Connection& connection) {
  return std::make_shared<SessionGate>(
      peer.grants, GateOwner{.who = peer.identity.subject, .from = connection.peer_name()},
      context_.audit, context_.usages.of(policy::identity_value(peer.identity), reactor_.now()));
}

// False if the session is to be refused since what happens to it cannot be written down.
bool Shard::audit_session(const Connection& connection, std::string_view action,
                          const policy::Identity& identity, std::string_view refusal) {
  if (context_.audit == nullptr) return true;
  return context_.audit->write({.who = identity.subject,
                                .action = action,
                                .from = connection.peer_name(),
                                .decision = refusal.empty() ? policy::AuditDecision::allowed
                                                            : policy::AuditDecision::refused,
                                .reason = refusal});
}

// One record per peer in a time, as in the log: nobody fills the disk by knocking.
void Shard::audit_refusal(std::string_view action, const std::string& peer, std::string_view name,
                          std::string_view reason) {
  if (context_.audit == nullptr) return;
  const auto left_out = context_.refusals.note(peer, reactor_.now());
  if (!left_out) return;
  const std::string why =
      *left_out == 0 ? std::string(reason) : fmt::format("{}, and {} more", reason, *left_out);
  // The connection is over either way.
  static_cast<void>(context_.audit->write(
      {.action = action, .from = name, .decision = policy::AuditDecision::refused, .reason = why}));
}

// The connection is closed before a byte of it was read.
void Shard::refuse(const std::string& prefix, policy::Admission admission) {
  const std::string_view word = policy::to_string(admission);
  ++door_counts_.refused_unread;
  reactor_.at_end_of_turn(*this);
  audit_refusal("door.refused", prefix, prefix, word);
  log_refusal(prefix, prefix, word);
}

// In place of the line of the close that follows, which has no more than a word.
void Shard::log_refusal(const std::string& peer, std::string_view name, std::string_view why) {
  const auto left_out = context_.closes.note(peer, reactor_.now());
  if (!left_out) return;
  context_.log.warn("refused {}: {}{}", name, why, left_out_text(*left_out));
}

// What speaks against a peer may get it banned.
void Shard::count_end(const Peer& peer, const CloseReason& reason) {
  const std::string& prefix = peer.door_place.prefix();
  const auto ban = context_.guard.note_end(prefix, reason, peer.id() != 0, reactor_.now());
  if (!ban) return;
  const std::string time = transport::duration_text(*ban);
  context_.log.warn("banned {} for {}: it failed too often, {} at last", prefix, time,
                    transport::to_string(reason));
  if (context_.audit == nullptr) return;
  static_cast<void>(context_.audit->write({.action = "peer.banned",
                                           .what = prefix,
                                           .from = prefix,
                                           .decision = policy::AuditDecision::refused,
                                           .reason = time}));
}

// Of a door as its channel says it, of an identity as the session does.
void Shard::count_pq_refusal(const CloseReason& reason) {
  const bool of_channel =
      reason.cause == CloseCause::channel && reason.channel == protocol::ChannelError::pq_required;
  const bool of_session = reason.cause == CloseCause::session && reason.local &&
                          reason.code == protocol::CloseCode::pq_required;
  if (of_channel || of_session) ++door_counts_.pq_refused;
}

void Shard::log_close(const Connection& connection, const CloseReason& reason) {
  const std::string_view word = transport::to_string(reason);
  if (is_orderly(reason)) {
    return context_.log.debug("closed {}: {}", connection.peer_name(), word);
  }
  const auto left_out = context_.closes.note(log_key(connection), reactor_.now());
  if (!left_out) return;
  std::string line =
      fmt::format("closed {}: {}{}", connection.peer_name(), word, explain(reason.cause));
  if (reason.error) line += fmt::format(" ({})", reason.error.message());
  line += left_out_text(*left_out);
  context_.log.log(reason.local ? spdlog::level::warn : spdlog::level::info, line);
}

void Shard::drain(protocol::Duration grace) {
  draining_ = true;
  for (const auto& door : doors_) door->acceptor.stop();
  node_.router().drain(grace, reactor_.now());
  for (const auto& peer : peers_) {
    if (peer->id() == 0) peer->connection().session().close(protocol::CloseCode::draining);
  }
  reactor_.at_end_of_turn(*this);
  check_drained();
}

void Shard::set_security(std::shared_ptr<const Security> security) {
  security_ = std::move(security);
  ++security_epoch_;
  const bool runs = std::exchange(unchecked_, peers_.size()) > 0;
  if (!runs) recheck_some();
}

// Those who ask for something are held to the new policy then; here those who do not, a few in each
// turn, as it may take a signature each.
void Shard::recheck_some() {
  constexpr std::size_t kPeersPerTurn = 64;
  unchecked_ = std::min(unchecked_, peers_.size());
  const std::size_t stop = unchecked_ - std::min(unchecked_, kPeersPerTurn);
  // Closing takes none out of the list before the turn ends.
  for (; unchecked_ > stop; --unchecked_) peers_[unchecked_ - 1]->recheck();
  reactor_.at_end_of_turn(*this);
  if (unchecked_ > 0) reactor_.post([this] { recheck_some(); });
}

void Shard::abort() {
  for (const auto& peer : peers_) peer->connection().abort();
}

void Shard::check_drained() {
  if (!draining_ || drained_ || !peers_.empty()) return;
  drained_ = true;
  context_.on_drained();
}

}  // namespace valkyrie::server
