#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "protocol/messages/registry.h"
#include "server/policy/identity.h"
#include "tools/valkyrie/command_security.h"
#include "tools/valkyrie/json.h"

namespace valkyrie::tools {

namespace {

// As `explain` takes it.
std::string who_text(std::string_view method, const messages::WhoAmIReply& reply) {
  return reply.method == 0 ? std::string(method)
                           : fmt::format("{}:{}", method, policy::printable(reply.subject));
}

void print(const Globals& globals, const messages::WhoAmIReply& reply, std::string_view url) {
  const std::string_view method =
      to_string(static_cast<policy::AuthenticationMethod>(reply.method));
  if (wants_json(globals)) {
    print_json(json::object{{"who", who_text(method, reply)},
                            {"method", method},
                            {"tenant", reply.tenant},
                            {"subject", reply.subject},
                            {"address", reply.address},
                            {"node", url},
                            {"open", reply.open},
                            {"roles", json::array(reply.roles.begin(), reply.roles.end())}});
    return;
  }
  fmt::print("who      {}\n", who_text(method, reply));
  if (!reply.tenant.empty()) fmt::print("tenant   {}\n", policy::printable(reply.tenant));
  fmt::print("from     {} to {}\n", policy::printable(reply.address), url);
  fmt::print("roles    {}\n", reply.open ? "the node has no policy: everything is allowed"
                              : reply.roles.empty()
                                  ? "none: nothing is allowed"
                                  : fmt::format("{}", fmt::join(reply.roles, " ")));
}

int run_whoami(const Globals& globals) {
  auto client = connect(globals);
  if (!client) return client.error();
  const auto body = client
                        ->call("valkyrie.Node/WhoAmI", messages::encode(messages::WhoAmIRequest{}),
                               {.deadline = globals.timeout})
                        .wait();
  if (!body) return report(body.error());
  const auto reply = messages::decode<messages::WhoAmIReply>(BytesView(*body).span());
  if (!reply || reply->method > static_cast<std::uint32_t>(policy::AuthenticationMethod::api_key)) {
    print_error("the node's answer cannot be read; is it of a newer version?");
    return kExitStatusBase + static_cast<int>(StatusCode::internal);
  }
  print(globals, *reply, client->node_url());
  return kExitDone;
}

}  // namespace

void add_security_whoami(CLI::App& security, Context& context) {
  auto* command = security.add_subcommand("whoami", "Who the node says that this client is");
  command->footer("Examples:\n  valkyrie security whoami\n  valkyrie -o json security whoami");
  command->callback(
      [&context] { context.run = [&context] { return run_whoami(context.globals); }; });
}

}  // namespace valkyrie::tools
