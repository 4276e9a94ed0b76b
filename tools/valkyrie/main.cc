// valkyrie: the command line of a node.
#include <exception>
#include <fmt/format.h>
#include <map>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/options.h"
#include "tools/valkyrie/usage.h"

namespace valkyrie::tools {

namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  valkyrie call hello.Greeter/SayHello Ada\n"
    "  valkyrie serve text.Upper --exec 'tr a-z A-Z'\n"
    "  valkyrie pub sensors.kitchen 21.5\n"
    "  valkyrie sub 'sensors.>'\n"
    "  valkyrie services ls\n"
    "  valkyrie top\n"
    "  valkyrie job run --label os=linux -- make test\n"
    "  valkyrie bench call valkyrie.Node/Echo --depth 512\n"
    "\n"
    "The node is --node, else VALKYRIE_NODE, else this user's or the system's Unix socket, else\n"
    "valkyrie://127.0.0.1:22091. Exit codes: 0 done, 1 the answer is no, 2 usage, 3 no node,\n"
    "64 + status code for a failed call, 130 interrupted; job run exits as its command.";

void add_globals(CLI::App& app, Globals& globals) {
  static const std::map<std::string, Format> kFormats = {{"table", Format::table},
                                                         {"json", Format::json},
                                                         {"jsonl", Format::jsonl},
                                                         {"raw", Format::raw}};
  app.add_option("--node", globals.node, "URL of the node, or several with commas")
      ->type_name("URL");
  app.add_option("--token-file", globals.token_file,
                 "File with the token or API key that says who this is (default: "
                 "VALKYRIE_TOKEN_FILE, then VALKYRIE_TOKEN)")
      ->type_name("FILE");
  app.add_option_function<std::string>(
         "-o,--output", [&globals](const std::string& word) { globals.format = kFormats.at(word); },
         "table, json, jsonl or raw (default table)")
      ->check(CLI::IsMember(&kFormats));
  add_duration(app, "--timeout", globals.timeout, "Of the command's calls (default 30s)");
  app.add_flag("-q,--quiet", globals.quiet, "No remarks on standard error");
  app.add_flag("-v,--verbose", globals.verbose, "More remarks on standard error");
}

int run(int argc, char** argv) {
  CLI::App app("valkyrie: calls, services and jobs of a Valkyrie node");
  app.name("valkyrie");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();
  Context context;
  add_globals(app, context.globals);
  add_call(app, context);
  add_stream(app, context);
  add_serve(app, context);
  add_pub(app, context);
  add_sub(app, context);
  add_services(app, context);
  add_top(app, context);
  add_ping(app, context);
  add_bench(app, context);
  add_job(app, context);
  add_runner(app, context);
  add_audit(app, context);
  add_ban(app, context);
  add_security(app, context);
  add_doctor(app, context);
  add_version(app, context);
  add_completion(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    print_error(usage_text(app, error));
    return kExitUsage;
  }
  return context.run();
}

}  // namespace

}  // namespace valkyrie::tools

int main(int argc, char** argv) {
  try {
    return valkyrie::tools::run(argc, argv);
  } catch (const std::exception& error) {
    valkyrie::tools::print_error(error.what());
    return valkyrie::tools::kExitNo;
  }
}
