// One shard of a running node: a thread's worth of reactor, listeners, connections and router.
#pragma once

#include <atomic>
#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <spdlog/logger.h>
#include <string>
#include <system_error>
#include <vector>

#include "protocol/buffer_pool.h"
#include "protocol/output_meter.h"
#include "server/node/node_shard.h"
#include "server/ops/admission.h"
#include "server/ops/close_log.h"
#include "server/ops/door_guard.h"
#include "server/ops/noise_door.h"
#include "server/ops/options.h"
#include "server/ops/security.h"
#include "server/ops/session_gate.h"
#include "server/ops/usage.h"
#include "server/policy/audit_sink.h"
#include "transport/acceptor.h"
#include "transport/connection.h"
#include "transport/half_open.h"
#include "transport/listener.h"
#include "transport/reactor.h"
#include "transport/shard_links.h"

namespace valkyrie::server {

// How the routers of the shards reach each other.
using NodeLinks = transport::ShardLinks<router::ShardMessage>;

// What all shards of a node share. Outlives them.
struct ShardContext {
  const ServerOptions& options;
  const NodeIdentity& identity;
  NodeGauges& gauges;
  NodeLinks& links;
  CloseLog& closes;
  DoorGuard& guard;
  CloseLog& refusals;                  // What of the ends before a hello goes into the audit log.
  policy::AuditSink* audit = nullptr;  // Null: there is no audit log.
  std::shared_ptr<const Security> security{};  // At the start. Never null once there are shards.
  UsageTable& usages;
  const NoiseDoor* noise = nullptr;                   // Null: no door speaks it.
  transport::HandshakeWorkers* handshakes = nullptr;  // Null: no door speaks a channel.
  spdlog::logger& log;
  // A shard that drains has lost its last connection. Called on the shard's thread, once.
  std::function<void()> on_drained;
};

// Carries the sessions of its connections to the router and back. One thread runs the reactor and
// calls everything but where said otherwise.
class Shard final : private transport::ShardReceiver<router::ShardMessage>,
                    private router::Outbox,
                    private transport::EndOfTurn {
 public:
  // Keeps references to `context` and `reactor`. `seed` varies the choice between instances.
  Shard(std::uint32_t index, std::uint32_t seed, ShardContext& context,
        transport::Reactor& reactor);
  // REQUIRES: the reactor does not run any more.
  ~Shard() override;
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // Accepts what comes to this listener's descriptor of the shard; nobody who does may use a class
  // above `ceiling`. `channels` are those that its door speaks, or nullptr; kept by reference.
  // Errors: the reactor cannot watch it. REQUIRES: before the thread starts.
  [[nodiscard]] std::expected<void, std::error_code> accept_from(
      const transport::Listener& listener, protocol::QosClass ceiling,
      protocol::ChannelSource* channels = nullptr);

  // Takes no connection any more; ends those that are, once their calls are over, at the latest
  // after `grace`.
  void drain(protocol::Duration grace);
  // Holds everyone to this policy from now on: who came in by what it does not take is told to
  // leave, and the others may do what it says. REQUIRES: the node began with a policy.
  void set_security(std::shared_ptr<const Security> security);
  // Closes every connection at once.
  void abort();
  // Runs `work` on the shard's thread in its next turn, in the end of which what services of it
  // sent leaves. Any thread.
  void post(std::function<void()> work);

  // The node without its sockets, to add services to.
  [[nodiscard]] NodeShard& node() { return node_; }
  // The event loop.
  [[nodiscard]] transport::Reactor& reactor() { return reactor_; }
  // Connections of any phase.
  [[nodiscard]] std::size_t connection_count() const { return peers_.size(); }

 private:
  class Peer;
  class Door;

  // ShardReceiver
  void on_message(std::size_t from, router::ShardMessage&& message) override;
  // Outbox
  void send(std::uint32_t shard, router::ShardMessage&& message) override;
  // EndOfTurn
  void on_end_of_turn() override;

  void on_timer();
  void store_gauges();
  void wake_at(protocol::Instant instant);
  void on_accepted(transport::Socket socket, protocol::QosClass ceiling,
                   protocol::ChannelSource* channels);
  void on_accept_paused(std::error_code cause);
  [[nodiscard]] const protocol::SharedSessionConfig& config_for(const transport::Socket& socket,
                                                                protocol::QosClass ceiling) const;
  void forget(Peer& peer, const transport::CloseReason& reason);
  void log_close(const transport::Connection& connection, const transport::CloseReason& reason);
  [[nodiscard]] bool audit_session(const transport::Connection& connection, std::string_view action,
                                   const policy::Identity& identity, std::string_view refusal = {});
  [[nodiscard]] std::expected<AdmittedPeer, Refused> ask_about(
      transport::Connection& connection) const;
  [[nodiscard]] std::shared_ptr<SessionGate> make_gate(const AdmittedPeer& peer,
                                                       const transport::Connection& connection);
  void recheck_some();
  void audit_refusal(std::string_view action, const std::string& peer, std::string_view name,
                     std::string_view reason);
  void refuse(const std::string& prefix, policy::Admission admission);
  void log_refusal(const std::string& peer, std::string_view name, std::string_view why);
  void count_end(const Peer& peer, const transport::CloseReason& reason);
  void count_pq_refusal(const transport::CloseReason& reason);
  void check_drained();

  const std::uint32_t index_;
  ShardContext& context_;
  transport::Reactor& reactor_;
  protocol::BufferPool pool_;
  transport::HalfOpenConnections half_open_;
  protocol::OutputMeter meter_;
  std::vector<protocol::SharedSessionConfig> session_configs_;  // By ceiling.
  transport::ConnectionOptions connection_options_;
  std::vector<std::unique_ptr<Peer>> peers_;  // Each knows its place.
  NodeShard node_;
  std::vector<std::unique_ptr<Door>> doors_;
  DoorCounts door_counts_;
  std::shared_ptr<const Security> security_;  // Never null.
  std::uint32_t security_epoch_ = 0;          // Which one, of those that there have been.
  std::size_t unchecked_ = 0;                 // Of peers_, so many have not been held to it yet.
  protocol::Instant gauges_due_{};
  transport::Timer timer_ = transport::Timer::calling<&Shard::on_timer>(this);
  bool accept_paused_ = false;
  bool draining_ = false;
  bool drained_ = false;
};

}  // namespace valkyrie::server
