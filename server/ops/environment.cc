#include "server/ops/environment.h"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <thread>
#include <unistd.h>

namespace valkyrie::server {
namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

Environment read_environment() {
  return {.runtime_directory = variable("XDG_RUNTIME_DIR"),
          .state_home = variable("XDG_STATE_HOME"),
          .home = variable("HOME"),
          .user = ::geteuid(),
          .cores = std::max(1U, std::thread::hardware_concurrency())};
}

std::string default_socket_path(const Environment& environment) {
  if (!environment.runtime_directory.empty()) {
    return environment.runtime_directory + "/valkyrie/node.sock";
  }
  if (environment.user == 0) return "/run/valkyrie/node.sock";
  return fmt::format("{}/valkyrie-{}/node.sock", environment.temporary, environment.user);
}

std::string default_state_directory(const Environment& environment) {
  if (!environment.state_home.empty()) return environment.state_home + "/valkyrie";
  if (!environment.home.empty()) return environment.home + "/.local/state/valkyrie";
  return "/var/lib/valkyrie";
}

}  // namespace valkyrie::server
