#include "server/ops/announce.h"

#include <fmt/format.h>
#include <iterator>
#include <unistd.h>

#include "server/policy/json_text.h"

namespace valkyrie::server {
namespace {

auto milliseconds(protocol::Duration duration) { return duration / std::chrono::milliseconds(1); }

}  // namespace

std::string ready_line(const NodeIdentity& identity, const ServerOptions& options,
                       protocol::Duration took) {
  std::string line = fmt::format("node {} ready in {}ms ", identity.name, milliseconds(took));
  for (const messages::Door& door : identity.doors) line += " " + door.url;
  return line + "  state " +
         (options.state_directory.empty() ? "ephemeral" : options.state_directory);
}

std::string doors_json(const NodeIdentity& identity, const ServerOptions& options,
                       protocol::Duration took, int process) {
  std::string doors;
  for (const messages::Door& door : identity.doors) {
    std::string protocols;
    for (const std::string& name : door.protocols) {
      protocols += (protocols.empty() ? "" : ",") + policy::json_quote(name);
    }
    fmt::format_to(std::back_inserter(doors), R"({}{{"url":{},"protocols":[{}]}})",
                   doors.empty() ? "" : ",", policy::json_quote(door.url), protocols);
  }
  return fmt::format(
      R"({{"node":{},"version":{},"pid":{},"shards":{},"state":{},"ready_ms":{},"doors":[{}]}})",
      policy::json_quote(identity.name), policy::json_quote(identity.version), process,
      options.shards,
      options.state_directory.empty() ? "null" : policy::json_quote(options.state_directory),
      milliseconds(took), doors);
}

bool notify_ready(int fd) {
  constexpr std::string_view notice = "READY=1\n";
  const bool written =
      ::write(fd, notice.data(), notice.size()) == static_cast<ssize_t>(notice.size());
  return ::close(fd) == 0 && written;
}

}  // namespace valkyrie::server
