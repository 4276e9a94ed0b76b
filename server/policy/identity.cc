#include "server/policy/identity.h"

#include <algorithm>
#include <array>
#include <utility>

namespace valkyrie::policy {
namespace {

using Word = std::pair<AuthenticationMethod, std::string_view>;
constexpr std::array kWords = {
    Word{AuthenticationMethod::none, "none"},
    Word{AuthenticationMethod::unix_user, "unix"},
    Word{AuthenticationMethod::noise_key, "noise"},
    Word{AuthenticationMethod::certificate, "certificate"},
    Word{AuthenticationMethod::token, "token"},
    Word{AuthenticationMethod::api_key, "api_key"},
};

}  // namespace

std::string_view to_string(AuthenticationMethod method) {
  const auto found = std::ranges::find(kWords, method, &Word::first);
  return found == kWords.end() ? "unknown" : found->second;
}

std::optional<AuthenticationMethod> parse_method(std::string_view word) {
  const auto found = std::ranges::find(kWords, word, &Word::second);
  if (found == kWords.end()) return std::nullopt;
  return found->first;
}

std::string_view subject_of_value(std::string_view value) {
  if (value.size() < 2) return {};
  const std::size_t tenant_bytes = static_cast<unsigned char>(value[1]);
  return value.substr(std::min(value.size(), 2 + tenant_bytes));
}

Identity identity_of_value(std::string_view value) {
  if (value.size() < 2) return {};
  const std::string_view subject = subject_of_value(value);
  return {.method = static_cast<AuthenticationMethod>(value.front()),
          .tenant = std::string(value.substr(2, value.size() - 2 - subject.size())),
          .subject = std::string(subject)};
}

std::string identity_value(const Identity& identity) {
  if (identity.method == AuthenticationMethod::none) return {};
  std::string value{static_cast<char>(identity.method), static_cast<char>(identity.tenant.size())};
  return value + identity.tenant + identity.subject;
}

std::string describe(const Identity& identity) {
  std::string text(to_string(identity.method));
  if (identity.tenant.empty() && identity.subject.empty()) return text;
  text += ' ';
  if (!identity.tenant.empty()) text += printable(identity.tenant) + '/';
  return text + printable(identity.subject);
}

std::string printable(std::string_view text) {
  std::string result(text);
  std::ranges::replace_if(result, [](char c) { return c < ' ' || c > '~'; }, '?');
  return result;
}

}  // namespace valkyrie::policy
