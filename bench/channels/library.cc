#include "bench/channels/library.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <openssl/aead.h>
#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/mlkem.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <openssl/curve25519.h>
#include <openssl/x509.h>

namespace valkyrie::bench {
namespace {

constexpr std::size_t kBioBytes = 64 << 10;
constexpr std::string_view kOffer = "\x0Avalkyrie/2";

bssl::UniquePtr<BIO> text(const std::string& pem) {
  return bssl::UniquePtr<BIO>(BIO_new_mem_buf(pem.data(), static_cast<ossl_ssize_t>(pem.size())));
}

bssl::UniquePtr<X509> certificate(const std::string& pem) {
  return bssl::UniquePtr<X509>(PEM_read_bio_X509(text(pem).get(), nullptr, nullptr, nullptr));
}

int pick(SSL*, const std::uint8_t** out, std::uint8_t* size, const std::uint8_t* in, unsigned,
         void*) {
  *size = in[0];
  *out = in + 1;
  return SSL_TLSEXT_ERR_OK;
}

bssl::UniquePtr<SSL_CTX> context(const protocol::tls::Credentials& own, const std::string& root) {
  bssl::UniquePtr<SSL_CTX> made(SSL_CTX_new(TLS_method()));
  const std::uint16_t group = SSL_GROUP_X25519_MLKEM768;
  const bssl::UniquePtr<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(text(own.key).get(), nullptr, nullptr, nullptr));
  const auto mine = certificate(own.certificate);
  const auto trusted = certificate(root);
  SSL_CTX* const ssl = made.get();
  const bool done = key != nullptr && mine != nullptr && trusted != nullptr &&
                    SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set1_group_ids(ssl, &group, 1) == 1 &&
                    SSL_CTX_use_certificate(ssl, mine.get()) == 1 &&
                    SSL_CTX_use_PrivateKey(ssl, key.get()) == 1 &&
                    X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), trusted.get()) == 1;
  if (!done) return nullptr;
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(ssl, pick, nullptr);
  SSL_CTX_set_alpn_protos(ssl, reinterpret_cast<const std::uint8_t*>(kOffer.data()), kOffer.size());
  return made;
}

class TlsHandshake final : public LibraryHandshake {
 public:
  TlsHandshake(bssl::UniquePtr<SSL_CTX> dialer, bssl::UniquePtr<SSL_CTX> acceptor)
      : dialer_(std::move(dialer)), acceptor_(std::move(acceptor)) {}

  bool run() override {
    const bssl::UniquePtr<SSL> dialer(SSL_new(dialer_.get()));
    const bssl::UniquePtr<SSL> acceptor(SSL_new(acceptor_.get()));
    BIO* near = nullptr;
    BIO* far = nullptr;
    if (BIO_new_bio_pair(&near, kBioBytes, &far, kBioBytes) != 1) return false;
    SSL_set_bio(dialer.get(), near, near);
    SSL_set_bio(acceptor.get(), far, far);
    SSL_set_connect_state(dialer.get());
    SSL_set_accept_state(acceptor.get());
    SSL_set_tlsext_host_name(dialer.get(), "localhost");
    X509_VERIFY_PARAM_set1_host(SSL_get0_param(dialer.get()), "localhost", 9);
    while (true) {
      const int one = SSL_do_handshake(dialer.get());
      const int other = SSL_do_handshake(acceptor.get());
      if (one == 1 && other == 1) return true;
      if (failed(*dialer, one) || failed(*acceptor, other)) return false;
    }
  }

 private:
  static bool failed(const SSL& ssl, int result) {
    return result != 1 && SSL_get_error(&ssl, result) != SSL_ERROR_WANT_READ;
  }

  bssl::UniquePtr<SSL_CTX> dialer_;
  bssl::UniquePtr<SSL_CTX> acceptor_;
};

using Key = std::array<std::uint8_t, 32>;

// A key of a handshake: made, and told the other side.
struct Ephemeral {
  Ephemeral() { X25519_keypair(shared.data(), secret.data()); }
  Key secret{};
  Key shared{};
};

