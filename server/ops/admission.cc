#include "server/ops/admission.h"

#include <fmt/format.h>
#include <utility>

#include "transport/address.h"

namespace valkyrie::server {

namespace {

// Whether what the peer says never leaves this machine.
bool is_local(const transport::Connection& connection) {
  if (connection.peer_credentials()) return true;
  const std::string_view name = connection.peer_name();
  std::string_view host = name.substr(0, name.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return transport::is_loopback_host(host);
}

// Whether nobody on the way can read what the peer says,
bool is_confidential(const transport::Connection& connection) {
  const protocol::Channel* channel = connection.channel();
  return (channel != nullptr && channel->open()) || is_local(connection);
}

// nor whoever records it and has a quantum computer later.
bool is_post_quantum(const transport::Connection& connection) {
  const protocol::Channel* channel = connection.channel();
  return channel == nullptr ? is_local(connection) : channel->hybrid();
}

// Gives a Noise key the name that the door's list has for it.
std::expected<void, Refused> name_key(policy::Identity& identity, const NoiseDoor* noise) {
  if (identity.method != policy::AuthenticationMethod::noise_key || noise == nullptr) return {};
  auto name = noise->name_of(identity.subject);
  if (!name) {
    return std::unexpected(
        Refused{.why = fmt::format("{} is not on the node's list of keys", identity.subject)});
  }
  identity.subject = *std::move(name);
  return {};
}

}  // namespace

policy::Identity channel_identity(const transport::Connection& connection) {
  const protocol::Channel* channel = connection.channel();
  if (channel != nullptr && channel->open()) {
    if (channel->proof() == protocol::Proof::none) return {};
    return {.method = static_cast<policy::AuthenticationMethod>(channel->proof()),
            .subject = channel->subject()};
  }
  const auto& credentials = connection.peer_credentials();
  if (!credentials) return {};
  return {.method = policy::AuthenticationMethod::unix_user,
          .subject = fmt::format("uid:{}", credentials->uid)};
}

std::expected<AdmittedPeer, Refused> admit(const Security& security, const NoiseDoor* noise,
                                           transport::Connection& connection,
                                           policy::WallTime now) {
  policy::Shown shown{.channel = channel_identity(connection),
                      .confidential = is_confidential(connection),
                      .credential = connection.session().peer().token};
  if (auto named = name_key(shown.channel, noise); !named) return std::unexpected(named.error());
  auto authenticated = security.providers.authenticate(shown, now);
  if (!authenticated) return std::unexpected(Refused{.why = authenticated.error().text()});
  AdmittedPeer admitted{.identity = std::move(authenticated->identity),
                        .grants = {},
                        .valid_until = authenticated->valid_until};
  admitted.grants = security.policy.grants_of(admitted.identity);
  if (admitted.grants.limits().require_pq && !is_post_quantum(connection)) {
    return std::unexpected(
        Refused{.code = protocol::CloseCode::pq_required,
                .why = fmt::format("a role of {} requires a post-quantum key exchange",
                                   policy::describe(admitted.identity))});
  }
  return admitted;
}

}  // namespace valkyrie::server
