#include "server/policy/action.h"

#include <algorithm>
#include <array>

#include "server/policy/identity.h"

namespace valkyrie::policy {
namespace {

constexpr std::array<std::string_view, kActions> kWords = {
    "call",   "serve", "publish", "subscribe", "watch",
    "submit", "run",   "cancel",  "read_logs", "administer"};

}  // namespace

std::string_view to_string(Action action) {
  const auto index = static_cast<std::size_t>(action);
  return index < kWords.size() ? kWords[index] : "unknown";
}

std::optional<Action> parse_action(std::string_view word) {
  const auto found = std::ranges::find(kWords, word);
  if (found == kWords.end()) return std::nullopt;
  return static_cast<Action>(found - kWords.begin());
}

NameKind name_kind(Action action) {
  switch (action) {
    case Action::call:
      return NameKind::method;
    case Action::serve:
    case Action::watch:
      return NameKind::service;
    case Action::publish:
    case Action::subscribe:
      return NameKind::subject;
    default:
      return NameKind::plain;
  }
}

Name parse_name(Action action, std::string_view text) {
  const NameKind kind = name_kind(action);
  if (kind == NameKind::subject || kind == NameKind::plain) return {.name = text};
  const std::size_t slash = kind == NameKind::method ? text.find('/') : std::string_view::npos;
  const std::string_view service = text.substr(0, slash);
  return {.name = service.substr(0, service.find('@')),
          .method = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1)};
}

std::string name_text(const Name& name) {
  std::string text = printable(name.name);
  if (!name.method.empty()) text += '/' + printable(name.method);
  return text;
}

}  // namespace valkyrie::policy
