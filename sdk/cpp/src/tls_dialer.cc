#include "sdk/cpp/src/tls_dialer.h"

#include <array>
#include <ctime>
#include <unistd.h>
#include <utility>

#include "transport/text_file.h"

namespace valkyrie::detail {

namespace tls = protocol::tls;

namespace {

// Where systems keep the authorities that they trust: Debian, Fedora, and others.
constexpr std::array kSystemRoots = {"/etc/ssl/certs/ca-certificates.crt",
                                     "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

std::unexpected<Status> unusable(std::string why) {
  return fail(StatusCode::invalid_argument, std::move(why), Outcome::not_executed);
}

std::string system_roots() {
  for (const char* path : kSystemRoots) {
    if (::access(path, R_OK) == 0) return path;
  }
  return {};
}

using Read = std::expected<std::string, std::string> (*)(const std::string& path);

// Reads a file where there is one to read.
std::expected<void, std::string> read_into(std::string& text, const std::string& path, Read read) {
  if (path.empty()) return {};
  auto got = read(path);
  if (!got) return std::unexpected(std::move(got.error()));
  text = std::move(*got);
  return {};
}

}  // namespace

Result<std::unique_ptr<tls::Dialer>> make_tls_dialer(const TlsFiles& files, bool require_pq) {
  const std::string roots = files.roots.empty() ? system_roots() : files.roots;
  if (roots.empty()) {
    return unusable("no list of authorities is on this system: name one with VALKYRIE_TLS_CA=FILE");
  }
  if (files.certificate.empty() != files.key.empty()) {
    return unusable("a TLS certificate and its key go together: name both files");
  }
  tls::DialerConfig config;
  config.require_pq = require_pq;
  config.clock = [] { return static_cast<std::int64_t>(std::time(nullptr)); };
  auto read = read_into(config.roots, roots, transport::read_text_file);
  if (read) read = read_into(config.revoked, files.revoked, transport::read_text_file);
  if (read) read = read_into(config.own.certificate, files.certificate, transport::read_text_file);
  if (read) read = read_into(config.own.key, files.key, transport::read_secret_file);
  if (!read) return unusable(std::move(read.error()));
  auto made = tls::Dialer::make(config);
  if (!made) return unusable("TLS: " + made.error());
  return std::move(*made);
}

}  // namespace valkyrie::detail
