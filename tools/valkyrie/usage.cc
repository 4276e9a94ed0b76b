#include "tools/valkyrie/usage.h"

#include <algorithm>
#include <fmt/format.h>
#include <string_view>
#include <vector>

namespace valkyrie::tools {

namespace {

// Insertions, deletions, replacements and swaps of neighbours that make `from` into `to`.
std::size_t edits(std::string_view from, std::string_view to) {
  std::vector<std::vector<std::size_t>> cost(from.size() + 1,
                                             std::vector<std::size_t>(to.size() + 1));
  for (std::size_t i = 0; i <= from.size(); ++i) {
    for (std::size_t j = 0; j <= to.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      const std::size_t replaced = cost[i - 1][j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[from.size()][to.size()];
}

// The nearest of a command's subcommands, if a third of the word or less is wrong.
std::string nearest(const CLI::App& app, const std::string& word) {
  std::string best;
  std::size_t best_edits = std::max<std::size_t>(1, word.size() / 3) + 1;
  // No command has a longer name, and the work grows with it.
  if (word.size() > 32) return best;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    const std::size_t needed = edits(word, command->get_name());
    if (needed < best_edits) {
      best = command->get_name();
      best_edits = needed;
    }
  }
  return best;
}

}  // namespace

std::string usage_text(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  std::string path;  // Of the command so far, each word with a blank behind it.
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    path += at->get_name() + " ";
  }
  const std::vector<std::string> left = app.remaining(true);
  const auto word = std::ranges::find_if(
      left, [](const std::string& text) { return !text.empty() && text[0] != '-'; });
  // Options of the command a job runs look like ours where nothing separates them.
  if (path == "job run " && dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    return fmt::format("{}; the job's command goes behind --, as in {} {}-- ls -l", error.what(),
                       app.get_name(), path);
  }
  // What is missing is a command, and there is a word where it should be.
  if (at->get_require_subcommand_min() == 0 || word == left.end()) {
    return fmt::format("{}; see {} {}--help", error.what(), app.get_name(), path);
  }
  const std::string near = nearest(*at, *word);
  return fmt::format("no command \"{}{}\"{}; see {} {}--help", path, *word,
                     near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near),
                     app.get_name(), path);
}

}  // namespace valkyrie::tools
