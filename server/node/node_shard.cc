#include "server/node/node_shard.h"

namespace valkyrie::server {

NodeShard::NodeShard(const router::RouterConfig& config, const NodeIdentity& identity,
                     NodeGauges& gauges, router::Outbox& outbox)
    : shard_(config.shard),
      gauges_(gauges),
      router_(config, outbox),
      node_(identity, gauges, router_) {
  if (shard_ == 0)
    registry_ =
        std::make_unique<RegistryService>(router_, config.shards, config.seed, config.rules);
  add_service(NodeService::kInfo, &node_);
  add_service(RegistryService::kInfo, registry_.get());
}

void NodeShard::store_gauges() { gauges_.store(shard_, router_.stats(), router_.census()); }

}  // namespace valkyrie::server
