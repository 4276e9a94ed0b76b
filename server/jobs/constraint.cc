#include "server/jobs/constraint.h"

#include <algorithm>
#include <fmt/format.h>

namespace valkyrie::jobs {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Characters of a label's name. Leaves `!`, `(`, `)`, `,` and blanks to the grammar's other forms.
bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '/';
}

}  // namespace

std::expected<Constraint, std::string> Constraint::parse(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return std::unexpected(fmt::format("\"{}\" has no '='; write key=value", text));
  }
  const std::string_view key = trimmed(text.substr(0, equals));
  const std::string_view value = trimmed(text.substr(equals + 1));
  if (key.empty() || !std::ranges::all_of(key, is_key_character)) {
    return std::unexpected(
        fmt::format("\"{}\" is no label name; use letters, digits and _ - . /", key));
  }
  return Constraint(std::string(key), std::string(value));
}

bool Constraint::holds(const Labels& labels) const {
  for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
    if (label->first == key_) return label->second == value_;
  }
  return false;
}

bool all_hold(const std::vector<Constraint>& constraints, const Labels& labels) {
  return std::ranges::all_of(constraints, [&](const Constraint& c) { return c.holds(labels); });
}

}  // namespace valkyrie::jobs
