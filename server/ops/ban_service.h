// valkyrie.Bans: who is kept out, and letting them in again. docs/spec/bans.proto.
#pragma once

#include <string>

#include "server/ops/door_guard.h"
#include "server/policy/audit_sink.h"
#include "server/router/local_service.h"

namespace valkyrie::server {

// On the thread of shard 0. For whom the policy lets administer `bans`; without a policy, for the
// user of the node and for root, as the kernel knows them.
class BanService final : public router::LocalService {
 public:
  // Its name and methods.
  static const router::LocalServiceInfo kInfo;

  // Keeps references to both; `audit` may be null. `user` is whose the node is.
  BanService(DoorGuard& guard, policy::AuditSink* audit, unsigned user)
      : guard_(guard), audit_(audit), user_(user) {}

  void on_request(router::LocalCall call, const router::LocalRequest& request,
                  protocol::Instant now) override;

 private:
  [[nodiscard]] bool may_call(std::string_view identity) const;
  void list(router::LocalCall call, protocol::Instant now);
  void lift(router::LocalCall call, const router::LocalRequest& request, protocol::Instant now);

  DoorGuard& guard_;
  policy::AuditSink* const audit_;
  const unsigned user_;
};

}  // namespace valkyrie::server
