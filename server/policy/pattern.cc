#include "server/policy/pattern.h"

#include <algorithm>
#include <fmt/format.h>

#include "protocol/subject.h"
#include "server/policy/identity.h"

namespace valkyrie::policy {
namespace {

using protocol::SubjectTokens;

bool wild(std::string_view token) { return token == "*" || token == ">"; }

// `valkyrie` and all below it, of services as of subjects.
bool node_owned(std::string_view name) { return protocol::is_node_subject(name); }

protocol::SubjectForm form_of(Action action) {
  return action == Action::publish ? protocol::SubjectForm::subject : protocol::SubjectForm::filter;
}

bool part_fits(std::string_view part) { return !part.empty() && part.size() <= kNameBytesMax; }

bool visible(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t at = 0;
  std::size_t from = 0;
  std::size_t star = std::string_view::npos;  // The last one met, and where its bytes end.
  std::size_t star_end = 0;
  while (from < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      star_end = from;
    } else if (at < pattern.size() && pattern[at] == text[from]) {
      ++at;
      ++from;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      from = ++star_end;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

bool globs_touch(std::string_view a, std::string_view b) {
  // touch[j]: whether what is left of `a` and b.substr(j) have a text in common.
  std::vector<bool> touch(b.size() + 1);
  touch[b.size()] = true;
  for (std::size_t j = b.size(); j-- > 0;) touch[j] = b[j] == '*' && touch[j + 1];
  for (std::size_t i = a.size(); i-- > 0;) {
    std::vector<bool> next(b.size() + 1);
    next[b.size()] = a[i] == '*' && touch[b.size()];
    for (std::size_t j = b.size(); j-- > 0;) {
      const bool wild = a[i] == '*' || b[j] == '*';
      next[j] = wild ? touch[j] || next[j + 1] : a[i] == b[j] && touch[j + 1];
    }
    touch = std::move(next);
  }
  return touch[0];
}

bool filter_covers(std::string_view pattern, std::string_view filter) {
  const SubjectTokens wide(pattern);
  const SubjectTokens narrow(filter);
  for (std::size_t i = 0; i < wide.size(); ++i) {
    if (i == 0 && wild(wide[i]) && protocol::is_node_subject(filter)) return false;
    if (wide[i] == ">") return narrow.size() > i;
    if (i == narrow.size() || narrow[i] == ">") return false;
    if (wide[i] != "*" && wide[i] != narrow[i]) return false;
  }
  return wide.size() == narrow.size();
}

bool filter_touches(std::string_view pattern, std::string_view filter) {
  const SubjectTokens denied(pattern);
  const SubjectTokens asked(filter);
  const std::size_t common = std::min(denied.size(), asked.size());
  for (std::size_t i = 0; i < common; ++i) {
    // Wildcards that a subscriber asks with never bring it what is the node's own.
    if (i == 0 && wild(asked[i]) && protocol::is_node_subject(pattern)) return false;
    if (denied[i] == ">" || asked[i] == ">") return true;
    if (!wild(denied[i]) && !wild(asked[i]) && denied[i] != asked[i]) return false;
  }
  return denied.size() == asked.size();
}

std::expected<NamePattern, std::string> NamePattern::parse(Action action, std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return std::unexpected(fmt::format("\"{}\": {}", printable(text), why));
  };
  NamePattern pattern;
  pattern.everything_ = false;
  pattern.kind_ = name_kind(action);
  if (pattern.kind_ == NameKind::subject) {
    const auto error = protocol::check_subject(text, protocol::SubjectForm::filter);
    if (error) return wrong(to_string(*error));
    pattern.name_ = text;
  } else {
    const std::size_t slash =
        pattern.kind_ == NameKind::method ? text.find('/') : std::string_view::npos;
    pattern.name_ = text.substr(0, slash);
    pattern.method_ = slash == std::string_view::npos ? "*" : text.substr(slash + 1);
    if (!visible(text)) return wrong("a pattern is visible ASCII");
    if (!part_fits(pattern.name_)) return wrong("a name has 1 to 256 bytes");
    if (!part_fits(pattern.method_)) return wrong("a method has 1 to 256 bytes");
    if (pattern.kind_ != NameKind::plain && text.find('@') != std::string_view::npos) {
      return wrong("a rule holds for all versions of a service");
    }
    if (pattern.kind_ == NameKind::service && text.find('/') != std::string_view::npos) {
      return wrong("this action is done to services, not to methods");
    }
  }
  pattern.own_names_ = pattern.kind_ == NameKind::plain || node_owned(pattern.name_);
  return pattern;
}

bool NamePattern::covers(const Name& name) const {
  if (everything_) return true;
  if (kind_ == NameKind::subject) return filter_covers(name_, name.name);
  if (!own_names_ && node_owned(name.name)) return false;
  if (!glob_matches(name_, name.name)) return false;
  if (name.method.empty()) return method_.find_first_not_of('*') == std::string::npos;
  return glob_matches(method_, name.method);
}

bool NamePattern::touches(const Name& name) const {
  if (everything_) return true;
  if (kind_ == NameKind::subject) return filter_touches(name_, name.name);
  if (!globs_touch(name_, name.name)) return false;
  return name.method.empty() || glob_matches(method_, name.method);
}

bool legal(Action action, const Name& name) {
  if (name_kind(action) == NameKind::subject) {
    return name.method.empty() && !protocol::check_subject(name.name, form_of(action));
  }
  if (name_kind(action) != NameKind::method && !name.method.empty()) return false;
  return part_fits(name.name) && name.method.size() <= kNameBytesMax;
}

}  // namespace valkyrie::policy
