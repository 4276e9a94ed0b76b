#include <fmt/format.h>
#include <map>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"
#include "tools/valkyrie/stream_load.h"

namespace valkyrie::tools {

namespace {

const std::map<std::string, StreamDirection> kDirections{
    {"upload", StreamDirection::upload},
    {"download", StreamDirection::download},
    {"both", StreamDirection::both},
};

int run_bench_stream(const Globals& globals, const StreamLoadOptions& options) {
  const auto result = generate_stream_load(globals, options);
  if (!result) return result.error();
  const double messages = static_cast<double>(result->messages) / result->seconds;
  const double bytes = messages * static_cast<double>(options.size);
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_json(json::object{{"bytes_per_s", bytes},
                            {"messages_per_s", messages},
                            {"messages", result->messages},
                            {"errors", result->errors},
                            {"seconds", result->seconds},
                            {"direction", to_string(options.direction)},
                            {"connections", options.connections},
                            {"streams", options.streams},
                            {"loops", options.loops},
                            {"size", options.size}});
  } else {
    fmt::print("messages {}  rate {}  {:.3g} Gbit/s  errors {}  ({}, {} x {} streams)\n",
               result->messages, human_rate(messages), bytes * 8 / 1e9, result->errors,
               to_string(options.direction), options.connections, options.streams);
  }
  return result->first_error ? report(*result->first_error) : kExitDone;
}

}  // namespace

void add_bench_stream(CLI::App& bench, Context& context) {
  auto options = std::make_shared<StreamLoadOptions>();
  auto* stream = bench.add_subcommand("stream", "Rate of messages on streams through the node");
  stream->footer(
      "Both ends are in this process, the service on a connection of its own. Writers write as\n"
      "fast as credit allows; what counts is what has been read at the other end.\n"
      "Examples:\n"
      "  valkyrie bench stream\n"
      "  valkyrie bench stream --direction both --streams 8 --size 1024 --time 3\n"
      "  valkyrie -o json bench stream --direction download");
  stream
      ->add_option_function<std::string>(
          "--direction",
          [options](const std::string& word) { options->direction = kDirections.at(word); },
          "upload (to the service), download, or both on streams of their own (default upload)")
      ->check(CLI::IsMember(&kDirections));
  stream->add_option("--connections", options->connections, "Connections of callers (default 1)")
      ->check(CLI::Range(1, 4096));
  stream->add_option("--streams", options->streams, "Streams on each, each way (default 1)")
      ->check(CLI::Range(1, 65536));
  stream->add_option("--loops", options->loops, "Threads that the connections share (default 2)")
      ->check(CLI::Range(1, 64));
  stream->add_option("--size", options->size, "Bytes of a message (default 65536)")
      ->check(CLI::Range(0, 16 << 20));
  add_seconds(*stream, "--time", options->time, "How long to measure (default 10s)");
  add_seconds(*stream, "--warmup", options->warmup, "Before it, not counted (default 300ms)");
  stream->add_option("--service-node", options->service_node,
                     "URL at which the service connects (default: as --node)");
  stream->callback([&context, options] {
    context.run = [&context, options] { return run_bench_stream(context.globals, *options); };
  });
}

}  // namespace valkyrie::tools
