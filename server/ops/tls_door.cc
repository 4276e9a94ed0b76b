#include "server/ops/tls_door.h"

#include <ctime>
#include <utility>

#include "transport/text_file.h"

namespace valkyrie::server {
namespace {

namespace tls = protocol::tls;

using Acceptor = std::expected<std::unique_ptr<tls::Acceptor>, std::string>;

// Reads a file where there is one to read.
std::expected<void, std::string> read_into(std::string& text, const std::string& path,
                                           bool secret = false) {
  if (path.empty()) return {};
  auto read = secret ? transport::read_secret_file(path) : transport::read_text_file(path);
  if (!read) return std::unexpected(std::move(read.error()));
  text = std::move(*read);
  return {};
}

Acceptor make_acceptor(const TlsSettings& settings) {
  tls::AcceptorConfig config;
  config.require_pq = settings.require_pq;
  config.clock = [] { return static_cast<std::int64_t>(std::time(nullptr)); };
  if (!settings.client_ca.empty()) {
    config.client = settings.client_optional ? tls::ClientCertificate::optional
                                             : tls::ClientCertificate::required;
  }
  auto read = read_into(config.own.certificate, settings.certificate);
  if (read) read = read_into(config.own.key, settings.key, /*secret=*/true);
  if (read) read = read_into(config.client_roots, settings.client_ca);
  if (read) read = read_into(config.revoked, settings.crl);
  if (!read) return std::unexpected(std::move(read.error()));
  return tls::Acceptor::make(config);
}

}  // namespace

std::expected<std::unique_ptr<TlsDoor>, std::string> TlsDoor::open(const TlsSettings& settings) {
  std::unique_ptr<TlsDoor> door(new TlsDoor(settings));
  if (auto loaded = door->reload(); !loaded) return std::unexpected(std::move(loaded.error()));
  return door;
}

std::expected<void, std::string> TlsDoor::reload() {
  auto made = make_acceptor(settings_);
  if (!made) return std::unexpected("TLS: " + made.error());
  const std::lock_guard lock(mutex_);
  acceptor_ = std::move(*made);
  return {};
}

std::unique_ptr<protocol::Channel> TlsDoor::accept_tls() {
  std::shared_ptr<const tls::Acceptor> acceptor;
  {
    const std::lock_guard lock(mutex_);
    acceptor = acceptor_;
  }
  return acceptor->accept();
}

}  // namespace valkyrie::server
