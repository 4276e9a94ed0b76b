#include "runner/settings.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <string_view>
#include <sys/utsname.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include <CLI/CLI.hpp>

#include "transport/duration_text.h"

namespace valkyrie::runner {
namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  valkyrie-runner\n"
    "  valkyrie-runner --label gpu=a100 --slots 2\n"
    "  valkyrie-runner --node valkyrie://127.0.0.1:22091 --name builder --once\n";

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "runner";
  return name.data();
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// Labels every runner has; the command line may override them.
std::vector<messages::NameValue> machine_labels() {
  utsname machine{};
  if (uname(&machine) != 0) return {};
  return {{"os", lower(machine.sysname)}, {"arch", machine.machine}};
}

std::filesystem::path default_work_dir() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/') {
    return std::filesystem::path(state) / "valkyrie" / "runner";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    return std::filesystem::path(home) / ".local" / "state" / "valkyrie" / "runner";
  }
  return "/var/lib/valkyrie/runner";
}

SettingsExit usage(std::string text) {
  return {2, fmt::format("error: {}\nTry valkyrie-runner --help.", text)};
}

// Applies "key=value" texts; the error names the one that is none.
std::expected<void, SettingsExit> add_labels(Settings& settings,
                                             const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return std::unexpected(usage(fmt::format("--label {}: write key=value", text)));
    }
    std::string key = text.substr(0, equals);
    std::erase_if(settings.labels, [&](const auto& label) { return label.first == key; });
    settings.labels.emplace_back(std::move(key), text.substr(equals + 1));
  }
  const bool too_long = std::ranges::any_of(settings.labels, [](const auto& label) {
    return std::max(label.first.size(), label.second.size()) > messages::kNameBytesMax;
  });
  if (too_long || settings.labels.size() > messages::kLabelsMax) {
    return std::unexpected(usage(fmt::format("at most {} labels, each name and value of {} bytes",
                                             messages::kLabelsMax, messages::kNameBytesMax)));
  }
  return {};
}

}  // namespace

std::expected<Settings, SettingsExit> read_settings(int argc, char** argv) {
  Settings settings;
  std::vector<std::string> labels;
  std::string drain_timeout = "1m";
  std::string name = host_name();
  std::string work_dir;
  std::uint32_t slots = std::max(1u, std::thread::hardware_concurrency());
  CLI::App app("Executes jobs for a Valkyrie node.", "valkyrie-runner");
  app.footer(kExamples);
  app.set_version_flag("--version", std::string("valkyrie-runner ") + VALKYRIE_VERSION);
  app.add_option("--node", settings.node, "Where the node is (default: VALKYRIE_NODE, then local)");
  app.add_option("--token-file", settings.token_file,
                 "File with the token or API key that says who the runner is (default: "
                 "VALKYRIE_TOKEN_FILE, then VALKYRIE_TOKEN)");
  app.add_option("--name", name, "Name among the node's runners")->capture_default_str();
  app.add_option("--label", labels, "key=value that jobs may require; repeat for more");
  app.add_option("--slots", slots, "Jobs at a time")
      ->check(CLI::Range(1u, messages::kRunnerSlotsMax))
      ->capture_default_str();
  app.add_option("--work-dir", work_dir,
                 "Where jobs get their folders (default: the state folder)");
  app.add_option("--drain-timeout", drain_timeout,
                 "On TERM, how long jobs may go on before they are cancelled")
      ->capture_default_str();
  app.add_flag("--once", settings.once, "Take one job, then end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream err;
    const bool asked = app.exit(error, out, err) == 0;
    return std::unexpected(asked ? SettingsExit{0, out.str()} : usage(error.what()));
  }
  const auto timeout = transport::parse_duration(drain_timeout);
  if (!timeout) {
    return std::unexpected(usage(fmt::format("--drain-timeout: {}", timeout.error())));
  }
  if (name.empty() || name.size() > messages::kNameBytesMax) {
    return std::unexpected(usage(fmt::format("--name: 1 to {} bytes", messages::kNameBytesMax)));
  }
  settings.drain_timeout = *timeout;
  settings.slots = settings.once ? 1 : slots;
  settings.work_dir =
      work_dir.empty() ? default_work_dir() / name : std::filesystem::absolute(work_dir);
  settings.name = std::move(name);
  settings.labels = machine_labels();
  if (auto added = add_labels(settings, labels); !added) return std::unexpected(added.error());
  return settings;
}

std::string random_instance() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace valkyrie::runner
