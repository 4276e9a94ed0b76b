#include <algorithm>
#include <fmt/format.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/authority_folder.h"
#include "tools/valkyrie/command_security.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"
#include "transport/text_file.h"

namespace valkyrie::tools {

namespace {

namespace tls = protocol::tls;

using Serials = std::vector<std::int64_t>;

struct Arguments {
  std::string folder;
  std::vector<std::string> certificates;
  std::chrono::seconds lifetime = std::chrono::days(365);
};

// What the list of the folder takes back already.
std::expected<Serials, std::string> revoked_so_far(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return Serials();
  const auto text = transport::read_text_file(path);
  if (!text) return std::unexpected(text.error());
  const auto lists = tls::revocation_facts(*text);
  if (!lists) return std::unexpected(fmt::format("{}: {}", path, lists.error()));
  if (lists->size() != 1 || lists->front().has_long_serials) {
    return std::unexpected(path + ": it is not a list that this command has made");
  }
  return lists->front().serials;
}

std::expected<std::int64_t, std::string> serial_of(const OpenAuthority& by,
                                                   const std::string& path) {
  const auto text = transport::read_text_file(path);
  if (!text) return std::unexpected(text.error());
  const auto facts = tls::certificate_facts(*text);
  if (!facts) return std::unexpected(fmt::format("{}: {}", path, facts.error()));
  if (!facts->front().serial || !by.authority.has_issued(*text)) {
    return std::unexpected(path + ": another authority has issued it");
  }
  return *facts->front().serial;
}

int run_revoke(const Globals& globals, const Arguments& arguments) {
  const auto by = open_authority(arguments.folder);
  if (!by) return fail(by.error());
  const std::string path = arguments.folder + "/ca.crl";
  auto serials = revoked_so_far(path);
  if (!serials) return fail(serials.error());
  for (const std::string& certificate : arguments.certificates) {
    const auto serial = serial_of(*by, certificate);
    if (!serial) return fail(serial.error());
    if (std::ranges::find(*serials, *serial) == serials->end()) serials->push_back(*serial);
  }
  const policy::WallTime now = wall_now();
  const policy::WallTime until = now + arguments.lifetime;
  const auto written =
      transport::write_text_file(path,
                                 by->authority.revoke(*serials, now.time_since_epoch().count(),
                                                      until.time_since_epoch().count()),
                                 transport::FileAccess::anyone, transport::Existing::replaced);
  if (!written) return fail(written.error());
  if (wants_json(globals)) {
    print_json(json::object{{"file", path},
                            {"revoked", serials->size()},
                            {"next_update", policy::wall_time_text(until)}});
    return kExitDone;
  }
  fmt::print("{}  takes {} certificates back; the next list is due before {}\n", path,
             serials->size(), policy::wall_time_text(until));
  return kExitDone;
}

}  // namespace

void add_security_revoke(CLI::App& security, Context& context) {
  auto* command = security.add_subcommand("revoke", "Takes certificates of an authority back");
  command->footer(
      "Adds them to FOLDER/ca.crl, which nodes are given as tls.crl and read again at HUP. "
      "Without\n"
      "a certificate it makes the list anew: a node refuses everybody once its list is out of "
      "date.\n"
      "Examples:\n"
      "  valkyrie security revoke pki pki/ada.crt && pkill -HUP valkyrie-server\n"
      "  valkyrie security revoke pki --lifetime 90d");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("FOLDER", arguments->folder, "Of the authority, see init-ca")->required();
  command->add_option("CERTIFICATE", arguments->certificates, "Files that it has issued");
  add_lifetime(*command, arguments->lifetime, "Until the next list is due (default 365d)");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_revoke(context.globals, *arguments); };
  });
}

}  // namespace valkyrie::tools
