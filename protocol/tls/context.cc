#include "protocol/tls/context.h"

#include <algorithm>
#include <array>
#include <openssl/err.h>
#include <span>
#include <utility>

#include <openssl/x509.h>

#include "protocol/assert.h"
#include "protocol/tls/pem.h"
#include "protocol/tls/verdict.h"

namespace valkyrie::protocol::tls {
namespace {

// Seconds in which a ticket may be used. Each use is a key exchange of its own.
constexpr std::uint32_t kTicketSeconds = 2 * 60 * 60;

constexpr std::array<std::uint16_t, 2> kGroups = {SSL_GROUP_X25519_MLKEM768, SSL_GROUP_X25519};

// Bytes of a handshake message, and so of a peer's certificates: all that a side keeps for a peer
// that it does not know yet, beside what BoringSSL needs.
constexpr std::size_t kMessageBytesMax = std::size_t{16} << 10;

// Of peers' certificates and of our own.
constexpr std::array<std::uint16_t, 7> kSignatures = {
    SSL_SIGN_ED25519,
    SSL_SIGN_ECDSA_SECP256R1_SHA256,
    SSL_SIGN_ECDSA_SECP384R1_SHA384,
    SSL_SIGN_ECDSA_SECP521R1_SHA512,
    SSL_SIGN_RSA_PSS_RSAE_SHA256,
    SSL_SIGN_RSA_PSS_RSAE_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA512,
};

// Tickets of one kind of channel are none of another's that has the same keys.
constexpr std::array<std::uint8_t, 8> kTicketUse = {'v', 'a', 'l', 'k', 'y', 'r', 'i', 'e'};

// ALPN as it is offered: each name behind its length.
std::string offer() { return static_cast<char>(kProtocol.size()) + std::string(kProtocol); }

// The acceptor's answer to an offer; an alert says so where ours is not in it.
int pick_protocol(SSL*, const std::uint8_t** out, std::uint8_t* out_size, const std::uint8_t* in,
                  unsigned in_size, void*) {
  const std::string_view offered(reinterpret_cast<const char*>(in), in_size);
  for (std::size_t at = 0; at < offered.size();) {
    const auto size = static_cast<std::uint8_t>(offered[at]);
    if (offered.substr(at + 1, size) == kProtocol) {
      *out = in + at + 1;
      *out_size = size;
      return SSL_TLSEXT_ERR_OK;
    }
    at += 1U + size;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

std::unexpected<std::string> unusable(std::string_view what, const std::string& why) {
  return std::unexpected(std::string(what) + ": " + why);
}

bool is_address(X509_VERIFY_PARAM& parameters, const std::string& server) {
  return X509_VERIFY_PARAM_set1_ip_asc(&parameters, server.c_str()) == 1;
}

}  // namespace

Context::Context(bool acceptor, UnixClock clock, bool require_pq)
    : ssl_(SSL_CTX_new(TLS_method())),
      acceptor_(acceptor),
      require_pq_(require_pq),
      clock_(std::move(clock)) {
  SSL_CTX* const ssl = ssl_.get();
  const std::span groups = std::span(kGroups).first(require_pq ? 1 : kGroups.size());
  const bool done =
      SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 &&
      SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1 &&
      SSL_CTX_set1_group_ids(ssl, groups.data(), groups.size()) == 1 &&
      SSL_CTX_set_verify_algorithm_prefs(ssl, kSignatures.data(), kSignatures.size()) == 1 &&
      SSL_CTX_set_session_id_context(ssl, kTicketUse.data(), kTicketUse.size()) == 1;
  VALKYRIE_ASSERT(done);
  // The acceptor's order of the groups counts: hybrid wherever both know it.
  SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_psk_dhe_timeout(ssl, kTicketSeconds);
  SSL_CTX_set_max_cert_list(ssl, kMessageBytesMax);
}

std::expected<std::shared_ptr<const Context>, std::string> Context::make(
    const AcceptorConfig& config) {
  std::shared_ptr<Context> made(new Context(true, config.clock, config.require_pq));
  SSL_CTX* const ssl = made->ssl_.get();
  if (auto taken = made->take_own(config.own); !taken) return std::unexpected(taken.error());
  SSL_CTX_set_alpn_select_cb(ssl, pick_protocol, nullptr);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);  // All there is to know is in tickets.
  if (config.client == ClientCertificate::ignored) return made;
  auto taken = made->take_trust(config.client_roots, config.revoked);
  if (!taken) return std::unexpected(taken.error());
  const bool required = config.client == ClientCertificate::required;
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  const auto roots = read_certificates(config.client_roots);
  for (const auto& root : *roots) SSL_CTX_add_client_CA(ssl, root.get());
  return made;
}

std::expected<std::shared_ptr<const Context>, std::string> Context::make(
    const DialerConfig& config) {
  std::shared_ptr<Context> made(new Context(false, config.clock, config.require_pq));
  SSL_CTX* const ssl = made->ssl_.get();
  if (!config.own.certificate.empty() || !config.own.key.empty()) {
    if (auto taken = made->take_own(config.own); !taken) return std::unexpected(taken.error());
  }
  auto taken = made->take_trust(config.roots, config.revoked);
  if (!taken) return std::unexpected(taken.error());
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
  const std::string protocols = offer();
  const bool offered =
      SSL_CTX_set_alpn_protos(ssl, reinterpret_cast<const std::uint8_t*>(protocols.data()),
                              protocols.size()) == 0;
  VALKYRIE_ASSERT(offered);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  return made;
}

std::expected<void, std::string> Context::take_own(const Credentials& own) {
  const auto chain = read_certificates(own.certificate);
  if (!chain) return unusable("the certificate", chain.error());
  const auto key = read_key(own.key);
  if (!key) return unusable("the key", key.error());
  ERR_clear_error();
  bool taken = SSL_CTX_use_certificate(ssl_.get(), chain->front().get()) == 1;
  for (std::size_t i = 1; taken && i < chain->size(); ++i) {
    taken = SSL_CTX_add1_chain_cert(ssl_.get(), (*chain)[i].get()) == 1;
  }
  if (!taken) return unusable("the certificate", "TLS cannot use its kind of key");
  taken = SSL_CTX_use_PrivateKey(ssl_.get(), key->get()) == 1 &&
          SSL_CTX_check_private_key(ssl_.get()) == 1;
  ERR_clear_error();
  if (!taken) return unusable("the key", "it does not belong to the certificate");
  return {};
}

std::expected<void, std::string> Context::take_trust(const std::string& roots,
                                                     const std::string& revoked) {
  X509_STORE* const store = SSL_CTX_get_cert_store(ssl_.get());
  const auto certificates = read_certificates(roots);
  if (!certificates) return unusable("the authorities", certificates.error());
  for (const auto& root : *certificates) X509_STORE_add_cert(store, root.get());
  if (revoked.empty()) return {};
  const auto lists = read_revocations(revoked);
  if (!lists) return unusable("the revocation list", lists.error());
  for (const auto& list : *lists) X509_STORE_add_crl(store, list.get());
  // Of each authority on the way, not of the last alone.
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  return {};
}

bssl::UniquePtr<SSL> Context::connection(std::string_view server) const {
  bssl::UniquePtr<SSL> ssl(SSL_new(ssl_.get()));
  VALKYRIE_ASSERT(ssl != nullptr);
  X509_VERIFY_PARAM& parameters = *SSL_get0_param(ssl.get());
  expect(parameters, server);
  SSL_set_shed_handshake_config(ssl.get(), 1);  // An idle channel keeps what it needs.
  if (acceptor_) {
    SSL_set_accept_state(ssl.get());
    return ssl;
  }
  const std::string name(server);
  // Only names are told; an address would be of no use to the acceptor.
  if (!is_address(parameters, name)) SSL_set_tlsext_host_name(ssl.get(), name.c_str());
  SSL_set_connect_state(ssl.get());
  return ssl;
}

void Context::expect(X509_VERIFY_PARAM& parameters, std::string_view server) const {
  X509_VERIFY_PARAM_set_time_posix(&parameters, clock_());
  if (acceptor_ || is_address(parameters, std::string(server))) return;
  X509_VERIFY_PARAM_set_hostflags(
      &parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const bool set = X509_VERIFY_PARAM_set1_host(&parameters, server.data(), server.size()) == 1;
  VALKYRIE_ASSERT(set);
}

std::expected<void, ChannelError> Context::check_again(const SSL& ssl) const {
  const bssl::UniquePtr<X509> leaf(SSL_get_peer_certificate(&ssl));
  if (leaf == nullptr) return {};
  const bssl::UniquePtr<X509_STORE_CTX> check(X509_STORE_CTX_new());
  const bool begun =
      X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(ssl_.get()), leaf.get(),
                          SSL_get_peer_full_cert_chain(&ssl)) == 1 &&
      X509_STORE_CTX_set_default(check.get(), acceptor_ ? "ssl_client" : "ssl_server") == 1;
  VALKYRIE_ASSERT(begun);
  X509_STORE_CTX_set_time_posix(check.get(), 0, clock_());
  ERR_clear_error();
  const bool good = X509_verify_cert(check.get()) == 1;
  ERR_clear_error();
  if (good) return {};
  return std::unexpected(error_of_certificate(X509_STORE_CTX_get_error(check.get())));
}

void Context::on_session(int (*callback)(SSL*, SSL_SESSION*)) const {
  SSL_CTX_sess_set_new_cb(ssl_.get(), callback);
}

}  // namespace valkyrie::protocol::tls
