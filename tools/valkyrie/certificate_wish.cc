#include "tools/valkyrie/certificate_wish.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cctype>
#include <fmt/format.h>
#include <vector>

#include "server/policy/identity.h"

namespace valkyrie::tools {

namespace {

constexpr std::string_view kSpiffe = "spiffe://";
constexpr std::size_t kAlternativesMax = 64;
constexpr std::size_t kAlternativeBytesMax = 400;

bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool is_name(std::string_view text) {
  const auto fits = [](char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_'; };
  return !text.empty() && text.size() <= kWishNameBytesMax && is_alnum(text.front()) &&
         std::ranges::all_of(text, fits);
}

bool is_address(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return ::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

bool is_host(std::string_view text) {
  if (text.starts_with("*.")) text.remove_prefix(2);
  const auto fits = [](char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_'; };
  return !text.empty() && text.size() <= 253 && is_alnum(text.front()) &&
         std::ranges::all_of(text, fits);
}

bool is_visible(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

// As certificates have it: DNS:a.example. Empty if it is none.
std::string alternative_name(const std::string& text) {
  if (text.size() > kAlternativeBytesMax || !is_visible(text)) return {};
  if (is_address(text)) return "IP:" + text;
  if (const std::size_t scheme = text.find("://"); scheme != std::string::npos) {
    return scheme == 0 ? "" : "URI:" + text;
  }
  const std::size_t at = text.find('@');
  if (at != std::string::npos) {
    return at > 0 && is_host(text.substr(at + 1)) ? "email:" + text : "";
  }
  return is_host(text) ? "DNS:" + text : "";
}

std::string usage_of(std::string_view role) {
  if (role == "server") return "serverAuth";
  if (role == "client" || role == "runner") return "clientAuth";
  return role == "peer" ? "serverAuth,clientAuth" : "";
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

bool is_trust_domain(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  };
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, fits);
}

std::expected<CertificateWish, std::string> parse_certificate_wish(std::string_view text,
                                                                   std::string_view trust_domain) {
  const auto wrong = [&](std::string_view why) {
    return std::unexpected(fmt::format("\"{}\": {}", policy::printable(text), why));
  };
  const std::size_t colon = std::min(text.find(':'), text.size());
  const std::string_view role = text.substr(0, colon);
  CertificateWish wish;
  wish.usage = usage_of(role);
  if (wish.usage.empty() || colon == text.size()) {
    return wrong("write server:NAME[=HOST,...], client:NAME, runner:NAME or peer:NAME");
  }
  const std::string_view rest = text.substr(colon + 1);
  const std::size_t equals = std::min(rest.find('='), rest.size());
  wish.name = rest.substr(0, equals);
  if (!is_name(wish.name)) {
    return wrong(fmt::format("a name is 1 to {} letters, digits, dots, dashes and underscores",
                             kWishNameBytesMax));
  }
  const bool serves = role == "server" || role == "peer";
  std::vector<std::string> alternatives;
  if (equals < rest.size()) alternatives = split(rest.substr(equals + 1));
  if (alternatives.empty() && serves) alternatives = {wish.name};
  if (alternatives.size() > kAlternativesMax) return wrong("it has too many names");
  for (const std::string& each : alternatives) {
    const std::string name = alternative_name(each);
    if (name.empty()) {
      return wrong(
          fmt::format("\"{}\" is no host, address, URI or mail address", policy::printable(each)));
    }
    if (each.starts_with(kSpiffe)) {
      if (!wish.spiffe.empty()) return wrong("it has two SPIFFE ids");
      wish.spiffe = each;
    }
    wish.names += (wish.names.empty() ? "" : ",") + name;
  }
  if (wish.spiffe.empty()) {
    wish.spiffe = fmt::format("{}{}/{}/{}", kSpiffe, trust_domain, role, wish.name);
    wish.names += fmt::format("{}URI:{}", wish.names.empty() ? "" : ",", wish.spiffe);
  }
  return wish;
}

}  // namespace valkyrie::tools
