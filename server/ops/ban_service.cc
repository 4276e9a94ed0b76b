#include "server/ops/ban_service.h"

#include <fmt/format.h>

#include "protocol/messages/bans.h"
#include "server/policy/identity.h"

namespace valkyrie::server {
namespace {

using protocol::Outcome;
using protocol::StatusCode;

constexpr router::LocalMethod kMethods[] = {{.name = "Lift", .asks_policy = true},
                                            {.name = "List", .asks_policy = true}};

// What of the node is administered here, as policies name it.
constexpr std::string_view kPart = "bans";

}  // namespace

constinit const router::LocalServiceInfo BanService::kInfo{.name = messages::kBansService,
                                                           .methods = kMethods};

bool BanService::may_call(std::string_view identity) const {
  constexpr auto kUnixUser = static_cast<char>(policy::AuthenticationMethod::unix_user);
  if (identity.empty() || identity.front() != kUnixUser) return false;
  const std::string_view subject = policy::subject_of_value(identity);
  return subject == "uid:0" || subject == fmt::format("uid:{}", user_);
}

void BanService::on_request(router::LocalCall call, const router::LocalRequest& request,
                            protocol::Instant now) {
  if (policy::Gate* const gate = request.caller.gate.get(); gate != nullptr) {
    const auto trace = request.metadata.find(protocol::MetadataKey::trace);
    const policy::Occasion occasion{.now = now,
                                    .trace = trace.value_or(std::span<const std::byte>())};
    const auto denial = gate->denial_of(policy::Action::administer, {.name = kPart}, occasion);
    if (denial) return call.fail(StatusCode::permission_denied, *denial, Outcome::not_executed);
  } else if (!may_call(request.caller.identity)) {
    return call.fail(StatusCode::permission_denied,
                     "bans are for the node's user and for root, on the node's Unix socket",
                     Outcome::not_executed);
  }
  if (request.method == "List") return list(call, now);
  lift(call, request, now);
}

void BanService::list(router::LocalCall call, protocol::Instant now) {
  messages::ListBansReply reply;
  for (const policy::Ban& ban : guard_.bans(now)) {
    if (reply.bans.size() == messages::kListedBansMax) break;
    reply.bans.push_back({.peer = ban.peer,
                          .count = ban.count,
                          .left_ns = static_cast<std::uint64_t>(ban.left.count())});
  }
  call.respond(messages::encode(reply));
}

void BanService::lift(router::LocalCall call, const router::LocalRequest& request,
                      protocol::Instant now) {
  const auto body = messages::decode<messages::LiftBanRequest>(request.payload);
  if (!body) {
    return call.fail(StatusCode::invalid_argument, "the body is not readable",
                     Outcome::not_executed);
  }
  if (!guard_.lift(body->peer, now)) {
    return call.fail(StatusCode::not_found,
                     fmt::format("{} is not banned", policy::printable(body->peer)));
  }
  if (audit_ != nullptr) {
    // It is lifted either way: an operator is let work even where the disk is full.
    static_cast<void>(audit_->write({.who = policy::subject_of_value(request.caller.identity),
                                     .action = "ban.lifted",
                                     .what = body->peer,
                                     .from = request.caller.address,
                                     .decision = policy::AuditDecision::allowed}));
  }
  call.respond(std::string_view());
}

}  // namespace valkyrie::server
