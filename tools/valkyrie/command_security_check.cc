#include <algorithm>
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "protocol/messages/registry.h"
#include "tools/valkyrie/command_security.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"
#include "tools/valkyrie/security_check.h"

namespace valkyrie::tools {

namespace {

struct Arguments {
  NodeSetup node;
  std::vector<std::pair<std::string, std::string>> settings;
  bool running = false;
  bool strict = false;
};

SecurityFindings check_files(Arguments arguments) {
  for (auto& [path, value] : arguments.settings) arguments.node.set[path] = std::move(value);
  SecurityFindings findings;
  check_doors(arguments.node, findings);
  check_tls(arguments.node, wall_now(), findings);
  check_noise(arguments.node, findings);
  check_policy(arguments.node, wall_now(), findings);
  check_state(arguments.node, findings);
  return findings;
}

template <class Reply, class Request>
std::expected<Reply, int> ask(Client& client, const Globals& globals, std::string_view method,
                              const Request& request) {
  const auto body =
      client.call(method, messages::encode(request), {.deadline = globals.timeout}).wait();
  if (!body) return std::unexpected(report(body.error()));
  auto reply = messages::decode<Reply>(BytesView(*body).span());
  if (reply) return std::move(*reply);
  print_error("the node's answer cannot be read; is it of a newer version?");
  return std::unexpected(kExitStatusBase + static_cast<int>(StatusCode::internal));
}

// What a node counts of peers that it did not let in.
void check_counts(const messages::NodeInfoReply& info, SecurityFindings& findings) {
  constexpr std::pair<std::string_view, std::string_view> kCounts[] = {
      {"pq_refused", "peers without ML-KEM were refused"},
      {"unauthenticated", "peers could not show who they are"},
      {"handshakes_failed", "handshakes of TLS and Noise failed"},
      {"refused_unread", "connections were closed unread: banned, or too many"},
  };
  for (const auto& [name, sense] : kCounts) {
    const auto found = std::ranges::find(info.counts, name, &messages::NamedNumber::first);
    if (found == info.counts.end()) continue;
    findings.push_back({found->second == 0 ? FindingLevel::good : FindingLevel::note,
                        std::string(name), fmt::format("{} {}", found->second, sense)});
  }
}

// A running node says less than its files: what its doors are, whether it has a policy.
std::expected<SecurityFindings, int> check_running(const Globals& globals) {
  auto client = connect(globals);
  if (!client) return std::unexpected(client.error());
  const auto who = ask<messages::WhoAmIReply>(*client, globals, "valkyrie.Node/WhoAmI",
                                              messages::WhoAmIRequest{});
  if (!who) return std::unexpected(who.error());
  const auto info = ask<messages::NodeInfoReply>(*client, globals, "valkyrie.Node/Info",
                                                 messages::NodeInfoRequest{});
  if (!info) return std::unexpected(info.error());
  NodeSetup node;
  for (const messages::Door& door : info->doors) {
    node.listen.push_back(door.url.substr(0, door.url.find('?')));
  }
  if (!who->open) node.security = "its policy";
  SecurityFindings findings;
  check_doors(node, findings);
  check_counts(*info, findings);
  return findings;
}

void print(const Globals& globals, const SecurityFindings& findings) {
  if (wants_json(globals)) {
    json::array rows;
    for (const SecurityFinding& each : findings) {
      rows.push_back(json::object{
          {"level", to_string(each.level)}, {"about", each.about}, {"text", each.text}});
    }
    return print_json_rows(globals.format, rows);
  }
  for (const SecurityFinding& each : findings) {
    fmt::print("{:4} {}: {}\n", to_string(each.level), each.about, each.text);
  }
}

int run_check(const Globals& globals, const Arguments& arguments) {
  auto findings = arguments.running ? check_running(globals)
                                    : std::expected<SecurityFindings, int>(check_files(arguments));
  if (!findings) return findings.error();
  print(globals, *findings);
  const FindingLevel fatal = arguments.strict ? FindingLevel::weak : FindingLevel::bad;
  const bool failed = std::ranges::any_of(
      *findings, [&](const SecurityFinding& each) { return each.level >= fatal; });
  return failed ? kExitNo : kExitDone;
}

// So that a whole command line of a node can be given. What is misspelt is refused all the same.
void add_unread_options(CLI::App& command) {
  for (const char* flag : {"--ephemeral", "--insecure", "--print-doors", "--check"}) {
    command.add_flag(flag)->group("");
  }
  for (const char* option : {"--shards", "--in-flight", "--half-open", "--handshake-timeout",
                             "--drain-grace", "--log-level", "--ready-fd"}) {
    command.add_option(option)->expected(1)->group("");
  }
}

}  // namespace

void add_security_check(CLI::App& security, Context& context) {
  auto* command = security.add_subcommand("check", "What is weak about how a node is set up");
  command->footer(
      "With options of valkyrie-server, all of which it takes: looks at the files that they name, "
      "and asks no node. With\n"
      "none: asks the running node what it can tell. Exits with 1 if something is bad.\nExamples:\n"
      "  valkyrie security check\n"
      "  valkyrie security check --security policy --listen tls://0.0.0.0 \\\n"
      "    --set tls.certificate=node.crt --set tls.key=node.key --set tls.client_ca=ca.crt\n"
      "  valkyrie -o json security check --strict --listen noise://0.0.0.0 --security policy");
  auto arguments = std::make_shared<Arguments>();
  NodeSetup& node = arguments->node;
  std::vector<CLI::Option*> offline;
  offline.push_back(command->add_option("--listen", node.listen, "As of valkyrie-server")
                        ->type_name("URL")
                        ->allow_extra_args(false));
  offline.push_back(add_pairs(*command, "--set", arguments->settings, "The same"));
  offline.push_back(
      command->add_option("--security", node.security, "The same")->type_name("FILE"));
  offline.push_back(command->add_option("--state", node.state, "The same")->type_name("DIR"));
  offline.push_back(
      command->add_option("--audit-log", node.audit_log, "The same")->type_name("DIR"));
  add_unread_options(*command);
  command->add_flag("--strict", arguments->strict, "Exit with 1 for what is weak, too");
  command->callback([&context, arguments, offline] {
    arguments->running = std::ranges::none_of(
        offline, [](const CLI::Option* option) { return option->count() > 0; });
    context.run = [&context, arguments] { return run_check(context.globals, *arguments); };
  });
}

}  // namespace valkyrie::tools
