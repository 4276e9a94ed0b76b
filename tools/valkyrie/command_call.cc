#include <fmt/format.h>
#include <optional>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"
#include "valkyrie/metadata.h"

namespace valkyrie::tools {

namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  valkyrie call hello.Greeter/SayHello Ada\n"
    "  valkyrie call hello.Greeter/SayHello @request.bin --deadline 200ms > reply.bin\n"
    "  echo data | valkyrie call text.Upper/Run - -H x-trace=1 --qos telemetry\n"
    "  valkyrie -o json call valkyrie.Node/Echo hello";

struct CallArguments {
  std::string target;
  std::string body;
  CallFlags flags;
  bool notify = false;
};

int print_reply(const Globals& globals, const Bytes& reply, Duration took) {
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_json(json::object{{"reply", bytes_json(reply.text())},
                            {"bytes", reply.size()},
                            {"round_trip_us", static_cast<double>(took.count()) / 1e3}});
    return kExitDone;
  }
  std::fwrite(reply.data(), 1, reply.size(), stdout);
  const bool line =
      globals.format == Format::table && !reply.empty() && reply.text().back() != '\n';
  if (line) std::fputc('\n', stdout);
  if (globals.verbose) {
    note(globals, fmt::format("{} bytes in {}", reply.size(), human_duration(took)));
  }
  return kExitDone;
}

int run_call(const Globals& globals, const CallArguments& arguments) {
  const auto body = read_body(arguments.body);
  if (!body) {
    print_error(body.error());
    return kExitUsage;
  }
  auto client = connect(globals);
  if (!client) return client.error();
  if (arguments.notify) {
    const auto sent = client->notify(arguments.target, *body);
    if (!sent) return report(sent.error());
    const auto flushed = client->flush().wait();
    return flushed ? kExitDone : report(flushed.error());
  }
  Metadata metadata;
  CallOptions options = arguments.flags.options(globals);
  if (!arguments.flags.fill(metadata)) return kExitUsage;
  options.metadata = &metadata;
  const auto start = std::chrono::steady_clock::now();
  const auto reply = client->call(arguments.target, *body, options).wait();
  const Duration took = std::chrono::steady_clock::now() - start;
  return reply ? print_reply(globals, *reply, took) : report(reply.error());
}

}  // namespace

void add_call(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("call", "Calls a method and prints its reply");
  command->footer(kExamples);
  auto arguments = std::make_shared<CallArguments>();
  command->add_option("TARGET", arguments->target, "service[@version]/method")->required();
  command->add_option("BODY", arguments->body, "Text, @FILE, or - for standard input");
  add_call_flags(*command, arguments->flags);
  command->add_flag("--notify", arguments->notify, "Send without waiting for an answer");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_call(context.globals, *arguments); };
  });
}

}  // namespace valkyrie::tools
