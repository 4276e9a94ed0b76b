#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>

#include <CLI/CLI.hpp>

#include "protocol/crypto/secret.h"
#include "server/policy/api_key.h"
#include "tools/valkyrie/command_security.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"
#include "transport/socket.h"
#include "transport/text_file.h"

namespace valkyrie::tools {

namespace {

struct NewArguments {
  std::string file;
  std::string subject;
  std::string tenant;
  std::vector<std::string> groups;
  std::chrono::seconds lifetime{0};  // 0: for ever.
  std::string out;
};

bool exists(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0;
}

std::expected<policy::ApiKeys, std::string> read_keys(const std::string& path) {
  const auto text = transport::read_text_file(path);
  if (!text) return std::unexpected(text.error());
  auto keys = policy::ApiKeys::parse(*text);
  if (!keys) return std::unexpected(fmt::format("{}: {}", path, keys.error()));
  return std::move(*keys);
}

// The file holds hashes alone, and the node may be another user's.
std::expected<void, std::string> write_keys(const std::string& path, const policy::ApiKeys& keys) {
  return transport::write_text_file(path, keys.format(), transport::FileAccess::anyone,
                                    transport::Existing::replaced);
}

// Held while the file is read and written again: of two who change it at once, neither is to undo
// what the other did.
std::expected<transport::Socket, std::string> lock_folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  transport::Socket lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock || ::flock(lock.fd(), LOCK_EX) != 0) {
    return std::unexpected(fmt::format("{}: {}", folder, std::generic_category().message(errno)));
  }
  return lock;
}

std::string state_of(const policy::ApiKeyRecord& record, policy::WallTime now) {
  if (record.revoked_at) return "revoked";
  return record.expires_at && *record.expires_at <= now ? "expired" : "good";
}

std::string time_or_dash(const std::optional<policy::WallTime>& time) {
  return time ? policy::wall_time_text(*time) : "-";
}

json::object record_json(const policy::ApiKeyRecord& record) {
  json::object row{
      {"prefix", record.prefix},
      {"subject", record.identity.subject},
      {"tenant", record.identity.tenant},
      {"groups", json::array(record.identity.groups.begin(), record.identity.groups.end())},
      {"state", state_of(record, wall_now())}};
  if (record.expires_at) row["expires"] = policy::wall_time_text(*record.expires_at);
  if (record.revoked_at) row["revoked"] = policy::wall_time_text(*record.revoked_at);
  return row;
}

policy::NewApiKey make_key(const NewArguments& arguments) {
  std::array<std::byte, policy::kApiKeyRandomBytes> random{};
  protocol::crypto::random_bytes(random);
  std::optional<policy::WallTime> expires;
  if (arguments.lifetime.count() > 0) expires = wall_now() + arguments.lifetime;
  policy::NewApiKey made = policy::make_api_key(
      random,
      {.tenant = arguments.tenant, .subject = arguments.subject, .groups = arguments.groups},
      expires);
  protocol::crypto::wipe(random);
  return made;
}

std::expected<void, std::string> add_to_file(const std::string& path,
                                             const policy::ApiKeyRecord& record) {
  const auto lock = lock_folder_of(path);
  if (!lock) return std::unexpected(lock.error());
  auto keys = exists(path) ? read_keys(path)
                           : std::expected<policy::ApiKeys, std::string>(policy::ApiKeys());
  if (!keys) return std::unexpected(std::move(keys.error()));
  if (auto added = keys->add(record); !added) return added;
  return write_keys(path, *keys);
}

int run_new(const Globals& globals, const NewArguments& arguments) {
  policy::NewApiKey made = make_key(arguments);
  // First the file of the secret: a key that nobody has is worse than one that no node knows.
  if (!arguments.out.empty()) {
    const auto written = transport::write_text_file(
        arguments.out, made.text + "\n", transport::FileAccess::owner, transport::Existing::kept);
    if (!written) return fail(written.error());
  }
  if (const auto added = add_to_file(arguments.file, made.record); !added) {
    return fail(added.error());
  }
  const bool shown = arguments.out.empty();
  if (wants_json(globals)) {
    json::object result = record_json(made.record);
    if (shown) result["key"] = made.text;
    print_json(result);
  } else if (shown) {
    fmt::print("{}\n", made.text);
  }
  note(globals, shown ? "this is the only time that the key is shown; the file has its hash alone"
                      : fmt::format("the key is in {}; {} has its hash alone", arguments.out,
                                    arguments.file));
  protocol::crypto::wipe(std::as_writable_bytes(std::span(made.text)));
  return kExitDone;
}

