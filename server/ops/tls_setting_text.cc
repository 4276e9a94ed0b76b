#include "server/ops/tls_setting_text.h"

#include <array>
#include <fmt/format.h>
#include <utility>

namespace valkyrie::server {
namespace {

// The first of two words is false.
std::expected<void, std::string> read_word(std::string_view path, std::string_view value,
                                           std::string_view no, std::string_view yes, bool& out) {
  if (value != no && value != yes) {
    return std::unexpected(
        fmt::format("tls.{}: \"{}\" is neither {} nor {}", path, value, no, yes));
  }
  out = value == yes;
  return {};
}

}  // namespace

std::expected<void, std::string> apply_tls_setting(std::string_view path, std::string_view value,
                                                   TlsSettings& settings) {
  if (path == "require_pq") return read_word(path, value, "false", "true", settings.require_pq);
  if (path == "client") {
    return read_word(path, value, "required", "optional", settings.client_optional);
  }
  const std::array<std::pair<std::string_view, std::string*>, 4> files{
      {{"certificate", &settings.certificate},
       {"key", &settings.key},
       {"client_ca", &settings.client_ca},
       {"crl", &settings.crl}}};
  for (const auto& [name, file] : files) {
    if (path != name) continue;
    if (value.empty())
      return std::unexpected(fmt::format("tls.{}: the file's path is missing", path));
    *file = value;
    return {};
  }
  return std::unexpected(fmt::format(
      "tls.{}: there is no such setting; known are certificate, key, client_ca, client, crl and "
      "require_pq",
      path));
}

std::expected<void, std::string> check_tls_settings(const TlsSettings& settings, bool has_door) {
  if (!has_door) {
    if (settings == TlsSettings{}) return {};
    return std::unexpected("tls.*: the node has no door that speaks TLS; add --listen tls://HOST");
  }
  if (settings.certificate.empty() || settings.key.empty()) {
    return std::unexpected(
        "a tls:// door needs a certificate: --set tls.certificate=FILE --set tls.key=FILE");
  }
  if (settings.client_ca.empty() && (!settings.crl.empty() || settings.client_optional)) {
    return std::unexpected(
        "tls.crl and tls.client are about certificates of clients, which tls.client_ca=FILE asks "
        "for");
  }
  return {};
}

}  // namespace valkyrie::server
