#include "tools/valkyrie/command_security.h"

#include <CLI/CLI.hpp>

#include "tools/valkyrie/commands.h"

namespace valkyrie::tools {

int fail(std::string_view text) {
  print_error(text);
  return kExitUsage;
}

policy::WallTime wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

bool wants_json(const Globals& globals) {
  return globals.format == Format::json || globals.format == Format::jsonl;
}

void add_security(CLI::App& app, Context& context) {
  auto* security = app.add_subcommand("security", "Certificates, keys, tokens and permissions");
  security->require_subcommand(1);
  security->footer(
      "Most of it works on files and asks no node.\nExamples:\n"
      "  valkyrie security init-ca pki\n"
      "  valkyrie security issue pki server:node=localhost client:ada\n"
      "  valkyrie security explain --security policy token:ada call deploy.Api/Start\n"
      "  valkyrie security whoami");
  add_security_certificates(*security, context);
  add_security_revoke(*security, context);
  add_security_keygen(*security, context);
  add_security_token(*security, context);
  add_security_api_key(*security, context);
  add_security_explain(*security, context);
  add_security_whoami(*security, context);
  add_security_check(*security, context);
}

}  // namespace valkyrie::tools
