#include "server/ops/announce.h"

#include <fmt/format.h>
#include <iterator>
#include <unistd.h>

#include "server/policy/json_text.h"

namespace valkyrie::server {
namespace {

auto milliseconds(protocol::Duration duration) { return duration / std::chrono::milliseconds(1); }

bool is_local(const transport::Address& address) {
  return address.kind != transport::AddressKind::tcp || transport::is_loopback_host(address.host);
}

std::string_view who_comes_through(const transport::Address& address,
                                   const ServerOptions& options) {
  if (address.kind == transport::AddressKind::unix_path) return "this user";
  if (address.kind == transport::AddressKind::unix_abstract) return "users of this machine";
  if (address.tls && !options.tls.client_ca.empty() && !options.tls.client_optional) {
    return "whoever has a certificate";
  }
  if (address.noise && !options.noise.keys.empty()) return "whoever has a listed key";
  return is_local(address) ? "users of this machine" : "anybody";
}

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

std::optional<OpenNotice> open_notice(const NodeIdentity& identity, const ServerOptions& options) {
  if (!options.security_file.empty()) return std::nullopt;
  OpenNotice notice;
  std::string who;
  for (std::size_t i = 0; i < options.listen.size(); ++i) {
    const transport::Address& address = options.listen[i];
    const std::string url = i < identity.doors.size() ? identity.doors[i].url : to_string(address);
    notice.beyond_this_machine = notice.beyond_this_machine || !is_local(address);
    who += fmt::format("{}{} ({})", who.empty() ? "" : ", ", who_comes_through(address, options),
                       url.substr(0, url.find('?')));
  }
  notice.text = fmt::format(
      "open to {}: each may do everything; --security FILE says who may do what, docs/guide/"
      "security.md how",
      who);
  return notice;
}

bool notify_ready(int fd) {
  constexpr std::string_view notice = "READY=1\n";
  const bool written =
      ::write(fd, notice.data(), notice.size()) == static_cast<ssize_t>(notice.size());
  return ::close(fd) == 0 && written;
}

}  // namespace valkyrie::server
