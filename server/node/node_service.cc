#include "server/node/node_service.h"

namespace valkyrie::server {
namespace {

constexpr router::LocalMethod kMethods[] = {{.name = "Echo"}, {.name = "Info"}};

}  // namespace

constinit const router::LocalServiceInfo NodeService::kInfo{.name = messages::kNodeService,
                                                            .methods = kMethods};

void NodeService::on_request(router::LocalCall call, const router::LocalRequest& request,
                             protocol::Instant now) {
  if (request.method == "Echo") return call.respond(request.payload);
  messages::NodeInfoReply reply;
  reply.node = identity_.name;
  reply.version = identity_.version;
  reply.uptime_ns = static_cast<std::uint64_t>((now - identity_.started).count());
  reply.doors = identity_.doors;
  reply.limits = identity_.limits;
  reply.counts = gauges_.sums();
  reply.shards = gauges_.shards();
  reply.draining = router_.draining();
  call.respond(messages::encode(reply));
}

}  // namespace valkyrie::server
