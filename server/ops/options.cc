#include "server/ops/options.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>
#include <utility>

#include <CLI/CLI.hpp>

#include "server/ops/audit_setting_text.h"
#include "server/ops/service_setting_text.h"
#include "server/registry/suggestion.h"
#include "transport/duration_text.h"

namespace valkyrie::server {
namespace {

constexpr int kExitUsage = 2;

constexpr const char* kDescription =
    "Runs a Valkyrie node: services and clients connect to it, and it carries their calls.";

constexpr const char* kFooter = R"(Addresses:
  valkyrie://HOST[:PORT]  plain TCP, loopback only without --insecure; port 0 lets the system choose
  tls://HOST[:PORT]       TCP through TLS 1.3, with --set tls.certificate=FILE --set tls.key=FILE
  noise://HOST[:PORT]     TCP through Noise, with the node's own key
  unix:///PATH            a Unix socket, for this user only
  unix:@NAME              a Unix socket of the abstract namespace

Examples:
  valkyrie-server                                 the default doors and state directory
  valkyrie-server --listen unix:///tmp/n.sock     that socket and nothing else
  valkyrie-server --ephemeral --print-doors --listen valkyrie://127.0.0.1:0
                                                  for scripts and tests
  valkyrie-server --check --listen tls://0.0.0.0  says what is wrong, starts nothing
  valkyrie-server --set services.defaults.slow_start=30s --set 'services."hello.*".balance=weighted'
                                                  how calls are shared between instances

Output: one line on stdout when the node is ready, or with --print-doors one JSON object:
  {"node","version","pid","shards","state","ready_ms","doors":[{"url","protocols"}]}
The log goes to stderr. TERM or INT drains: calls that run are finished, new ones refused; a second
signal stops at once. HUP reads the files of tls.* and noise.* again, for connections from then on.

Exit codes: 0 stopped in order, 1 could not start or was cut short, 2 wrong usage.)";

// Options as they were written, before they are checked.
struct Raw {
  std::vector<std::string> listen;
  std::vector<std::string> set;
  std::string state;
  std::string drain_grace = transport::duration_text(protocol::kDrainDefault);
  std::string handshake_timeout = transport::duration_text(protocol::kHandshakeTimeoutDefault);
  int ready_fd = -1;
  bool ephemeral = false;
  bool insecure = false;
};

EarlyExit usage(std::string_view message) {
  return {.code = kExitUsage,
          .text = fmt::format("error: {}\nRun valkyrie-server --help for all options.\n", message)};
}

void add_options(CLI::App& app, Raw& raw, ServerOptions& options) {
  static const std::map<std::string, LogLevel> levels{{"debug", LogLevel::debug},
                                                      {"info", LogLevel::info},
                                                      {"warn", LogLevel::warn},
                                                      {"error", LogLevel::error},
                                                      {"off", LogLevel::off}};
  static const std::map<std::string, LogFormat> formats{{"text", LogFormat::text},
                                                        {"json", LogFormat::json}};
  app.set_version_flag("--version", std::string("valkyrie-server ") + VALKYRIE_VERSION);
  app.add_option("--listen", raw.listen,
                 "Address to listen on; may be repeated. Default: "
                 "valkyrie://127.0.0.1:22091 and the user's Unix socket")
      ->type_name("URL")
      ->allow_extra_args(false);
  app.add_flag("--insecure", raw.insecure,
               "Allow plain valkyrie:// on addresses other than loopback");
  app.add_option("--shards", options.shards,
                 "Threads that serve connections; default: one per core")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kShardsMax));
  app.add_option("--state", raw.state,
                 "Directory for what outlives a restart: the node's id and "
                 "how often it has started")
      ->type_name("DIR");
  app.add_flag("--ephemeral", raw.ephemeral, "Keep nothing: a new id at each start");
  app.add_option("--security", options.security_file,
                 "File of providers, roles and bindings: who may come in and what each may do. "
                 "Default: whoever comes in may do everything")
      ->type_name("FILE");
  app.add_option("--audit-log", options.audit_directory,
                 "Directory for the audit log; made where it is missing. Default: no log")
      ->type_name("DIR");
  app.add_option("--in-flight", options.requests_in_flight_max,
                 "Unanswered calls that one connection may have")
      ->type_name("N")
      ->check(CLI::Range(protocol::kRequestsInFlightMin, protocol::kRequestsInFlightMax))
      ->capture_default_str();
  app.add_option("--half-open", options.half_open_max,
                 "Connections that have not said hello; the oldest make room")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, kHalfOpenMax))
      ->capture_default_str();
  app.add_option("--handshake-timeout", raw.handshake_timeout,
                 "Time from connecting to the end of the hello")
      ->type_name("DURATION")
      ->capture_default_str();
  app.add_option("--drain-grace", raw.drain_grace, "Time that running calls get to end after TERM")
      ->type_name("DURATION")
      ->capture_default_str();
  app.add_option("--set", raw.set,
                 "A setting by its path, such as services.defaults.balance=round_robin; may be "
                 "repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_option("--log-level", options.log_level, "debug, info, warn, error or off; default: info")
      ->type_name("LEVEL")
      ->envname("VALKYRIE_LOG")
      ->transform(CLI::CheckedTransformer(levels).description(""));
  app.add_option("-o,--output", options.log_format, "Form of the log lines: text or json")
      ->type_name("FORM")
      ->transform(CLI::CheckedTransformer(formats).description(""));
  app.add_flag("--print-doors", options.print_doors,
               "Once ready, print one JSON object that names the doors instead of the ready line");
  app.add_option("--ready-fd", raw.ready_fd,
                 "Once ready, write the line READY=1 to this descriptor and close it")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 20));
  app.add_flag("--check", options.check, "Check the command line and stop; exit 0 or 2");
}

