// A running node: its shards, their threads, and the doors they share.
#pragma once

#include <atomic>
#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <spdlog/logger.h>
#include <string>
#include <thread>
#include <vector>

#include "server/jobs/job_services.h"
#include "server/ops/audit_log.h"
#include "server/ops/ban_service.h"
#include "server/ops/interval_thread.h"
#include "server/ops/job_storage.h"
#include "server/ops/noise_door.h"
#include "server/ops/options.h"
#include "server/ops/security.h"
#include "server/ops/shard.h"
#include "server/ops/state_directory.h"
#include "server/ops/tls_door.h"
#include "server/ops/usage.h"
#include "transport/listener.h"
#include "transport/socket.h"

namespace valkyrie::server {

// Owned by the main thread, which calls everything.
class Node {
 public:
  // Opens the doors and starts the threads; connections are accepted when it returns. Keeps a
  // reference to `log`. Errors, for people: a door cannot be opened, descriptors or memory are
  // short.
  [[nodiscard]] static std::expected<std::unique_ptr<Node>, std::string> start(
      const ServerOptions& options, NodeState state, const RandomSource& random,
      spdlog::logger& log);
  // Stops at once what still runs.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Who it is and where it can be reached.
  [[nodiscard]] const NodeIdentity& identity() const { return identity_; }

  // Reads the files again that may have changed: of TLS, of Noise, and the policy with its keys.
  // What is connected stays, but for sessions that the policy does not take any more; the log says
  // how it went, and a file that could not be read leaves what it says as it was.
  void reload();
  // Cuts every connection without a word to its peer. They are cut when this returns.
  void cut();
  // Runs `task` on the thread of each shard, in the order of the calls.
  void post_to_shards(const std::function<void()>& task);
  // Closes the doors and lets running calls end for at most `grace`.
  void drain(protocol::Duration grace);
  // Readable once the last connection of a draining node is gone.
  [[nodiscard]] int drained_fd() const { return drained_event_.fd(); }
  // Stops the threads; connections that are left are cut. Returns how many. Idempotent.
  std::size_t stop();

 private:
  Node(const ServerOptions& options, NodeState state, spdlog::logger& log);
  void on_each_shard(const std::function<void(Shard&)>& work);
  [[nodiscard]] std::expected<void, std::string> open_doors();
  [[nodiscard]] std::expected<void, std::string> open_noise();
  [[nodiscard]] std::expected<void, std::string> open_audit();
  void close_audit(std::size_t cut);
  void reload_security();
  void audit_reload(std::string_view fault);
  [[nodiscard]] std::expected<void, std::string> open_tls();
  [[nodiscard]] protocol::ChannelSource* channels_of(const transport::Address& address) const;
  void tell_reload(std::string_view what, const std::expected<void, std::string>& loaded);
  [[nodiscard]] std::expected<void, std::string> load_bans();
  [[nodiscard]] std::expected<void, std::string> open_jobs(const RandomSource& random);
  void follow_job_storage();
  void save_bans();
  [[nodiscard]] std::expected<void, std::string> make_shards(const RandomSource& random);
  void describe();
  void on_shard_drained();

  const ServerOptions options_;
  const NodeState state_;
  NodeIdentity identity_;
  NodeGauges gauges_;
  CloseLog closes_;
  CloseLog refusals_;
  DoorGuard guard_;
  UsageTable usages_;
  spdlog::logger& log_;
  std::unique_ptr<AuditLog> audit_;  // Where one is asked for.
  std::unique_ptr<IntervalThread> audit_timer_;
  std::unique_ptr<IntervalThread> bans_timer_;  // Where bans outlive the node.
  transport::Socket drained_event_;
  std::atomic<std::size_t> shards_busy_;
  std::shared_ptr<const Security> security_;
  std::unique_ptr<NoiseDoor> noise_;  // Where a door speaks it.
  std::unique_ptr<TlsDoor> tls_;      // The same.
  std::vector<transport::Listener> listeners_;
  std::vector<std::unique_ptr<transport::Reactor>> reactors_;
  std::unique_ptr<transport::HandshakeWorkers> handshakes_;  // Where a door speaks a channel.
  std::unique_ptr<NodeLinks> links_;
  std::unique_ptr<ShardContext> context_;
  std::unique_ptr<BanService> bans_;  // On the thread of shard 0.
  std::unique_ptr<JobStorage> job_storage_;
  std::unique_ptr<jobs::JobServices> jobs_;  // On the thread of shard 0.
  std::atomic<bool> job_news_{false};        // Shard 0 has been told, and has not looked yet.
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::thread> threads_;
};

}  // namespace valkyrie::server
