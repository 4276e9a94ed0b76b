// One shard of a node without its sockets: the router and the services the node itself has.
#pragma once

#include <cstdint>
#include <memory>

#include "server/node/node_gauges.h"
#include "server/node/node_service.h"
#include "server/node/registry_service.h"
#include "server/router/router.h"

namespace valkyrie::server {

// Not thread-safe: one thread owns a shard. See router.h for the loop around it.
class NodeShard {
 public:
  // Keeps references to `identity`, `gauges` (as many rows as there are shards) and `outbox`.
  NodeShard(const router::RouterConfig& config, const NodeIdentity& identity, NodeGauges& gauges,
            router::Outbox& outbox);

  // Adds a service of the node, as Router::add_local().
  void add_service(const router::LocalServiceInfo& info, router::LocalService* service) {
    router_.add_local(info, service);
  }

  // Registrations are written down there from now on; kept by reference, may be null.
  void set_audit(policy::AuditSink* audit) {
    if (registry_) registry_->set_audit(audit);
  }

  // The router of this shard: give it sessions, events, messages and time.
  [[nodiscard]] router::Router& router() { return router_; }
  // Copies what the router counts to the gauges. It walks tables: not for every turn.
  void store_gauges();
  // The registry. REQUIRES: this is shard 0.
  [[nodiscard]] const RegistryService& registry() const { return *registry_; }

 private:
  const std::uint32_t shard_;
  NodeGauges& gauges_;
  router::Router router_;
  NodeService node_;
  std::unique_ptr<RegistryService> registry_;
};

}  // namespace valkyrie::server
