#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <map>
#include <sys/stat.h>
#include <system_error>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/authority_folder.h"
#include "tools/valkyrie/certificate_wish.h"
#include "tools/valkyrie/command_security.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"
#include "transport/text_file.h"

namespace valkyrie::tools {

namespace {

namespace tls = protocol::tls;
using transport::Existing;
using transport::FileAccess;

// By this much the clocks of who makes a certificate and who looks at it may differ.
constexpr std::chrono::seconds kClocksDiffer = std::chrono::minutes(5);

struct InitArguments {
  std::string folder;
  std::string name = "Valkyrie authority";
  std::string trust_domain = "valkyrie.local";
  std::chrono::seconds lifetime = std::chrono::days(3650);
};

struct IssueArguments {
  std::string folder;
  std::vector<std::string> wishes;
  std::string out;
  std::chrono::seconds lifetime = std::chrono::days(365);
  bool ed25519 = false;
  bool renew = false;
};

// A certificate that was written.
struct Issued {
  CertificateWish wish;
  std::string certificate;
  std::string key;
  policy::WallTime until{};
};

std::int64_t seconds_of(policy::WallTime time) { return time.time_since_epoch().count(); }

std::expected<void, std::string> write_pair(const std::string& stem,
                                            const tls::Credentials& credentials,
                                            Existing existing) {
  auto written =
      transport::write_text_file(stem + ".key", credentials.key, FileAccess::owner, existing);
  if (!written) return written;
  return transport::write_text_file(stem + ".crt", credentials.certificate, FileAccess::anyone,
                                    existing);
}

bool exists(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0;
}

int run_init(const Globals& globals, const InitArguments& arguments) {
  const std::string stem = arguments.folder + "/ca";
  if (!is_trust_domain(arguments.trust_domain)) {
    return fail("--trust-domain: write lower-case letters, digits, dots, dashes, underscores");
  }
  if (exists(stem + ".key") || exists(stem + ".crt")) {
    return fail(
        fmt::format("{0} has an authority: issue with it, or choose another folder; who "
                    "made {1}.key anew would part with all that it has signed",
                    arguments.folder, stem));
  }
  const policy::WallTime from = wall_now() - kClocksDiffer;
  const policy::WallTime until = wall_now() + arguments.lifetime;
  const auto made = tls::Authority::make({.common_name = arguments.name,
                                          .names = "URI:spiffe://" + arguments.trust_domain,
                                          .not_before = seconds_of(from),
                                          .not_after = seconds_of(until),
                                          .serial = tls::random_serial(),
                                          .authority = true});
  if (!made) return fail(fmt::format("--name: {}", made.error()));
  if (::mkdir(arguments.folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(fmt::format("{}: {}", arguments.folder, std::generic_category().message(errno)));
  }
  if (const auto written = write_pair(stem, made->own(), Existing::kept); !written) {
    return fail(written.error());
  }
  if (wants_json(globals)) {
    print_json(json::object{{"certificate", stem + ".crt"},
                            {"key", stem + ".key"},
                            {"trust_domain", arguments.trust_domain},
                            {"not_after", policy::wall_time_text(until)}});
    return kExitDone;
  }
  fmt::print("{}.crt  give it to all who shall trust what this authority signs\n", stem);
  fmt::print("{}.key  secret: who has it can be anybody; keep it off the network\n", stem);
  return kExitDone;
}

std::expected<Issued, std::string> issue(const OpenAuthority& by, const CertificateWish& wish,
                                         const IssueArguments& arguments) {
  const std::int64_t now = seconds_of(wall_now());
  if (by.facts.not_after <= now) return std::unexpected("the authority's certificate has expired");
  const std::string stem =
      fmt::format("{}/{}", arguments.out.empty() ? arguments.folder : arguments.out, wish.name);
  const std::int64_t until = std::min(now + arguments.lifetime.count(), by.facts.not_after);
  const auto made =
      by.authority.issue({.common_name = wish.name,
                          .names = wish.names,
                          .usage = wish.usage,
                          .not_before = std::max(now - kClocksDiffer.count(), by.facts.not_before),
                          .not_after = until,
                          .serial = tls::random_serial(),
                          .kind = arguments.ed25519 ? tls::KeyKind::ed25519 : tls::KeyKind::p256});
  if (!made) return std::unexpected(made.error());
  if (auto written = write_pair(stem, *made, arguments.renew ? Existing::replaced : Existing::kept);
      !written) {
    return std::unexpected(std::move(written.error()));
  }
  return Issued{.wish = wish,
                .certificate = stem + ".crt",
                .key = stem + ".key",
                .until = policy::WallTime(std::chrono::seconds(until))};
}

void print_issued(const Globals& globals, const std::vector<Issued>& all) {
  json::array rows;
  Table table({"CERTIFICATE", "KEY", "NAME", "UNTIL"});
  for (const Issued& each : all) {
    const std::string until = policy::wall_time_text(each.until);
    rows.push_back(json::object{{"certificate", each.certificate},
                                {"key", each.key},
                                {"name", each.wish.spiffe},
                                {"names", each.wish.names},
                                {"usage", each.wish.usage},
                                {"not_after", until}});
    table.add({each.certificate, each.key, each.wish.spiffe, until});
  }
  if (wants_json(globals)) {
    print_json_rows(globals.format, rows);
  } else {
    table.print();
  }
}

// All that is asked for has to be right before anything is written.
std::expected<std::vector<CertificateWish>, std::string> read_wishes(
    const IssueArguments& arguments, const OpenAuthority& by) {
  std::vector<CertificateWish> wishes;
  for (const std::string& text : arguments.wishes) {
    auto wish = parse_certificate_wish(text, by.trust_domain);
    if (!wish) return std::unexpected(std::move(wish.error()));
    const std::string stem =
        fmt::format("{}/{}", arguments.out.empty() ? arguments.folder : arguments.out, wish->name);
    if (wish->name == "ca") return std::unexpected("\"ca\" is the authority's own name");
    if (std::ranges::find(wishes, wish->name, &CertificateWish::name) != wishes.end()) {
      return std::unexpected(fmt::format("\"{}\" is there twice", wish->name));
    }
    if (!arguments.renew && (exists(stem + ".crt") || exists(stem + ".key"))) {
      return std::unexpected(
          fmt::format("{}.crt or its key is there; --renew replaces both", stem));
    }
    wishes.push_back(std::move(*wish));
  }
  return wishes;
}

int run_issue(const Globals& globals, const IssueArguments& arguments) {
  const auto by = open_authority(arguments.folder);
  if (!by) return fail(by.error());
  const auto wishes = read_wishes(arguments, *by);
  if (!wishes) return fail(wishes.error());
  std::vector<Issued> all;
  for (const CertificateWish& wish : *wishes) {
    auto issued = issue(*by, wish, arguments);
    if (!issued) return fail(issued.error());
    all.push_back(std::move(*issued));
  }
  print_issued(globals, all);
  return kExitDone;
}

void add_init(CLI::App& security, Context& context) {
  auto* command = security.add_subcommand("init-ca", "Makes an authority that signs certificates");
  command->footer(
      "Writes FOLDER/ca.crt, and FOLDER/ca.key for its owner alone; never over others.\n"
      "Examples:\n"
      "  valkyrie security init-ca pki\n"
      "  valkyrie security init-ca pki --trust-domain prod.example --lifetime 1825d");
  auto arguments = std::make_shared<InitArguments>();
  command->add_option("FOLDER", arguments->folder, "Made where it is missing")->required();
  command->add_option("--name", arguments->name, "What people see (default Valkyrie authority)");
  command->add_option("--trust-domain", arguments->trust_domain,
                      "Of the names that it gives: spiffe://DOMAIN/client/ada (default "
                      "valkyrie.local)");
  add_lifetime(*command, arguments->lifetime, "How long it is good (default 3650d)");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_init(context.globals, *arguments); };
  });
}

