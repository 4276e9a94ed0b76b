// Patterns of names in the rules and bindings of a policy: docs/operating/permissions.md.
//
// No I/O, no clock, no threads.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

#include "server/policy/action.h"

namespace valkyrie::policy {

// Bytes of a name or of a pattern's part: what the registry allows a service or a method.
inline constexpr std::size_t kNameBytesMax = 256;

// Whether `pattern`, in which each `*` stands for any bytes or none, matches the whole of `text`.
// Takes at most the product of both lengths.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

// Whether some text is matched by both patterns.
[[nodiscard]] bool globs_touch(std::string_view a, std::string_view b);

// Whether every subject that `filter` matches is matched by `pattern`, itself a filter.
// REQUIRES: both are legal filters.
[[nodiscard]] bool filter_covers(std::string_view pattern, std::string_view filter);

// Whether some subject that `filter` matches is one of `pattern`, a filter whose wildcards in the
// first place stand for the node's own token too. REQUIRES: both are legal filters.
[[nodiscard]] bool filter_touches(std::string_view pattern, std::string_view filter);

// The names that a rule is about. For services and methods `*` stands for any bytes or none, in
// any place: `hello.*`, `deploy.Api/Get*`. Subjects have the filters of publish.md.
//
// A rule that allows needs covers(), one that denies touches(); they differ where a name stands for
// many, and about the node's own names (`valkyrie` and all below it): to be allowed, they must be
// spelled, as no wildcard stands for them; to be denied, a wildcard is enough.
class NamePattern {
 public:
  // All names, the node's own included.
  NamePattern() = default;
  // The error, for people, says what is wrong with `text`.
  [[nodiscard]] static std::expected<NamePattern, std::string> parse(Action action,
                                                                     std::string_view text);

  // Whether all that `name` stands for belongs to the pattern. REQUIRES: legal(action, name) of
  // the action that the pattern was parsed for.
  [[nodiscard]] bool covers(const Name& name) const;
  // Whether anything that `name` stands for belongs to it. REQUIRES: as for covers().
  [[nodiscard]] bool touches(const Name& name) const;

 private:
  bool everything_ = true;
  NameKind kind_ = NameKind::plain;
  bool own_names_ = false;  // Spells the node's own names.
  std::string name_;
  std::string method_;
};

// Whether a name is one that the action can be done to: not empty, not over the limits, and for
// subjects the grammar of publish.md.
[[nodiscard]] bool legal(Action action, const Name& name);

}  // namespace valkyrie::policy
