#include "server/router/router.h"

#include "server/router/router_core.h"

namespace valkyrie::router {

Router::Router(const RouterConfig& config, Outbox& outbox)
    : core_(std::make_unique<RouterCore>(config, outbox)) {}
Router::~Router() = default;

void Router::add_local(const LocalServiceInfo& info, LocalService* service) {
  core_->add_local(info, service);
}

ConnectionId Router::attach(protocol::Session& session, std::string_view address,
                            std::string_view identity, void* owner, protocol::Instant now,
                            std::shared_ptr<policy::Gate> gate) {
  return core_->attach(session, address, identity, owner, now, std::move(gate));
}

void Router::on_event(ConnectionId connection, const protocol::Event& event,
                      protocol::Instant now) {
  core_->on_event(connection, event, now);
  core_->settle();
}

void Router::detach(ConnectionId connection) {
  core_->detach(connection);
  core_->settle();
}

void* Router::next_dirty() { return core_->next_dirty(); }

void Router::on_message(std::uint32_t from, ShardMessage&& message, protocol::Instant now) {
  core_->on_message(from, std::move(message), now);
  core_->settle();
}

void Router::end_turn() { core_->end_turn(); }
std::optional<protocol::Instant> Router::deadline() const { return core_->deadline(); }

void Router::on_deadline(protocol::Instant now) {
  core_->on_deadline(now);
  core_->settle();
}

void Router::drain(protocol::Duration grace, protocol::Instant now) {
  core_->drain(grace, now);
  core_->settle();
}

bool Router::draining() const { return core_->draining; }

std::uint64_t Router::publish(registry::RouteUpdate update) {
  return core_->publish(std::move(update));
}

std::uint64_t Router::routes_applied() const { return core_->routes_applied(); }
void Router::observe(RouteObserver* observer) { core_->observer = observer; }
const RouterStats& Router::stats() const { return core_->stats; }
RouterCensus Router::census() const { return core_->census(); }

}  // namespace valkyrie::router
