#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <sys/resource.h>

#include <CLI/CLI.hpp>

#include "protocol/messages/registry.h"
#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/json.h"

namespace valkyrie::tools {

namespace {

// Below this many open files a node cannot hold ten thousand connections.
constexpr rlim_t kOpenFilesGood = 16'384;

struct Finding {
  std::string check;
  bool good = true;
  std::string text;  // What was seen and, if it is bad, what to do.
};

Finding check_open_files() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const bool good = limit.rlim_max >= kOpenFilesGood;
  return {.check = "open files",
          .good = good,
          .text = fmt::format("{} at most{}", limit.rlim_max,
                              good ? "" : "; raise it: ulimit -Hn, LimitNOFILE= of systemd")};
}

// The kernel's answer whether user namespaces are there, which isolate jobs of ordinary users.
Finding check_namespaces() {
  std::ifstream file("/proc/sys/user/max_user_namespaces");
  long count = 0;
  file >> count;
  return {.check = "user namespaces",
          .good = count > 0,
          .text = count > 0 ? fmt::format("{} at most", count)
                            : "none: runners of ordinary users prove no cancel "
                              "(sysctl user.max_user_namespaces)"};
}

Finding check_runtime_directory() {
  const char* directory = std::getenv("XDG_RUNTIME_DIR");
  if (directory == nullptr || *directory == '\0') {
    return {.check = "runtime directory",
            .good = true,
            .text = "XDG_RUNTIME_DIR is not set; Unix sockets of this user lie elsewhere"};
  }
  return {.check = "runtime directory", .good = true, .text = directory};
}

// Asks the node about itself and measures one round trip.
std::vector<Finding> check_node(const Globals& globals) {
  ClientOptions options;
  options.token_file = globals.token_file;
  options.log = [](std::string_view) {};
  auto client = Client::connect(Address(globals.node), std::move(options));
  const auto bad = [](std::string text) {
    return std::vector<Finding>{{.check = "node", .good = false, .text = std::move(text)}};
  };
  if (!client) return bad(std::string(client.error().message()));
  std::vector<Finding> findings;
  const auto start = std::chrono::steady_clock::now();
  const auto reply =
      client->call("valkyrie.Node/Info", messages::encode(messages::NodeInfoRequest{})).wait();
  const Duration took = std::chrono::steady_clock::now() - start;
  if (!reply) return bad(reply.error().to_string());
  const auto info = messages::decode<messages::NodeInfoReply>(BytesView(*reply).span());
  if (!info) return bad("its answer cannot be read");
  findings.push_back(
      {.check = "node",
       .good = !info->draining,
       .text = fmt::format(
           "{} version {} at {}, up {}, {} shards, answers in {}{}", info->node, info->version,
           client->node_url(), human_duration(Duration(static_cast<std::int64_t>(info->uptime_ns))),
           info->shards, human_duration(took), info->draining ? "; it is draining" : "")});
  const bool same = info->version == VALKYRIE_VERSION;
  findings.push_back({.check = "versions",
                      .good = true,
                      .text = same ? "node and command line are the same"
                                   : fmt::format("node {}, command line {}: they talk, but show "
                                                 "less of each other",
                                                 info->version, VALKYRIE_VERSION)});
  return findings;
}

int run_doctor(const Globals& globals) {
  std::vector<Finding> findings = check_node(globals);
  findings.push_back(check_open_files());
  findings.push_back(check_namespaces());
  findings.push_back(check_runtime_directory());
  bool good = true;
  json::array rows;
  for (const Finding& finding : findings) {
    good = good && finding.good;
    rows.push_back(
        json::object{{"check", finding.check}, {"good", finding.good}, {"text", finding.text}});
  }
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    print_json_rows(globals.format, rows);
  } else {
    for (const Finding& finding : findings) {
      fmt::print("{:4} {:18} {}\n", finding.good ? "ok" : "BAD", finding.check, finding.text);
    }
  }
  return good ? kExitDone : kExitNo;
}

}  // namespace

void add_doctor(CLI::App& app, Context& context) {
  auto* command =
      app.add_subcommand("doctor", "What keeps this machine from using or being a node");
  command->footer(
      "Exits with 1 if something is bad.\nExamples:\n  valkyrie doctor\n"
      "  valkyrie -o json doctor");
  command->callback(
      [&context] { context.run = [&context] { return run_doctor(context.globals); }; });
}

}  // namespace valkyrie::tools
