#include <csignal>
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/exec.h"
#include "tools/valkyrie/exec_stream.h"
#include "tools/valkyrie/options.h"

namespace valkyrie::tools {

namespace {

struct ServeArguments {
  std::string service;
  std::string method = "Run";
  std::string exec;
  std::string health;  // Empty: well while this program runs.
  bool echo = false;
  bool stream = false;
  std::uint32_t in_flight = 0;  // 0: a program's 64, an echo's 4096.
  std::string version;
  std::string instance;
  std::vector<std::pair<std::string, std::string>> labels;
};

// A program costs a process for each call; an echo costs next to nothing.
std::uint32_t in_flight_max(const ServeArguments& arguments) {
  if (arguments.in_flight != 0) return arguments.in_flight;
  return arguments.echo ? 4096 : 64;
}

Task<Result<void>> echo_messages(IncomingCall, Reader<> in, Writer<> out) {
  while (true) {
    Result<std::optional<Bytes>> message = co_await in.read();
    if (!message) co_return std::unexpected(std::move(message.error()));
    if (!*message) co_return {};
    Result<void> written = co_await out.write(**message);
    if (!written) co_return written;
  }
}

Service make_service(const ServeArguments& arguments) {
  Service service(arguments.service, {.in_flight_max = in_flight_max(arguments),
                                      .version = arguments.version,
                                      .instance = arguments.instance,
                                      .labels = arguments.labels});
  if (arguments.stream && arguments.echo) {
    service.bidi(arguments.method, echo_messages);
  } else if (arguments.stream) {
    service.bidi(
        arguments.method,
        [command = arguments.exec](IncomingCall& call, Reader<> in, Writer<> out) -> Result<void> {
          return exec_stream(command, in, out, call.cancel_token());
        });
  } else if (arguments.echo) {
    service.unary(arguments.method,
                  [](IncomingCall&, BytesView body, Reply reply) { reply.send(body); });
  } else {
    service.unary(arguments.method, [command = arguments.exec](IncomingCall& call, BytesView body) {
      return exec_filter(command, body, call.cancel_token());
    });
  }
  if (!arguments.health.empty()) {
    service.health([command = arguments.health](IncomingCall& call, BytesView) {
      return exec_filter(command, {}, call.cancel_token());
    });
  }
  return service;
}

int run_serve(const Globals& globals, const ServeArguments& arguments) {
  std::signal(SIGPIPE, SIG_IGN);  // A program that does not read its input.
  ClientOptions options;
  options.agent = "valkyrie-cli serve";
  options.token_file = globals.token_file;
  options.handler_threads = std::min<std::size_t>(in_flight_max(arguments), 64);
  if (globals.quiet) options.log = [](std::string_view) {};
  auto client = Client::connect(Address(globals.node), std::move(options));
  if (!client) {
    print_error(client.error().message());
    return kExitNoNode;
  }
  const auto instance = client->serve(make_service(arguments)).wait();
  if (!instance) return report(instance.error());
  note(globals,
       fmt::format("serving {}/{}{} as {} at {}; Ctrl-C drains and stops", arguments.service,
                   arguments.method, arguments.stream ? " (stream)" : "", instance->name(),
                   client->node_url()));
  run_until_signal(*client);
  return kExitDone;
}

}  // namespace

void add_serve(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("serve", "Makes a program, or an echo, a service");
  command->footer(
      "The payload is the program's standard input, its standard output the reply; another exit\n"
      "code than 0 is answered as aborted, with the end of its standard error. With --stream each\n"
      "stream has a program, and a message is a line of its input or output.\n"
      "Examples:\n"
      "  valkyrie serve text.Upper --exec 'tr a-z A-Z'    # valkyrie call text.Upper/Run ada\n"
      "  valkyrie serve test.Echo --echo\n"
      "  valkyrie serve log.Lines --stream --exec 'sed -u s/^/line:/'    # valkyrie stream "
      "log.Lines/Run\n"
      "  valkyrie serve img.Scale --method Half --exec 'convert - -resize 50% -' --in-flight 4");
  auto arguments = std::make_shared<ServeArguments>();
  command->add_option("SERVICE", arguments->service, "Its name, such as text.Upper")->required();
  auto* exec = command->add_option("--exec", arguments->exec, "Shell command to run for each call");
  command->add_flag("--echo", arguments->echo, "Answer with the payload")->excludes(exec);
  command->add_flag("--stream", arguments->stream,
                    "The method is a stream, both ways: a line is a message");
  command->add_option("--method", arguments->method, "Name of its one method (default Run)");
  command
      ->add_option("--in-flight", arguments->in_flight, "Calls at once (default 64, an echo 4096)")
      ->check(CLI::Range(1, 65536));
  command->add_option("--health", arguments->health,
                      "Shell command whose success says that it is well, when the node probes it");
  command->add_option("--service-version", arguments->version, "Callers may ask for name@version");
  command->add_option("--instance", arguments->instance,
                      "Name of the instance; the same again takes its place");
  add_pairs(*command, "--label", arguments->labels, "Label k=v for lists; repeatable");
  command->callback([&context, arguments] {
    if (arguments->exec.empty() && !arguments->echo) {
      throw CLI::RequiredError("--exec CMD or --echo");
    }
    context.run = [&context, arguments] { return run_serve(context.globals, *arguments); };
  });
}

}  // namespace valkyrie::tools
