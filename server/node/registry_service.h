// valkyrie.Registry: how instances come, change and go. docs/spec/registry.proto.
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>

#include "server/node/registry_watches.h"
#include "server/policy/audit_sink.h"
#include "server/registry/catalog.h"
#include "server/router/router.h"

namespace valkyrie::server {

// Lives on shard 0 and says what the routes of all shards are.
class RegistryService final : public router::LocalService, private router::RouteObserver {
 public:
  // Its name and methods.
  static const router::LocalServiceInfo kInfo;

  // Becomes the observer of `router`, that of shard 0. `seed` names instances that do not name
  // themselves.
  RegistryService(router::Router& router, std::uint32_t shards, std::uint64_t seed,
                  std::shared_ptr<const registry::ServiceRules> rules);

  void on_request(router::LocalCall call, const router::LocalRequest& request,
                  protocol::Instant now) override;
  void on_stream(router::LocalStream stream, const router::LocalOpen& open,
                 protocol::Instant now) override;
  void on_message(router::LocalStream stream, const router::LocalMessage& message,
                  protocol::Instant now) override;
  void on_end(router::LocalStream stream, protocol::Instant now) override;
  void on_drain(protocol::Duration grace, protocol::Instant now) override;
  void on_writable(router::LocalStream stream, protocol::Instant now) override;
  void on_closed(router::LocalStream stream, protocol::CloseCode code,
                 protocol::Instant now) override;

  [[nodiscard]] std::optional<protocol::Instant> deadline() const override;
  void on_deadline(protocol::Instant now) override;

  // Where registrations and their ends are written down from now on; kept by reference, null:
  // nowhere.
  void set_audit(policy::AuditSink* audit) { audit_ = audit; }

  // What is registered.
  [[nodiscard]] const registry::Catalog& catalog() const { return catalog_; }

 private:
  // A Register stream.
  struct Registrar {
    router::LocalStream stream;
    registry::Registrant from;
    std::string who{};  // Its identity's subject.
    std::shared_ptr<policy::Gate> gate{};
    bool over = false;  // Ended: what still comes is dropped.
  };
  // A RegisterReply that waits until every shard knows the route.
  struct Reply {
    std::uint64_t revision = 0;
    std::uint64_t stream = 0;
    std::string instance;
  };

  void on_routes_applied(std::uint64_t revision) override;
  void on_suspect(std::uint64_t instance, protocol::Instant now) override;
  void on_probed(std::uint64_t instance, registry::ProbeVerdict verdict, std::string_view why,
                 protocol::Instant now) override;
  void add(Registrar& registrar, const messages::RegisterRequest& request, protocol::Instant now);
  std::uint64_t publish(registry::RouteUpdate update, protocol::Instant now);
  [[nodiscard]] bool audit(const Registrar& registrar, const messages::RegisterRequest& request,
                           std::string_view instance, std::string_view refusal);
  void refuse(Registrar& registrar, const registry::Refusal& refusal, protocol::Instant now);
  void remove(std::uint64_t stream, protocol::Instant now);
  void reset(std::uint64_t stream, protocol::CloseCode code, std::string_view text);

  router::Router& router_;
  registry::Catalog catalog_;
  RegistryWatches watches_{catalog_};
  std::mt19937_64 random_;
  std::unordered_map<std::uint64_t, Registrar> registrars_;
  policy::AuditSink* audit_ = nullptr;
  std::deque<Reply> replies_;  // By revision.
};

}  // namespace valkyrie::server
