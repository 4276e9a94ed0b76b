// "Did you mean": the known name nearest to a mistyped one.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace valkyrie::registry {

// Edits (insertion, deletion, replacement of one byte) beyond which two names are strangers.
inline constexpr std::size_t kSuggestionEditsMax = 3;

// Edits from `from` to `to`, or nullopt where more than `most` are needed. Takes
// O(length * most) steps.
[[nodiscard]] std::optional<std::size_t> edit_distance(std::string_view from, std::string_view to,
                                                       std::size_t most);

// Edits that a name of this length is forgiven: a third of it, at most kSuggestionEditsMax.
[[nodiscard]] std::size_t forgiven_edits(std::string_view name);

}  // namespace valkyrie::registry
