// What the policy says about calls, streams, messages and subscriptions.
#include <algorithm>

#include "server/registry/names.h"
#include "server/router/router_core.h"

namespace valkyrie::router {

std::optional<std::string_view> RouterCore::forbidden(const policy::Grants* grants,
                                                      policy::Action action,
                                                      const policy::Name& name) {
  auto denial = denial_of(grants, action, name);
  if (!denial) return std::nullopt;
  denial_ = *std::move(denial);
  return denial_;
}

std::optional<std::string_view> RouterCore::forbidden_call(const OpenInfo& open,
                                                           std::string_view method) {
  if (open.grants == nullptr) return std::nullopt;
  const std::string_view service = registry::parse_target(open.target).name;
  const auto found =
      std::ranges::find(locals_, service, [](const Local& local) { return local.info.name; });
  if (found != locals_.end()) {
    const auto methods = found->info.methods;
    const auto known = std::ranges::find(methods, method, &LocalMethod::name);
    if (known != methods.end() && known->asks_policy) return std::nullopt;
  }
  return forbidden(open.grants.get(), policy::Action::call, {.name = service, .method = method});
}

std::optional<std::string_view> RouterCore::forbidden_call(const Binding& binding,
                                                           const protocol::MetadataView& metadata) {
  if (binding.open->grants == nullptr) return std::nullopt;
  const auto own = metadata.method();
  if (!own && binding.permitted) return std::nullopt;
  return forbidden_call(*binding.open, own.value_or(binding.open->method));
}

std::optional<std::string_view> RouterCore::forbidden(ConnectionId id, policy::Action action,
                                                      std::string_view subject) {
  return forbidden(connections_.find(id)->grants.get(), action, {.name = subject});
}

}  // namespace valkyrie::router
