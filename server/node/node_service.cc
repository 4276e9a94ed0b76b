#include "server/node/node_service.h"

#include "server/policy/identity.h"

namespace valkyrie::server {
namespace {

constexpr router::LocalMethod kMethods[] = {
    {.name = "Echo"},
    {.name = "Info"},
    // Who asks learns only about itself.
    {.name = "WhoAmI", .asks_policy = true},
};

messages::WhoAmIReply who_is(const router::Caller& caller) {
  const policy::Identity identity = policy::identity_of_value(caller.identity);
  messages::WhoAmIReply reply;
  reply.method = static_cast<std::uint32_t>(identity.method);
  reply.tenant = identity.tenant;
  reply.subject = identity.subject;
  reply.address = caller.address;
  const policy::Grants grants = caller.gate == nullptr ? policy::Grants() : caller.gate->grants();
  reply.open = grants.is_open();
  if (!reply.open) {
    for (const std::string_view role : grants.roles()) {
      if (reply.roles.size() < messages::kListedRolesMax) reply.roles.emplace_back(role);
    }
  }
  return reply;
}

}  // namespace

constinit const router::LocalServiceInfo NodeService::kInfo{.name = messages::kNodeService,
                                                            .methods = kMethods};

void NodeService::on_request(router::LocalCall call, const router::LocalRequest& request,
                             protocol::Instant now) {
  if (request.method == "Echo") return call.respond(request.payload);
  if (request.method == "WhoAmI") return call.respond(messages::encode(who_is(request.caller)));
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
