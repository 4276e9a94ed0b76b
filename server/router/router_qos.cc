// The class of what passes through: as asked, or as a rule says and the ceiling allows.
#include <algorithm>

#include "protocol/frame.h"
#include "server/router/router_core.h"

namespace valkyrie::router {

using protocol::QosClass;

// The rules that may match on a stream of this connection; mostly none.
std::vector<const QosRule*> RouterCore::qos_rules(ConnectionId id, std::string_view target) {
  if (config_.qos == nullptr) return {};
  return config_.qos->candidates(target, subject_of(connections_.find(id)->identity));
}

// What the first rule says that matches, and never above the ceiling of who asks.
std::optional<QosClass> RouterCore::class_by_rule(std::span<const QosRule* const> rules,
                                                  ConnectionId id, std::string_view method,
                                                  const protocol::MetadataView& metadata) {
  const auto rule = std::ranges::find_if(
      rules, [&](const QosRule* each) { return each->matches(method, metadata); });
  if (rule == rules.end()) return std::nullopt;
  return below_ceiling((*rule)->qos_class, id);
}

QosClass RouterCore::below_ceiling(QosClass qos_class, ConnectionId id) {
  const Connection* connection = connections_.find(id);
  return connection == nullptr ? qos_class
                               : std::max(qos_class, connection->session->qos_ceiling());
}

// The same for what is published.
std::vector<const QosRule*> RouterCore::publisher_qos_rules(ConnectionId id) {
  if (config_.qos == nullptr) return {};
  return config_.qos->publisher_candidates(subject_of(connections_.find(id)->identity));
}

std::uint8_t RouterCore::published_qos(const Publisher& publisher, std::string_view subject,
                                       const Event& event) {
  const policy::Gate* const gate = connections_.find(publisher.connection)->gate.get();
  for (const QosRule* rule : publisher.qos_rules) {
    if (!rule->matches_published(subject, event.metadata)) continue;
    return lowered(reclassed(event.qos, below_ceiling(rule->qos_class, publisher.connection)),
                   gate);
  }
  return lowered(event.qos, gate);
}

// The qos byte in the class that the sender's roles leave it. Its session may still ask for more:
// what HELLO_ACK stated was said before anybody knew who it is, and holds.
std::uint8_t RouterCore::lowered(std::uint8_t qos, const policy::Gate* gate) {
  if (gate == nullptr) return qos;
  return reclassed(qos, gate->lowered(protocol::qos_class(qos)));
}

// The qos byte in another class, with its urgency.
std::uint8_t RouterCore::reclassed(std::uint8_t qos, std::optional<QosClass> by_rule) {
  if (!by_rule || *by_rule == protocol::qos_class(qos)) return qos;
  ++stats.reclassed;
  return protocol::qos_byte(*by_rule, protocol::qos_urgency(qos));
}

std::uint8_t RouterCore::scheduled_qos(const Binding& binding, const Event& event) {
  const policy::Gate* const gate = binding.open->gate.get();
  if (binding.qos_rules.empty()) return lowered(event.qos, gate);
  const std::string_view method = event.metadata.method().value_or(binding.open->method);
  return lowered(reclassed(event.qos, class_by_rule(binding.qos_rules, binding.connection, method,
                                                    event.metadata)),
                 gate);
}

}  // namespace valkyrie::router
