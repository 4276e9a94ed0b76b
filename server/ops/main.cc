// valkyrie-server: runs a node. What it does, in order; how is in the headers.
#include <chrono>
#include <cstdio>
#include <fmt/format.h>
#include <unistd.h>

#include "server/ops/announce.h"
#include "server/ops/log.h"
#include "server/ops/node.h"
#include "server/ops/options.h"
#include "server/ops/process.h"
#include "server/ops/state_directory.h"
#include "transport/clock.h"
#include "transport/duration_text.h"

namespace valkyrie::server {
namespace {

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;

// After the grace: time for last answers to be written before connections are cut.
constexpr protocol::Duration kLastWordsTime = std::chrono::seconds(3);

int say(std::FILE* stream, const std::string& text, int code) {
  static_cast<void>(std::fputs(text.c_str(), stream));
  static_cast<void>(std::fflush(stream));
  return code;
}

int fail(const std::string& message) {
  return say(stderr, fmt::format("error: {}\n", message), kExitFailed);
}

int report_check(const ServerOptions& options) {
  std::string text = "the command line is right\n";
  for (const transport::Address& address : options.listen) {
    text += fmt::format("door {}\n", transport::to_string(address));
  }
  text += fmt::format("shards {}\nstate {}\n", options.shards,
                      options.state_directory.empty() ? "ephemeral" : options.state_directory);
  return say(stdout, text, kExitDone);
}

std::expected<NodeState, std::string> take_state(const ServerOptions& options) {
  if (options.state_directory.empty()) return ephemeral_state(random_number);
  return open_state(options.state_directory, random_number);
}

void announce(const Node& node, const ServerOptions& options, protocol::Instant started,
              spdlog::logger& log) {
  const protocol::Duration took = transport::monotonic_now() - started;
  const std::string text = options.print_doors
                               ? doors_json(node.identity(), options, took, ::getpid())
                               : ready_line(node.identity(), options, took);
  say(stdout, text + "\n", kExitDone);
  // For people; machines have the doors and their own command line.
  if (const auto open = open_notice(node.identity(), options);
      open && options.log_format == LogFormat::text) {
    log.log(open->beyond_this_machine ? spdlog::level::warn : spdlog::level::info, "{}",
            open->text);
  }
  if (options.ready_fd && !notify_ready(*options.ready_fd)) {
    log.warn("--ready-fd {}: nobody could be told", *options.ready_fd);
  }
}

int drain_and_stop(Node& node, const ServerOptions& options, int signals, spdlog::logger& log) {
  log.info("draining: running calls have {}; a second signal stops at once",
           transport::duration_text(options.drain_grace));
  node.drain(options.drain_grace);
  const auto patience = (options.drain_grace + kLastWordsTime) / std::chrono::milliseconds(1);
  const StopCause cause =
      wait_for_stop(signals, node.drained_fd(), static_cast<int>(patience), [&] { node.reload(); });
  const std::size_t cut = node.stop();
  if (cause == StopCause::signal) {
    log.warn("stopped before the drain was over; {} connections were cut", cut);
    return kExitFailed;
  }
  log.info("stopped; {} connections were cut", cut);
  return kExitDone;
}

int run(std::span<const char* const> arguments) {
  const protocol::Instant started = transport::monotonic_now();
  const auto options = parse_options(arguments, read_environment());
  if (!options) {
    return say(options.error().code == kExitDone ? stdout : stderr, options.error().text,
               options.error().code);
  }
  if (options->check) {
    const auto security = load_security(options->security_file);
    return security ? report_check(*options) : fail(security.error());
  }
  const auto log = make_log(options->log_format, options->log_level);
  const auto signals = take_signals();
  if (!signals) return fail(signals.error().message());
  raise_file_limit();
  auto state = take_state(*options);
  if (!state) return fail(state.error());
  auto node = Node::start(*options, std::move(*state), random_number, *log);
  if (!node) return fail(node.error());
  announce(**node, *options, started, *log);
  static_cast<void>(wait_for_stop(signals->fd(), -1, -1, [&] { (*node)->reload(); }));
  return drain_and_stop(**node, *options, signals->fd(), *log);
}

}  // namespace
}  // namespace valkyrie::server

int main(int argc, char** argv) {
  return valkyrie::server::run({argv + 1, static_cast<std::size_t>(argc - 1)});
}
