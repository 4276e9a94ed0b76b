#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "protocol/constants.h"
#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/json.h"

namespace valkyrie::tools {

namespace {

int run_version(const Globals& globals) {
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_json(
        json::object{{"version", VALKYRIE_VERSION}, {"protocol", protocol::kProtocolVersion}});
  } else {
    fmt::print("valkyrie {} (protocol {})\n", VALKYRIE_VERSION, protocol::kProtocolVersion);
  }
  return kExitDone;
}

}  // namespace

void add_version(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("version", "Of this program and of the protocol it speaks");
  command->footer("Examples:\n  valkyrie version\n  valkyrie -o json version");
  command->callback(
      [&context] { context.run = [&context] { return run_version(context.globals); }; });
}

}  // namespace valkyrie::tools
