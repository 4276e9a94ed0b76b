#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "server/policy/security_text.h"
#include "tools/valkyrie/command_security.h"
#include "tools/valkyrie/json.h"
#include "transport/text_file.h"

namespace valkyrie::tools {

namespace {

struct Arguments {
  std::string file;
  std::string who;
  std::string action;
  std::string name;
  std::string tenant;
  std::vector<std::string> groups;
};

std::expected<policy::Identity, std::string> identity_of(const Arguments& arguments) {
  const std::size_t colon = std::min(arguments.who.find(':'), arguments.who.size());
  const auto method = policy::parse_method(arguments.who.substr(0, colon));
  const bool nobody = method == policy::AuthenticationMethod::none;
  if (!method || (colon == arguments.who.size() && !nobody)) {
    return std::unexpected(
        fmt::format("\"{}\": write METHOD:SUBJECT, such as token:ci@example.com, unix:uid:1000, "
                    "certificate:spiffe://a.example/client/ada, or none",
                    policy::printable(arguments.who)));
  }
  policy::Identity identity{
      .method = *method, .tenant = arguments.tenant, .groups = arguments.groups};
  if (!nobody) identity.subject = arguments.who.substr(colon + 1);
  return identity;
}

std::expected<policy::Policy, std::string> read_policy(const std::string& path) {
  const auto text = transport::read_text_file(path);
  if (!text) return std::unexpected(text.error());
  auto draft = policy::parse_security_text(*text);
  if (!draft) return std::unexpected(fmt::format("{}: {}", path, draft.error()));
  auto compiled = policy::Policy::compile(std::move(draft->policy));
  if (!compiled) return std::unexpected(fmt::format("{}: {}", path, compiled.error()));
  return std::move(*compiled);
}

int run_explain(const Globals& globals, const Arguments& arguments) {
  const auto policy = read_policy(arguments.file);
  if (!policy) return fail(policy.error());
  const auto identity = identity_of(arguments);
  if (!identity) return fail(identity.error());
  const auto action = policy::parse_action(arguments.action);
  if (!action) {
    return fail(
        fmt::format("\"{}\" is no action; write call, serve, publish, subscribe, watch, "
                    "submit, run, cancel, read_logs or administer",
                    policy::printable(arguments.action)));
  }
  const policy::Name name = policy::parse_name(*action, arguments.name);
  const policy::Decision decision = policy->decide(*identity, *action, name);
  const std::string text = policy->explain(*identity, *action, name);
  if (wants_json(globals)) {
    print_json(json::object{{"allowed", decision.allowed},
                            {"ground", to_string(decision.ground)},
                            {"role", decision.role},
                            {"rule", decision.rule},
                            {"reason", decision.reason()},
                            {"text", text}});
  } else {
    fmt::print("{}{}", text, text.ends_with('\n') ? "" : "\n");
  }
  return decision.allowed ? kExitDone : kExitNo;
}

}  // namespace

void add_security_explain(CLI::App& security, Context& context) {
  auto* command = security.add_subcommand("explain", "Why a policy allows something, or does not");
  command->footer(
      "Reads the file alone; whether the node's providers would let WHO in is not asked. Exits\n"
      "with 1 if it is not allowed.\nExamples:\n"
      "  valkyrie security explain --security policy token:ci@example.com call deploy.Api/Start\n"
      "  valkyrie security explain --security policy token:ann --group devs subscribe 'deploy.>'\n"
      "  valkyrie security explain --security policy unix:uid:1000 serve text.Upper");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("--security", arguments->file, "The node's policy")
      ->type_name("FILE")
      ->required();
  command->add_option("WHO", arguments->who, "METHOD:SUBJECT, as whoami shows it; or none")
      ->required();
  command->add_option("ACTION", arguments->action, "call, serve, publish, subscribe, watch, ...")
      ->required();
  command->add_option("NAME", arguments->name, "SERVICE/METHOD, service, subject or filter")
      ->required();
  command->add_option("--group", arguments->groups, "A group of WHO; repeatable")
      ->allow_extra_args(false);
  command->add_option("--tenant", arguments->tenant, "Of WHO (default the node's own)");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_explain(context.globals, *arguments); };
  });
}

}  // namespace valkyrie::tools
