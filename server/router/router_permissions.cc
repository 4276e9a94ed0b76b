// What the policy says about calls, streams, messages and subscriptions.
#include <algorithm>

#include "server/registry/names.h"
#include "server/router/router_core.h"

namespace valkyrie::router {

using protocol::MetadataView;
using protocol::Status;

std::optional<std::string_view> RouterCore::forbidden(policy::Gate* gate, policy::Action action,
                                                      const policy::Name& name,
                                                      const MetadataView& metadata) {
  if (gate == nullptr) return std::nullopt;
  const auto trace = metadata.find(protocol::MetadataKey::trace);
  auto denial = gate->denial_of(action, name, {.now = now_, .trace = trace.value_or(Bytes())});
  if (!denial) return std::nullopt;
  denial_ = *std::move(denial);
  return denial_;
}

std::optional<std::string_view> RouterCore::forbidden_call(const OpenInfo& open,
                                                           std::string_view method,
                                                           const MetadataView& metadata) {
  if (open.gate == nullptr) return std::nullopt;
  const std::string_view service = registry::parse_target(open.target).name;
  const auto found =
      std::ranges::find(locals_, service, [](const Local& local) { return local.info.name; });
  if (found != locals_.end()) {
    const auto methods = found->info.methods;
    const auto known = std::ranges::find(methods, method, &LocalMethod::name);
    if (known != methods.end() && known->asks_policy) return std::nullopt;
  }
  return forbidden(open.gate.get(), policy::Action::call, {.name = service, .method = method},
                   metadata);
}

std::optional<std::string_view> RouterCore::forbidden_call(Binding& binding,
                                                           const MetadataView& metadata) {
  policy::Gate* const gate = binding.open->gate.get();
  if (gate == nullptr) return std::nullopt;
  const auto own = metadata.method();
  if (own) return forbidden_call(*binding.open, *own, metadata);
  if (binding.permitted && gate->unchanged(binding.permitted_at, now_)) return std::nullopt;
  // Before the question: what changes meanwhile is asked about again.
  binding.permitted_at = gate->generation();
  const auto denial = forbidden_call(*binding.open, binding.open->method, metadata);
  binding.permitted = !denial;
  return denial;
}

std::optional<std::string_view> RouterCore::forbidden(ConnectionId id, policy::Action action,
                                                      std::string_view subject,
                                                      const MetadataView& metadata) {
  return forbidden(connections_.find(id)->gate.get(), action, {.name = subject}, metadata);
}

std::optional<std::string_view> RouterCore::over_limit(policy::Gate* gate, bool& lasts) {
  if (gate == nullptr) return std::nullopt;
  const policy::LimitHit hit = gate->begin_call(now_, lasts);
  if (hit == policy::LimitHit::none) return std::nullopt;
  denial_ = gate->limit_text(hit);
  return denial_;
}

std::optional<std::string_view> RouterCore::over_rate(ConnectionId id) {
  policy::Gate* const gate = connections_.find(id)->gate.get();
  if (gate == nullptr || gate->take_message(now_)) return std::nullopt;
  denial_ = gate->limit_text(policy::LimitHit::rate);
  return denial_;
}

// Why a call is not even begun; nullopt if it is.
std::optional<Status> RouterCore::turned_away(Call& call, const MetadataView& metadata) {
  Binding& binding = *call.binding;
  if (const auto denial = forbidden_call(binding, metadata)) {
    return Status{StatusCode::permission_denied, Outcome::not_executed, *denial};
  }
  if (const auto limit = over_limit(binding.open->gate.get(), call.limited)) {
    return Status{StatusCode::resource_exhausted, Outcome::not_executed, *limit};
  }
  return std::nullopt;
}

}  // namespace valkyrie::router
