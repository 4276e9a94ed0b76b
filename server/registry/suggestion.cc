#include "server/registry/suggestion.h"

#include <algorithm>
#include <array>

namespace valkyrie::registry {

std::optional<std::size_t> edit_distance(std::string_view from, std::string_view to,
                                         std::size_t most) {
  most = std::min(most, kSuggestionEditsMax);
  // Row i of the usual table, kept only within `most` of its diagonal: cell k is column i + k -
  // most.
  constexpr std::size_t kWidthMax = 2 * kSuggestionEditsMax + 1;
  const std::size_t width = 2 * most + 1;
  const std::size_t far = most + 1;
  std::array<std::size_t, kWidthMax> row{};
  for (std::size_t k = 0; k < width; ++k) row[k] = k < most ? far : k - most;
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::array<std::size_t, kWidthMax> next{};
    std::size_t least = far;
    for (std::size_t k = 0; k < width; ++k) {
      next[k] = far;
      if (i + k < most || i + k - most > to.size()) continue;
      const std::size_t j = i + k - most;
      if (k + 1 < width) next[k] = std::min(next[k], row[k + 1] + 1);
      if (k > 0) next[k] = std::min(next[k], next[k - 1] + 1);
      if (j > 0) next[k] = std::min(next[k], row[k] + (from[i - 1] == to[j - 1] ? 0U : 1U));
      least = std::min(least, next[k]);
    }
    if (least > most) return std::nullopt;
    row = next;
  }
  if (to.size() + most < from.size() || to.size() > from.size() + most) return std::nullopt;
  const std::size_t edits = row[to.size() + most - from.size()];
  return edits <= most ? std::optional(edits) : std::nullopt;
}

std::size_t forgiven_edits(std::string_view name) {
  return std::min(name.size() / 3, kSuggestionEditsMax);
}

}  // namespace valkyrie::registry
