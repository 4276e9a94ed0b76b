// The command line of valkyrie-runner and what stands in for what it does not say.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <string>
#include <vector>

#include "protocol/messages/jobs.h"

namespace valkyrie::runner {

// How a runner runs.
struct Settings {
  std::string node;        // As valkyrie::Address takes it.
  std::string token_file;  // As valkyrie::ClientOptions takes it.
  std::string name;
  std::vector<messages::NameValue> labels;
  std::uint32_t slots = 1;
  std::filesystem::path work_dir;
  std::chrono::nanoseconds drain_timeout{};
  bool once = false;  // Ends after one job.
};

// A command line that starts no runner: print `text` and exit.
struct SettingsExit {
  int code = 0;  // 0: help or version was asked for; 2: it makes no sense.
  std::string text;
};

// Reads the command line.
[[nodiscard]] std::expected<Settings, SettingsExit> read_settings(int argc, char** argv);

// What tells this start of the program from every other: 32 hexadecimal digits.
[[nodiscard]] std::string random_instance();
// The id of the machine's current start; empty where the kernel has none.
[[nodiscard]] std::string boot_id();

}  // namespace valkyrie::runner