int run_ls(const Globals& globals, const std::string& path) {
  const auto keys = read_keys(path);
  if (!keys) return fail(keys.error());
  json::array rows;
  Table table({"PREFIX", "SUBJECT", "TENANT", "GROUPS", "EXPIRES", "STATE"});
  for (const auto& [prefix, record] : keys->records()) {
    rows.push_back(record_json(record));
    const auto& identity = record.identity;
    table.add({prefix, identity.subject, identity.tenant.empty() ? "-" : identity.tenant,
               identity.groups.empty() ? "-" : fmt::format("{}", fmt::join(identity.groups, ",")),
               time_or_dash(record.expires_at), state_of(record, wall_now())});
  }
  if (wants_json(globals)) {
    print_json_rows(globals.format, rows);
  } else {
    table.print();
  }
  return kExitDone;
}

int run_revoke(const Globals& globals, const std::string& path, const std::string& prefix) {
  const auto lock = lock_folder_of(path);
  if (!lock) return fail(lock.error());
  auto keys = read_keys(path);
  if (!keys) return fail(keys.error());
  if (!keys->revoke(prefix, wall_now())) {
    print_error(
        fmt::format("{} has no key with the prefix \"{}\"; valkyrie security apikey ls "
                    "shows all",
                    path, policy::printable(prefix)));
    return kExitNo;
  }
  if (const auto written = write_keys(path, *keys); !written) return fail(written.error());
  note(globals, fmt::format("{} is revoked in the file", prefix));
  return kExitDone;
}

void add_new(CLI::App& api_key, Context& context) {
  auto* command =
      api_key.add_subcommand("new", "Makes a key, and adds its hash to the node's file");
  command->footer(
      "The key is printed once and kept nowhere. Comments of the file are lost.\nExamples:\n"
      "  valkyrie security apikey new /etc/valkyrie/api-keys --subject ci --lifetime 90d\n"
      "  valkyrie security apikey new api-keys --subject robot --group arms --out robot.key");
  auto arguments = std::make_shared<NewArguments>();
  command->add_option("FILE", arguments->file, "The node's file of keys; made where it is missing")
      ->required();
  command->add_option("--subject", arguments->subject, "Who its owner is")->required();
  command->add_option("--tenant", arguments->tenant, "Of which tenant (default the node's own)");
  command->add_option("--group", arguments->groups, "A group of the owner; repeatable")
      ->allow_extra_args(false);
  add_lifetime(*command, arguments->lifetime, "How long it is good (default for ever)");
  command->add_option("--out", arguments->out, "File for the key, for its owner alone")
      ->type_name("FILE");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_new(context.globals, *arguments); };
  });
}

}  // namespace

void add_security_api_key(CLI::App& security, Context& context) {
  auto* api_key = security.add_subcommand("apikey", "The node's file of API keys");
  api_key->require_subcommand(1);
  add_new(*api_key, context);
  auto* ls = api_key->add_subcommand("ls", "All keys of a file, by prefix");
  ls->footer("Examples:\n  valkyrie security apikey ls /etc/valkyrie/api-keys");
  auto listed = std::make_shared<std::string>();
  ls->add_option("FILE", *listed, "The node's file of keys")->required();
  ls->callback([&context, listed] {
    context.run = [&context, listed] { return run_ls(context.globals, *listed); };
  });
  auto* revoke = api_key->add_subcommand("revoke", "Takes a key back");
  revoke->footer("Examples:\n  valkyrie security apikey revoke /etc/valkyrie/api-keys k7x2mqpa");
  auto file = std::make_shared<std::string>();
  auto prefix = std::make_shared<std::string>();
  revoke->add_option("FILE", *file, "The node's file of keys")->required();
  revoke->add_option("PREFIX", *prefix, "As apikey ls shows it")->required();
  revoke->callback([&context, file, prefix] {
    context.run = [&context, file, prefix] { return run_revoke(context.globals, *file, *prefix); };
  });
}

}  // namespace valkyrie::tools