// The error for what no option took, with the option that was probably meant.
EarlyExit unknown_argument(const CLI::App& app, const std::string& given) {
  const std::string name = given.substr(0, given.find('='));
  if (!name.starts_with('-')) {
    return usage(fmt::format("unexpected argument \"{}\"; options begin with --", given));
  }
  std::string nearest;
  std::size_t edits = registry::forgiven_edits(name) + 1;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& known : option->get_lnames()) {
      const auto distance = registry::edit_distance(name, "--" + known, edits - 1);
      if (!distance || *distance >= edits) continue;
      edits = *distance;
      nearest = "--" + known;
      if (edits == 0) break;
    }
    if (edits == 0) break;
  }
  if (nearest.empty()) return usage(fmt::format("unknown option {}", name));
  return usage(fmt::format("unknown option {}; did you mean {}?", name, nearest));
}

std::expected<protocol::Duration, EarlyExit> duration_option(std::string_view name,
                                                             const std::string& text,
                                                             protocol::Duration min,
                                                             protocol::Duration max) {
  const auto value = transport::parse_duration(text);
  if (!value) return std::unexpected(usage(fmt::format("{}: {}", name, value.error())));
  if (*value < min || *value > max) {
    return std::unexpected(
        usage(fmt::format("{}: {} is not between {} and {}", name, text,
                          transport::duration_text(min), transport::duration_text(max))));
  }
  return *value;
}

std::expected<void, EarlyExit> choose_doors(const Raw& raw, const Environment& environment,
                                            ServerOptions& options) {
  std::vector<std::string> urls = raw.listen;
  if (urls.empty()) {
    const std::string socket = default_socket_path(environment);
    urls = {fmt::format("valkyrie://127.0.0.1:{}", transport::kPortDefault), "unix://" + socket};
    if (environment.runtime_directory.empty() && environment.user != 0) {
      options.shared_parent = socket.substr(0, socket.rfind('/'));
    }
  }
  for (const std::string& url : urls) {
    auto address = transport::parse_address(url, {.insecure = raw.insecure});
    if (!address) {
      std::string message = std::move(address.error().message);
      if (address.error().kind == transport::TransportErrorKind::insecure) {
        message += " (--insecure allows it)";
      }
      return std::unexpected(usage(fmt::format("--listen: {}", message)));
    }
    if (!address->key.empty()) {
      return std::unexpected(usage(fmt::format(
          "--listen: {}: the key of a noise:// door is the node's own, in its state directory",
          url)));
    }
    const bool chosen_by_system =
        address->kind == transport::AddressKind::tcp && address->port == 0;
    if (!chosen_by_system && std::ranges::find(options.listen, *address) != options.listen.end()) {
      return std::unexpected(usage(fmt::format("--listen: {} is given twice", url)));
    }
    options.listen.push_back(std::move(*address));
  }
  const bool speaks_tls = std::ranges::any_of(options.listen, &transport::Address::tls);
  const bool speaks_noise = std::ranges::any_of(options.listen, &transport::Address::noise);
  auto fits = check_tls_settings(options.tls, speaks_tls);
  if (fits) fits = check_noise_settings(options.noise, speaks_noise);
  if (!fits) return std::unexpected(usage(fmt::format("--set: {}", fits.error())));
  for (const auto& [url, ceiling] : options.qos->listener_ceilings) {
    const auto is_it = [&](const transport::Address& each) { return to_string(each) == url; };
    if (std::ranges::none_of(options.listen, is_it)) {
      return std::unexpected(
          usage(fmt::format("--set: qos.listener_ceiling: the node does not listen on {}", url)));
    }
  }
  return {};
}

