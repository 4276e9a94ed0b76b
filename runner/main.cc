// valkyrie-runner: dials a node and executes its jobs on this machine.
#include <cstdio>
#include <fmt/format.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <utility>

#include "runner/serve.h"
#include "runner/settings.h"
#include "runner/shim.h"
#include "runner/work_folder.h"
#include "valkyrie/client.h"

namespace {

// No node could be reached.
constexpr int kExitNoNode = 3;

// TERM and INT arrive at a descriptor from here on, in threads started later too.
int take_signals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace valkyrie;
  int shim_exit = 0;
  if (runner::run_if_shim(argc, argv, shim_exit)) return shim_exit;
  const auto settings = runner::read_settings(argc, argv);
  if (!settings) {
    fmt::print(settings.error().code == 0 ? stdout : stderr, "{}\n", settings.error().text);
    return settings.error().code;
  }
  const auto folder = runner::WorkFolder::open(settings->work_dir);
  if (!folder) {
    fmt::print(stderr, "error: {}\n", folder.error());
    return 1;
  }
  const runner::ExecutorOptions executor{.program = "/proc/self/exe",
                                         .work_dir = settings->work_dir,
                                         .fence = runner::strongest_fence()};
  const int signal_fd = take_signals();
  ClientOptions options;
  options.agent = std::string("valkyrie-runner/") + VALKYRIE_VERSION;
  options.token_file = settings->token_file;
  auto client = Client::connect(settings->node, std::move(options));
  if (!client) {
    fmt::print(stderr, "error: {}\n", client.error().message());
    return kExitNoNode;
  }
  const int exit_code = runner::serve(*settings, executor, *client, signal_fd);
  client->close(std::chrono::seconds(1));
  return exit_code;
}
