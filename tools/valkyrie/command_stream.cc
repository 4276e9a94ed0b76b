#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <thread>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/interrupt.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/line_feeder.h"
#include "tools/valkyrie/options.h"
#include "valkyrie/stream.h"

namespace valkyrie::tools {

namespace {

constexpr const char* kExamples =
    "A line of standard input is a message, its end the end of this side; a message is a line of\n"
    "standard output, with -o raw its bytes alone. Ctrl-C cancels the stream.\n"
    "Examples:\n"
    "  valkyrie stream chat.Room/Join -H name=ada\n"
    "  echo 3 | valkyrie -o jsonl stream clock.Ticker/Count\n"
    "  tail -f app.log | valkyrie stream logs.Intake/Lines --qos telemetry";

// The largest message of a stream: a longer line cannot be one.
constexpr std::size_t kLineBytesMax = 16u << 20;

struct StreamArguments {
  std::string target;
  CallFlags flags;
};

void print_message(Format format, const Bytes& message) {
  if (format == Format::json || format == Format::jsonl) {
    print_json(json::object{{"message", bytes_json(message.text())}, {"bytes", message.size()}});
  } else {
    std::fwrite(message.data(), 1, message.size(), stdout);
    const bool ended = !message.empty() && message.text().back() == '\n';
    if (format == Format::table && !ended) std::fputc('\n', stdout);
  }
  std::fflush(stdout);
}

// Prints messages until the stream ends; how it ended.
Status print_messages(Format format, Stream<>& stream) {
  while (true) {
    const auto message = stream.read().wait();
    if (!message) return message.error();
    if (!*message) return {};
    print_message(format, **message);
  }
}

// Sends lines until they or the stream end. What is wrong with the lines, if something is.
Status send_lines(LineFeeder& lines, Stream<>& stream) {
  while (true) {
    std::string_view line;
    switch (lines.next(line)) {
      case LineFeeder::Outcome::line: {
        const auto written = stream.write(Bytes::copy(line)).wait();
        // If it is not the line that is too large, reading ends with the reason too.
        if (!written) return written.error();
        continue;
      }
      case LineFeeder::Outcome::end:
        stream.finish();
        return {};
      case LineFeeder::Outcome::too_long:
        return Status(StatusCode::resource_exhausted,
                      fmt::format("a line of standard input is over {} bytes", kLineBytesMax),
                      Outcome::executed);
      case LineFeeder::Outcome::failed:
        return Status(StatusCode::unknown,
                      fmt::format("cannot read standard input: {}", std::strerror(errno)),
                      Outcome::executed);
    }
  }
}

int run_stream(const Globals& globals, const StreamArguments& arguments) {
  Metadata metadata;
  if (!arguments.flags.fill(metadata)) return kExitUsage;
  auto client = connect(globals);
  if (!client) return client.error();
  CallOptions options = arguments.flags.options(globals);
  options.metadata = &metadata;
  const Interrupt interrupt;
  Stream<> stream = client->stream(arguments.target, options);
  LineFeeder lines(STDIN_FILENO, kLineBytesMax);
  Status wrong;
  std::jthread sender([&] {
    wrong = send_lines(lines, stream);
    if (!wrong.ok()) stream.cancel();  // No effect if it is over.
  });
  std::jthread canceller([&] {
    if (interrupt.wait()) stream.cancel();
  });
  const Status ended = print_messages(globals.format, stream);
  lines.stop();
  interrupt.wake();
  sender.join();
  canceller.join();
  if (interrupt.requested()) return kExitInterrupted;
  if (ended.ok()) return kExitDone;
  return report(ended.code() == StatusCode::cancelled && !wrong.ok() ? wrong : ended);
}

}  // namespace

void add_stream(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("stream", "Exchanges messages with a method, a line each");
  command->footer(kExamples);
  auto arguments = std::make_shared<StreamArguments>();
  command->add_option("TARGET", arguments->target, "service[@version]/method")->required();
  add_call_flags(*command, arguments->flags, "none");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_stream(context.globals, *arguments); };
  });
}

}  // namespace valkyrie::tools
