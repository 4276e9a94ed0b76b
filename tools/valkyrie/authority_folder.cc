#include "tools/valkyrie/authority_folder.h"

#include <fmt/format.h>
#include <string_view>
#include <utility>

#include "transport/text_file.h"

namespace valkyrie::tools {

namespace tls = protocol::tls;

std::expected<OpenAuthority, std::string> open_authority(const std::string& folder) {
  const std::string stem = folder + "/ca";
  const auto certificate = transport::read_text_file(stem + ".crt");
  if (!certificate) {
    return std::unexpected(certificate.error() + "; valkyrie security init-ca makes an authority");
  }
  auto key = transport::read_secret_file(stem + ".key");
  if (!key) return std::unexpected(std::move(key.error()));
  auto opened = tls::Authority::open({.certificate = *certificate, .key = std::move(*key)});
  if (!opened) return std::unexpected(fmt::format("{}: {}", folder, opened.error()));
  auto facts = tls::certificate_facts(*certificate);
  if (!facts || !facts->front().authority) {
    return std::unexpected(stem + ".crt: it is not the certificate of an authority");
  }
  OpenAuthority found{std::move(*opened), std::move(facts->front()), {}};
  constexpr std::string_view kSpiffe = "URI:spiffe://";
  for (const std::string& name : found.facts.names) {
    if (name.starts_with(kSpiffe)) found.trust_domain = name.substr(kSpiffe.size());
  }
  if (found.trust_domain.empty()) found.trust_domain = "valkyrie.local";
  return found;
}

}  // namespace valkyrie::tools