// A setting goes to who knows those that begin like it.
std::expected<void, std::string> apply_one(std::string_view path, std::string_view value,
                                           registry::ServiceRules& rules, QosSettings& qos,
                                           ServerOptions& options) {
  constexpr std::string_view kQos = "qos.";
  constexpr std::string_view kAudit = "audit.";
  constexpr std::string_view kLimits = "limits.";
  constexpr std::string_view kTls = "tls.";
  constexpr std::string_view kNoise = "noise.";
  if (path.starts_with(kQos)) return apply_qos_setting(path.substr(kQos.size()), value, qos);
  if (path.starts_with(kLimits)) {
    return apply_limit_setting(path.substr(kLimits.size()), value, options.limits);
  }
  if (path.starts_with(kTls)) {
    return apply_tls_setting(path.substr(kTls.size()), value, options.tls);
  }
  if (path.starts_with(kNoise)) {
    return apply_noise_setting(path.substr(kNoise.size()), value, options.noise);
  }
  if (!path.starts_with(kAudit)) return apply_setting(path, value, rules);
  if (options.audit_directory.empty()) {
    return std::unexpected(fmt::format("{} is of no use without --audit-log", path));
  }
  return apply_audit_setting(path.substr(kAudit.size()), value, options.audit);
}

std::expected<void, EarlyExit> apply_settings(const Raw& raw, ServerOptions& options) {
  auto rules = std::make_shared<registry::ServiceRules>();
  auto qos = std::make_shared<QosSettings>();
  std::set<std::string_view> given;
  for (const std::string& setting : raw.set) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      return std::unexpected(
          usage(fmt::format("--set: \"{}\" has no value; write KEY=VALUE", setting)));
    }
    const std::string_view path = std::string_view(setting).substr(0, equals);
    const std::string_view value = std::string_view(setting).substr(equals + 1);
    const auto applied = apply_one(path, value, *rules, *qos, options);
    if (!applied) {
      return std::unexpected(usage(fmt::format("--set: {}", applied.error())));
    }
    if (!given.insert(path).second) {
      return std::unexpected(usage(fmt::format("--set: {} is given twice", path)));
    }
  }
  options.rules = std::move(rules);
  options.qos = std::move(qos);
  return {};
}

std::expected<void, EarlyExit> finish(const Raw& raw, const Environment& environment,
                                      ServerOptions& options) {
  if (raw.ephemeral && !raw.state.empty()) {
    return std::unexpected(usage("--state keeps what --ephemeral forgets; give one of them"));
  }
  if (!raw.ephemeral) {
    options.state_directory = raw.state.empty() ? default_state_directory(environment) : raw.state;
  }
  if (raw.ready_fd >= 0) options.ready_fd = raw.ready_fd;
  const auto grace =
      duration_option("--drain-grace", raw.drain_grace, protocol::kDrainMin, protocol::kDrainMax);
  if (!grace) return std::unexpected(grace.error());
  options.drain_grace = *grace;
  const auto handshake =
      duration_option("--handshake-timeout", raw.handshake_timeout, protocol::kHandshakeTimeoutMin,
                      protocol::kHandshakeTimeoutMax);
  if (!handshake) return std::unexpected(handshake.error());
  options.handshake_timeout = *handshake;
  if (auto applied = apply_settings(raw, options); !applied) return applied;
  if (options.limits.keep_bans && options.state_directory.empty()) {
    return std::unexpected(usage("--set: limits.keep_bans keeps what --ephemeral forgets"));
  }
  return choose_doors(raw, environment, options);
}

}  // namespace

std::expected<ServerOptions, EarlyExit> parse_options(std::span<const char* const> arguments,
                                                      const Environment& environment) {
  Raw raw;
  ServerOptions options;
  options.shards = std::min(environment.cores, kShardsMax);
  CLI::App app(kDescription, "valkyrie-server");
  app.footer(kFooter);
  app.allow_extras();
  add_options(app, raw, options);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return std::unexpected(EarlyExit{.code = 0, .text = app.help()});
  } catch (const CLI::CallForVersion& version) {
    return std::unexpected(EarlyExit{.code = 0, .text = std::string(version.what()) + "\n"});
  } catch (const CLI::ParseError& error) {
    return std::unexpected(usage(error.what()));
  }
  if (const auto unknown = app.remaining(); !unknown.empty()) {
    return std::unexpected(unknown_argument(app, unknown.front()));
  }
  if (auto finished = finish(raw, environment, options); !finished) {
    return std::unexpected(std::move(finished.error()));
  }
  return options;
}

}  // namespace valkyrie::server