class NoiseHandshake final : public LibraryHandshake {
 public:
  bool run() override {
    const Ephemeral dialer;
    const Ephemeral acceptor;
    return agree() && exchange(dialer, acceptor) && exchange(dialer, acceptor_) &&
           exchange(dialer_, acceptor);
  }

 private:
  // A Diffie-Hellman of the pattern, which both sides compute.
  static bool exchange(const Ephemeral& one, const Ephemeral& other) {
    Key here{};
    Key there{};
    return X25519(here.data(), one.secret.data(), other.shared.data()) == 1 &&
           X25519(there.data(), other.secret.data(), one.shared.data()) == 1 && here == there;
  }
  static bool agree() {
    std::array<std::uint8_t, MLKEM768_PUBLIC_KEY_BYTES> told{};
    std::array<std::uint8_t, MLKEM768_CIPHERTEXT_BYTES> ciphertext{};
    Key here{};
    Key there{};
    MLKEM768_private_key secret;
    MLKEM768_generate_key(told.data(), nullptr, &secret);
    CBS encoded;
    CBS_init(&encoded, told.data(), told.size());
    MLKEM768_public_key shared;
    if (MLKEM768_parse_public_key(&shared, &encoded) != 1) return false;
    MLKEM768_encap(ciphertext.data(), there.data(), &shared);
    return MLKEM768_decap(here.data(), ciphertext.data(), ciphertext.size(), &secret) == 1 &&
           here == there;
  }

  const Ephemeral dialer_;
  const Ephemeral acceptor_;
};

const EVP_AEAD* aead_of(Suite suite) {
  // TLS speaks what the library prefers where the processor has AES.
  if (suite == Suite::tls) return EVP_aead_aes_128_gcm();
  return suite == Suite::noise_aes ? EVP_aead_aes_256_gcm() : EVP_aead_chacha20_poly1305();
}

}  // namespace

std::expected<std::unique_ptr<LibraryHandshake>, std::string> library_handshake(
    Suite suite, const Certificates& certificates) {
  if (suite != Suite::tls) return std::make_unique<NoiseHandshake>();
  auto dialer = context(certificates.client, certificates.authority);
  auto acceptor = context(certificates.node, certificates.authority);
  if (!dialer || !acceptor) return std::unexpected("the library cannot use the certificates");
  return std::make_unique<TlsHandshake>(std::move(dialer), std::move(acceptor));
}

struct LibraryAead::Context {
  using Nonce = std::array<std::uint8_t, 12>;
  static Nonce nonce(std::uint64_t count) {
    Nonce made{};
    std::memcpy(made.data() + 4, &count, sizeof count);
    return made;
  }

  EVP_AEAD_CTX aead{};
  std::uint64_t sealed = 0;
  std::uint64_t opened = 0;
};

LibraryAead::LibraryAead(Suite suite) : context_(std::make_unique<Context>()) {
  const EVP_AEAD* const aead = aead_of(suite);
  const Key key{};
  EVP_AEAD_CTX_init(&context_->aead, aead, key.data(), EVP_AEAD_key_length(aead), kTagBytes,
                    nullptr);
}

LibraryAead::~LibraryAead() { EVP_AEAD_CTX_cleanup(&context_->aead); }

void LibraryAead::seal(std::span<std::byte> record) {
  auto* const bytes = reinterpret_cast<std::uint8_t*>(record.data());
  const auto nonce = Context::nonce(context_->sealed++);
  std::size_t size = 0;
  EVP_AEAD_CTX_seal(&context_->aead, bytes, &size, record.size(), nonce.data(), nonce.size(), bytes,
                    record.size() - kTagBytes, nullptr, 0);
}

bool LibraryAead::open(std::span<std::byte> record) {
  auto* const bytes = reinterpret_cast<std::uint8_t*>(record.data());
  const auto nonce = Context::nonce(context_->opened++);
  std::size_t size = 0;
  return EVP_AEAD_CTX_open(&context_->aead, bytes, &size, record.size(), nonce.data(), nonce.size(),
                           bytes, record.size(), nullptr, 0) == 1;
}

}  // namespace valkyrie::bench
