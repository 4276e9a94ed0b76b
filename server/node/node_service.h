// valkyrie.Node: what the node is, and an echo to measure it by. docs/spec/registry.proto.
#pragma once

#include <string>
#include <vector>

#include "protocol/messages/registry.h"
#include "server/node/node_gauges.h"
#include "server/router/router.h"

namespace valkyrie::server {

// What a node says about itself. Set up before the shards start, then only read.
struct NodeIdentity {
  std::string name;                   // Such as "n-7f3a".
  std::string version;                // Of the program.
  protocol::Instant started{};        // Origin of the uptime.
  std::vector<messages::Door> doors;  // Where it can be reached.
  std::vector<messages::NamedNumber> limits;
};

// Has no state, so each shard has one and answers its own callers.
class NodeService final : public router::LocalService {
 public:
  // Its name and methods.
  static const router::LocalServiceInfo kInfo;

  // Keeps references to all three.
  NodeService(const NodeIdentity& identity, const NodeGauges& gauges, const router::Router& router)
      : identity_(identity), gauges_(gauges), router_(router) {}

  void on_request(router::LocalCall call, const router::LocalRequest& request,
                  protocol::Instant now) override;

 private:
  const NodeIdentity& identity_;
  const NodeGauges& gauges_;
  const router::Router& router_;
};

}  // namespace valkyrie::server
