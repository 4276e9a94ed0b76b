// What to tell people whose command line was wrong.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace valkyrie::tools {

// One line that names what is wrong, the nearest command to a misspelt one, and where the help is.
// `error` is what parsing `app` has thrown.
[[nodiscard]] std::string usage_text(const CLI::App& app, const CLI::ParseError& error);

}  // namespace valkyrie::tools
