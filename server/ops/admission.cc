#include "server/ops/admission.h"

#include <fmt/format.h>
#include <utility>

#include "transport/address.h"

namespace valkyrie::server {
namespace {

// Whether nobody on the way can read what the peer says.
bool is_confidential(const transport::Connection& connection) {
  const protocol::Channel* channel = connection.channel();
  if (channel != nullptr && channel->open()) return true;
  if (connection.peer_credentials()) return true;
  const std::string_view name = connection.peer_name();
  std::string_view host = name.substr(0, name.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return transport::is_loopback_host(host);
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

std::expected<Admission, std::string> admit(const Security& security,
                                            transport::Connection& connection,
                                            policy::WallTime now) {
  const policy::Shown shown{.channel = channel_identity(connection),
                            .confidential = is_confidential(connection),
                            .credential = connection.session().peer().token};
  auto authenticated = security.providers.authenticate(shown, now);
  if (!authenticated) return std::unexpected(authenticated.error().text());
  Admission admission{.identity = policy::identity_value(authenticated->identity),
                      .valid_until = authenticated->valid_until};
  if (!security.policy.is_open()) {
    admission.grants =
        std::make_shared<const policy::Grants>(security.policy.grants_of(authenticated->identity));
  }
  return admission;
}

}  // namespace valkyrie::server