void add_issue(CLI::App& security, Context& context) {
  auto* command = security.add_subcommand("issue", "Certificates of an authority, with new keys");
  command->footer(
      "WHAT is server:NAME[=HOST,...], client:NAME, runner:NAME, or peer:NAME[=HOST,...], which "
      "is\n"
      "server and client. For each, NAME.crt is written and, for its owner alone, NAME.key.\n"
      "Behind = stand hosts, addresses, URIs and mail addresses; a server's hosts are what its\n"
      "clients dial.\n"
      "Examples:\n"
      "  valkyrie security issue pki server:node=node.example,10.0.0.7 client:ada runner:builder\n"
      "  valkyrie security issue pki client:ci=spiffe://prod.example/ci --out /etc/ci\n"
      "  valkyrie security issue pki server:node=node.example --renew && pkill -HUP "
      "valkyrie-server");
  auto arguments = std::make_shared<IssueArguments>();
  command->add_option("FOLDER", arguments->folder, "Of the authority, see init-ca")->required();
  command->add_option("WHAT", arguments->wishes, "One certificate each")->required();
  command->add_option("--out", arguments->out, "Folder of the files (default: the authority's)")
      ->type_name("DIR");
  add_lifetime(*command, arguments->lifetime,
               "How long they are good, at most as long as the authority (default 365d)");
  command->add_flag("--ed25519", arguments->ed25519,
                    "Ed25519 keys instead of P-256, which browsers do not take");
  command->add_flag("--renew", arguments->renew, "Replace the files of the same name");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_issue(context.globals, *arguments); };
  });
}

}  // namespace

void add_security_certificates(CLI::App& security, Context& context) {
  add_init(security, context);
  add_issue(security, context);
}

}  // namespace valkyrie::tools
